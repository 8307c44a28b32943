// What stands in for text/rust where there is no cargo: everything but bytes is refused.
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace headrace::text {

namespace {

constexpr const char* kNoRust =
    "this build has no tokenizers and chat templates: build it with a cargo (meson option "
    "tokenizer)";

}  // namespace

bool HasTokenizers() {
  return false;
}

Result<std::unique_ptr<Tokenizer>> ParseTokenizer(std::string_view, std::string* why) {
  *why = kNoRust;
  return Fail(Errc::kUnsupported, "built without tokenizers");
}

Result<std::unique_ptr<CompiledTemplate>> CompileTemplate(std::string_view, std::string_view,
                                                          std::string* why) {
  *why = kNoRust;
  return Fail(Errc::kUnsupported, "built without chat templates");
}

}  // namespace headrace::text
