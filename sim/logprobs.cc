#include "sim/logprobs.h"

#include <fmt/format.h>

#include "sim/json_text.h"
#include "sim/openai_format.h"

namespace headrace::sim {
namespace {

// Without the brace that closes it.
void AppendTold(std::string_view token, uint32_t position, uint32_t alternative, std::string* out) {
  out->append(R"({"token":)");
  AppendJsonString(token, out);
  out->append(R"(,"logprob":)");
  AppendLogprob(position, alternative, out);
  out->append(R"(,"bytes":[)");
  for (size_t i = 0; i < token.size(); ++i) {
    if (i > 0) *out += ',';
    AppendNumber(static_cast<uint8_t>(token[i]), out);
  }
  *out += ']';
}

}  // namespace

void AppendTokenLogprob(std::string_view token, uint32_t position, uint32_t top, std::string* out) {
  AppendTold(token, position, 0, out);
  out->append(R"(,"top_logprobs":[)");
  for (uint32_t i = 0; i < top; ++i) {
    if (i > 0) *out += ',';
    AppendTold(i == 0 ? std::string(token) : fmt::format("tok_{}", i), position, i, out);
    *out += '}';
  }
  out->append("]}");
}

}  // namespace headrace::sim
