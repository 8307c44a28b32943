#include "text/chat_template.h"
#include "text/rust_values.h"

namespace headrace::text {

namespace {

struct FreeTemplate {
  void operator()(HrTemplate* handle) const { hr_text_template_free(handle); }
};
using Handle = std::unique_ptr<HrTemplate, FreeTemplate>;

class JinjaTemplate final : public CompiledTemplate {
 public:
  explicit JinjaTemplate(Handle handle) : handle_(std::move(handle)) {}

  Result<std::string> Render(const ChatRequest& request, std::string* why) const override {
    const HrRender wanted{.messages = ViewOf(request.messages),
                          .tools = ViewOf(request.tools),
                          .documents = ViewOf(request.documents),
                          .variables = ViewOf(request.variables),
                          .continued = ViewOf(request.continued),
                          .now_s = request.now_s,
                          .add_generation_prompt = request.add_generation_prompt};
    RustBytes text;
    RustBytes error;
    const int32_t code = hr_text_template_render(handle_.get(), &wanted, &text.value, &error.value);
    if (code != kTextOk) {
      *why = error.str();
      return Fail(CodeOf(code), "the chat template refuses the request");
    }
    return text.str();
  }

 private:
  Handle handle_;
};

}  // namespace

Result<std::unique_ptr<CompiledTemplate>> CompileTemplate(std::string_view source,
                                                          std::string_view variables,
                                                          std::string* why) {
  QuietPanics();
  RustBytes error;
  HrTemplate* compiled = nullptr;
  const int32_t code =
      hr_text_template_compile(ViewOf(source), ViewOf(variables), &compiled, &error.value);
  if (code != kTextOk) {
    *why = error.str();
    return Fail(CodeOf(code), "the chat template cannot be read");
  }
  return std::make_unique<JinjaTemplate>(Handle(compiled));
}

}  // namespace headrace::text
