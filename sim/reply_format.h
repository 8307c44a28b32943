// Turns what is generated into the bytes of one endpoint's reply: one object for each request, of
// the endpoint's own class. Choices are numbered as in the reply: prompt by prompt, n of each.
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "sim/api_error.h"
#include "sim/request.h"

namespace headrace::sim {

struct ReplyHead {
  std::string id;              // of the request, without its prefix ("chatcmpl-")
  std::string model;           // as it is displayed
  int64_t created_s = 0;       // seconds since 1970
  uint64_t prompt_tokens = 0;  // where a stream tells them at its beginning
};

class ReplyFormat {
 public:
  virtual ~ReplyFormat() = default;

  // Before anything of the choice is asked for. The output stays where it is until the reply ends.
  virtual void SetOutput(uint32_t choice, const Output* output) = 0;

  // The body of a reply that is not streamed. `kv_transfer_params` is JSON, or "".
  virtual std::string Whole(const Usage& usage, const std::string& kv_transfer_params) = 0;

  // Frames of a stream, appended to `out`, in this order for each choice: First, Token for each
  // token of the output, Last; and after all choices End.
  virtual void First(uint32_t choice, std::string* out) = 0;
  virtual void Token(uint32_t choice, uint32_t token, std::string* out) = 0;
  virtual void Last(uint32_t choice, std::string* out) = 0;
  virtual void End(const Usage& usage, std::string* out) = 0;
  // What ends a stream that cannot go on, instead of all of the above.
  virtual void Broken(const ApiError& error, std::string* out) = 0;
};

}  // namespace headrace::sim
