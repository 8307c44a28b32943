// The body of POST /v1/completions. Pure functions; any thread.
#pragma once

#include <string_view>

#include "sim/api_error.h"
#include "sim/request.h"
#include "sim/sampling_api.h"

namespace headrace::sim {

// 400 says what is no JSON or which field has a wrong type. `echo`, `suffix` and `best_of` change
// nothing. CheckSampling is for the values.
ApiResult<Request> ParseCompletion(std::string_view body, const RequestDefaults& defaults);

// A text, a list of token ids, or a list of either.
void ReadPrompts(FieldReader* body, std::vector<Prompt>* prompts);

}  // namespace headrace::sim
