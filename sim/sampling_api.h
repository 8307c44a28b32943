// What chats and completions have in common: the fields that say how much is generated and how it
// is told. Pure functions; any thread.
#pragma once

#include <optional>

#include "sim/api_error.h"
#include "sim/field_reader.h"
#include "sim/request.h"

namespace headrace::sim {

// Choices of one request, over all its prompts; vLLM's limit of n.
inline constexpr uint32_t kMaxChoices = 16384;
// Alternatives that are told of a token: vLLM's --max-logprobs.
inline constexpr uint32_t kMaxLogprobs = 20;

struct RequestDefaults {
  double cache_hit_threshold = 0;
};

// All but the prompts, the tools and the log probabilities. `max_tokens` as it came: CheckSampling
// says whether it may be. An `n` below 1 becomes 0.
void ReadSampling(const RequestDefaults& defaults, FieldReader* body, Request* request);

// The checks that follow those of the model and the tools, in their order.
std::optional<ApiError> CheckSampling(const Request& request);

}  // namespace headrace::sim
