// The index's HTTP bodies as JSON, read into plain structs and written from them. docs/index_api.md
// describes them. Pure functions; any thread; no exception of the JSON library leaves.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "indexer/api_limits.h"
#include "indexer/discovery.h"
#include "wire/hash.h"

namespace headrace::indexer {

// Why a request is refused: the field, as a path ("pods[2]", "extra.mm"), and what would be right.
struct ApiError {
  int status = 400;
  std::string field;  // "" when no field is at fault
  std::string message;
  std::string owner = "";  // of 307: the address of the replica that has the prompt
};

// One question for scores.
struct ScoreCall {
  enum class Input : uint8_t { kPrompt, kMessages, kTokens };

  std::string model;
  Input input = Input::kPrompt;
  std::string prompt;            // kPrompt
  std::vector<uint32_t> tokens;  // kTokens
  // kMessages: JSON texts for the chat template; all but the first may be "".
  std::string messages;
  std::string tools;
  std::string documents;
  std::string template_kwargs;
  bool add_generation_prompt = true;
  bool continue_final_message = false;

  bool filter = false;  // only the pods below
  std::vector<std::string> pods;
  wire::PromptExtras extras;

  // kAnnounce: which pod will hold the prompt's blocks soon, and how long to believe it.
  std::string pod;
  std::string tier;  // "": gpu
  Duration ttl = seconds(2);
};

// Whose body it is: ours refuse unknown fields, llm-d's routes let them be as llm-d does.
enum class Dialect : uint8_t { kHeadrace, kAnnounce, kLlmdCompletions, kLlmdChat };

// On failure `*error` says why, and nothing was done.
Result<ScoreCall> ParseScoreCall(std::string_view body, Dialect dialect, const ApiLimits& limits,
                                 ApiError* error);

// Of one publisher: endpoint, and replay_endpoint, model, topic_filter, server_key if need be.
Result<EventSource> ParsePodCall(std::string_view body, std::string_view pod, ApiError* error);

struct NamedScore {
  std::string pod;
  double score = 0;
  double normalized = 0;
  uint32_t blocks = 0;
  bool uncertain = false;  // its events have a gap that is not filled yet
};
struct ScoreAnswer {
  std::string model;
  uint64_t tokens = 0;
  uint64_t blocks = 0;
  std::vector<NamedScore> pods;  // best first, then by name
};

// Best first; equal ones by name.
void SortScores(std::vector<NamedScore>* pods);
std::string ScoreBody(const ScoreAnswer& answer);      // ours
std::string LlmdScoreBody(const ScoreAnswer& answer);  // {"pod": score, ...}

// {"error": {"field": ..., "message": ...}}
std::string ErrorBody(const ApiError& error);
// "text" in quotes; bytes that are no UTF-8 are replaced.
std::string JsonText(std::string_view text);

}  // namespace headrace::indexer
