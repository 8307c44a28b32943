// Chat templates: messages to the prompt that a model is asked with, byte for byte as transformers
// renders it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::text {

// JSON as it came, so that keys keep their order. All but messages may be empty or null: none.
struct ChatRequest {
  std::string_view messages;   // a list
  std::string_view tools;      // a list
  std::string_view documents;  // a list
  std::string_view variables;  // an object: vLLM's chat_template_kwargs
  bool add_generation_prompt = true;
  // The field of the last message that the model is to go on writing ("content"); empty: none.
  std::string_view continued;
  int64_t now_s = 0;  // the local wall clock as seconds since 1970: what strftime_now tells
};

// One template, parsed. Any thread; immutable once made.
class CompiledTemplate {
 public:
  virtual ~CompiledTemplate() = default;
  virtual Result<std::string> Render(const ChatRequest& request, std::string* why) const = 0;
};

// `variables` is a JSON object of what each rendering sees, or empty. kUnsupported without Rust.
Result<std::unique_ptr<CompiledTemplate>> CompileTemplate(std::string_view source,
                                                          std::string_view variables,
                                                          std::string* why);

// What a model comes with: a template, and maybe another one for requests with tools.
// Any thread; immutable once made.
class ChatTemplate {
 public:
  // Of a model's folder: chat_template.jinja, else the chat_template of tokenizer_config.json,
  // with that file's special tokens. kNotFound when it has none.
  static Result<ChatTemplate> Load(const std::string& folder, std::string* why);
  // Of the text of a tokenizer_config.json; `jinja`, unless empty, goes before its own template.
  static Result<ChatTemplate> Parse(std::string_view config, std::string_view jinja,
                                    std::string* why);

  // `why` says what the template or the JSON was refused for: it is for the user who sent it.
  Result<std::string> Render(const ChatRequest& request, std::string* why) const;

 private:
  ChatTemplate() = default;

  std::unique_ptr<CompiledTemplate> plain_;
  std::unique_ptr<CompiledTemplate> with_tools_;  // null: plain_ serves both
};

}  // namespace headrace::text
