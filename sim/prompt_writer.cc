#include "sim/prompt_writer.h"

#include "sim/media.h"

namespace headrace::sim {

void PromptWriter::BeginMessage(std::string_view role) {
  prompt_->text.append("### ").append(role).append(": ");
  content_begin_ = content_end_ = prompt_->text.size();
}

void PromptWriter::Text(std::string_view text) {
  if (content_end_ > content_begin_) prompt_->text.push_back('\n');
  prompt_->text.append(text);
  content_end_ = prompt_->text.size();
}

void PromptWriter::Media(std::string_view source) {
  prompt_->media.push_back({MediaHash(source), static_cast<uint32_t>(prompt_->text.size())});
}

void PromptWriter::Call(std::string_view name, std::string_view arguments) {
  prompt_->text.append(name).append("(").append(arguments).append(")");
}

void PromptWriter::EndMessage() {
  prompt_->echo.assign(prompt_->text, content_begin_, content_end_ - content_begin_);
  prompt_->text.push_back('\n');
}

}  // namespace headrace::sim
