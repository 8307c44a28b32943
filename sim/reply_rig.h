// For tests of replies: an output of given tokens, and a stream written as the server writes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/reply_format.h"

namespace headrace::sim {

// Its tokens have the ids 0, 1, 2, ...
inline Output OutputOf(const std::vector<std::string>& tokens,
                       FinishReason finish = FinishReason::kStop) {
  Output output;
  for (const std::string& token : tokens) {
    output.text += token;
    output.ids.push_back(static_cast<uint32_t>(output.ids.size()));
    output.ends.push_back(static_cast<uint32_t>(output.text.size()));
  }
  output.finish = finish;
  return output;
}

// Two calls; the arguments of the first are two tokens, those of the second one.
inline Output OutputOfCalls() {
  Output output = OutputOf({R"({"city")", R"(:"Ulm"})", "{}"}, FinishReason::kToolCalls);
  output.calls = {{.id = "call-0", .name = "weather", .arguments = R"({"city":"Ulm"})"},
                  {.id = "call-1", .name = "clock", .arguments = "{}", .first_token = 2}};
  return output;
}

inline std::string StreamOf(ReplyFormat* format, const std::vector<const Output*>& outputs,
                            const Usage& usage) {
  std::string stream;
  for (uint32_t choice = 0; choice < outputs.size(); ++choice) {
    format->SetOutput(choice, outputs[choice]);
    format->First(choice, &stream);
    for (uint32_t token = 0; token < outputs[choice]->ids.size(); ++token) {
      format->Token(choice, token, &stream);
    }
    format->Last(choice, &stream);
  }
  format->End(usage, &stream);
  return stream;
}

}  // namespace headrace::sim
