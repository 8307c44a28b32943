// The index's questions from end to end: a request comes in, an answer goes out, later and from
// another thread. Reading, tokenizing, hashing and writing are done by workers; the index's thread
// is only asked. Any thread may call; docs/index_api.md describes bodies and answers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "indexer/access.h"
#include "indexer/api_json.h"
#include "indexer/fleet_index.h"
#include "indexer/ingest_keys.h"
#include "indexer/model_texts.h"
#include "indexer/replica_place.h"
#include "indexer/workers.h"

namespace headrace::indexer {

struct ApiReply {
  int status = 200;
  std::string body;        // JSON
  std::string owner = "";  // of 307: ApiError's
};

// Told of what was done, for metrics. From any thread.
class ServiceObserver {
 public:
  virtual ~ServiceObserver() = default;
  virtual void Scored(double seconds) = 0;  // on the index's thread
  virtual void Rendered(const std::string& model, double seconds) = 0;
  virtual void Tokenized(const std::string& model, size_t tokens, double seconds) = 0;
};

class IndexService {
 public:
  using Answer = std::function<void(ApiReply)>;
  // Makes the question, on a worker; false with the reason.
  using Read = std::function<bool(ScoreCall*, ApiError*)>;
  // Takes what came of it, on a worker: the reason why there is no answer is null when there is
  // one.
  using Done = std::function<void(const ApiError*, const ScoreAnswer&)>;
  using Query = std::map<std::string, std::string>;
  // Runs something on the index's thread, in order; or drops it when that thread has ended.
  using Ask = std::function<void(std::function<void(FleetIndex*)>)>;

  struct Options {
    ApiLimits limits;
    uint32_t threads = 2;
    uint32_t max_waiting = 1024;  // requests
    wire::HasherOptions hash;
    std::function<int64_t()> wall_seconds;  // the local wall clock, for templates
    ReplicaPlace place = {};                // prompts of other replicas are answered with 307
  };
  static constexpr uint32_t kMaxPage = 1024;  // blocks of one answer to Dump

  // The observer may be null; it outlives the service. REQUIRES: options.hash makes request keys.
  IndexService(const Options& options, std::unique_ptr<ModelTexts> texts, Ask ask,
               ServiceObserver* observer);

  // Each answers once. A service that ends drops what waits; the index's thread has ended before.
  void Score(Dialect dialect, const Grant& grant, std::string body, const Answer& answer);
  // The same for other forms of questions and answers. `salt_field` is the question's salt, for
  // refusals.
  void ScoreBy(const Grant& grant, const char* salt_field, Read read, Done done);
  void Announce(const Grant& grant, std::string body, const Answer& answer);
  void Lookup(const Grant& grant, const Query& query, const Answer& answer);
  void Dump(const Grant& grant, const Query& query, const Answer& answer);
  ApiReply Replicas() const { return {200, options_.place.ListBody(options_.hash)}; }

  // Writes an answer that the index's thread has the numbers for, elsewhere.
  void WriteLater(std::function<ApiReply()> write, Answer answer);

  const ApiLimits& limits() const { return options_.limits; }
  const ModelTexts& texts() const { return *texts_; }
  const Workers& workers() const { return workers_; }
  uint64_t moved() const { return moved_; }  // requests that another replica is to answer

  static ApiReply Refusal(const ApiError& error);

 private:
  struct Job {
    Grant grant;
    const char* salt_field = "";
    Read read;
    Done done;
    ScoreCall call;
    std::vector<RequestKey> keys;
    ScoreAnswer answer;
  };
  using AskJob = std::function<void(FleetIndex*)>;

  // Readies the job on a worker, then asks.
  void Begin(const std::shared_ptr<Job>& job, AskJob ask);
  void OnScored(const std::shared_ptr<Job>& job, Time begin, std::vector<NamedScore> scores);
  bool Prepare(Job* job, uint32_t worker, ApiError* error);
  bool MakeKeys(Job* job, uint32_t worker, ApiError* error);
  bool IsHere(const Job& job, ApiError* error);
  Read ReadBody(Dialect dialect, std::string body) const;

  const Options options_;
  const std::unique_ptr<ModelTexts> texts_;
  const Ask ask_;
  ServiceObserver* const observer_;
  std::atomic<uint64_t> moved_ = 0;
  std::vector<std::unique_ptr<IngestKeys>> keys_;  // one a worker
  Workers workers_;                                // last: its threads use what stands above
};

}  // namespace headrace::indexer
