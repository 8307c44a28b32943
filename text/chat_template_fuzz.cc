// Bytes as the messages, tools and variables of the templates of the tests, and as a template.
// Nothing gets out but a text or a refusal with its reason.
#include "text/chat_template.h"
#include "text/files.h"

using namespace headrace;

namespace {

std::unique_ptr<text::CompiledTemplate> MustCompile(const char* name) {
  std::string why;
  const std::string path = std::string(HEADRACE_TEXT_DATA) + "/templates/" + name + ".jinja";
  auto source = text::ReadFile(path, 1u << 20, &why);
  HR_CHECK(source);
  auto made = text::CompileTemplate(*source, R"({"bos_token":"<s>","eos_token":"</s>"})", &why);
  HR_CHECK(made);
  return std::move(*made);
}

void Render(const text::CompiledTemplate& compiled, const text::ChatRequest& request) {
  std::string why;
  const auto rendered = compiled.Render(request, &why);
  HR_CHECK(rendered || (rendered.error().code == Errc::kInvalid && !why.empty()));
}

// A template can make as much text as it likes: its author is the model's. Not so here.
bool MakesMuch(std::string_view source) {
  return source.find_first_of("*0123456789") != std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::unique_ptr<text::CompiledTemplate> templates[] = {
      MustCompile("llama"), MustCompile("qwen"), MustCompile("mistral"), MustCompile("deepseek")};
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const size_t half = bytes.find('\0');
  const std::string_view first = bytes.substr(0, half);
  const std::string_view second = half < size ? bytes.substr(half + 1) : std::string_view();
  for (const auto& compiled : templates) {
    Render(*compiled, {.messages = first, .tools = second});
    Render(*compiled, {.messages = first, .variables = second, .continued = "content"});
  }
  std::string why;
  if (MakesMuch(first)) return 0;
  const auto compiled = text::CompileTemplate(first, "", &why);
  if (compiled) Render(**compiled, {.messages = R"([{"role":"user","content":"hi"}])"});
  return 0;
}
