// Asks index replicas over HTTP for scores: the one that owns the prompt where the index is split
// (indexer/shard.h), any that answers where each keeps everything. GET /v1/index/replicas tells it
// which it is; of a server without that route it takes the second. Blocks its thread, never longer
// than a timeout a replica; one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "indexer/api_json.h"
#include "indexer/ingest_keys.h"
#include "indexer/score_text.h"
#include "indexer/shard.h"

namespace headrace::indexer {

class IndexClient {
 public:
  static constexpr uint64_t kMaxAnswerBytes = 64u << 20;
  static constexpr int kMaxMoves = 2;  // 307s that one question follows

  struct Options {
    std::vector<std::string> replicas;  // "10.0.0.1:9091"; one is enough, it names the others
    std::string token;                  // "": none
    Duration timeout = seconds(2);      // of one replica
    bool ask_all = false;  // where each keeps everything: all of them, and the best of each pod
  };
  struct Counters {
    uint64_t asked = 0;        // HTTP requests for scores
    uint64_t moved = 0;        // of these, answered with another's address
    uint64_t unreachable = 0;  // of these, no answer at all
  };

  // kInvalid: no replicas.
  static Result<IndexClient> Create(Options options);

  // On failure `*message` is one line for people. kInvalid: the question is refused, by any of them
  // alike; kPermission: the token does not open it; kUnavailable: no replica that could know the
  // answer is there, which says nothing about the pods.
  Result<ScoreAnswer> Score(const ScoreCall& call, std::string* message);

  const std::vector<std::string>& replicas() const { return options_.replicas; }
  // Absent before it is learnt and where there is one replica only.
  const std::optional<ShardMap>& map() const { return map_; }
  const Counters& counters() const { return counters_; }

 private:
  enum class Outcome : uint8_t { kAnswered, kRefused, kMoved, kAbsent };
  struct Reply {
    Outcome outcome = Outcome::kAbsent;
    Errc why = Errc::kUnavailable;  // of kRefused
    ScoreAnswer answer;
    std::vector<std::string> others;  // of kMoved
  };

  explicit IndexClient(Options options) : options_(std::move(options)) {}
  void Learn();
  bool LearnFrom(const std::string& address);
  std::vector<std::string> Order(const ScoreCall& call);
  bool OwnersOf(const ScoreCall& call, std::vector<std::string>* owners);
  Reply Ask(const std::string& address, const std::string& body, std::string* message);
  Result<ScoreAnswer> AskInOrder(std::vector<std::string> order, const std::string& body,
                                 std::string* message);

  Options options_;
  bool learnt_ = false;
  std::optional<ShardMap> map_;
  wire::HasherOptions hash_;
  std::unique_ptr<IngestKeys> keys_;
  size_t first_ = 0;  // whom to begin with: the last one that answered
  Counters counters_;
};

}  // namespace headrace::indexer
