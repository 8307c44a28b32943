// The JSON of /v1/score and /v1/index/replicas as those see it who ask: questions are written and
// answers are read. indexer/api_json.h is the other end. Pure functions; any thread; no exception
// of the JSON library leaves.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "indexer/api_json.h"
#include "wire/hash.h"

namespace headrace::indexer {

// kInvalid: `messages`, `tools`, ... of a chat are no JSON. embeds cannot be asked for.
Result<std::string> ScoreQuestion(const ScoreCall& call);

Result<ScoreAnswer> ParseScoreAnswer(std::string_view body);
// Answers of replicas that have seen the same events, or parts of them, as one: of each pod what
// the one says that knows of no gap, else the most.
ScoreAnswer MergeScores(std::span<const ScoreAnswer> answers);

// What GET /v1/index/replicas says.
struct ReplicaList {
  std::vector<std::string> addresses;  // empty: there is only the one that was asked
  uint32_t first_blocks = 0;           // of indexer/shard.h
  wire::HasherOptions hash;            // of request keys
};
Result<ReplicaList> ParseReplicaList(std::string_view body);

// Who is to be asked instead, of a 307.
Result<std::vector<std::string>> ParseOtherReplicas(std::string_view body);

// The message of an error's body, with its field; "" when it has none.
std::string ErrorText(std::string_view body);

}  // namespace headrace::indexer
