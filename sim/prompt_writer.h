// A conversation as the text of a prompt, "### role: content\n" for each message, whatever shape
// its messages have. One thread.
#pragma once

#include <string>
#include <string_view>

#include "sim/request.h"

namespace headrace::sim {

class PromptWriter {
 public:
  explicit PromptWriter(Prompt* prompt) : prompt_(prompt) {}

  void BeginMessage(std::string_view role);
  // Pieces of one content stand on lines of their own.
  void Text(std::string_view text);
  // `source` is an address, or the data of the request.
  void Media(std::string_view source);
  // "name(arguments)", behind the content.
  void Call(std::string_view name, std::string_view arguments);
  void EndMessage();

  bool empty() const { return prompt_->text.empty(); }

 private:
  Prompt* const prompt_;
  size_t content_begin_ = 0;
  size_t content_end_ = 0;
};

}  // namespace headrace::sim
