// What is told of how likely a token was. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace headrace::sim {

// {"token":...,"logprob":...,"bytes":[...],"top_logprobs":[...]} with `top` candidates, of which
// the token itself is the first.
void AppendTokenLogprob(std::string_view token, uint32_t position, uint32_t top, std::string* out);

}  // namespace headrace::sim
