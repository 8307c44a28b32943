// The body of POST /inference/v1/generate. Pure functions; any thread.
#pragma once

#include <string_view>

#include "sim/api_error.h"
#include "sim/generate_format.h"
#include "sim/request.h"
#include "sim/sampling_api.h"

namespace headrace::sim {

struct GenerateRequest {
  Request request;  // with one prompt, of ids
  GenerateEcho echo;
};

// 400 says what is no JSON or which field is missing or has a wrong type. The values of the
// sampling are for CheckSampling, since other checks come between.
ApiResult<GenerateRequest> ParseGenerate(std::string_view body, const RequestDefaults& defaults);

// A list of token ids that is not empty.
void ReadTokenIds(std::string_view name, FieldReader* body, std::vector<uint32_t>* ids);

}  // namespace headrace::sim
