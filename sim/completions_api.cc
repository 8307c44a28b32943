#include "sim/completions_api.h"

#include <limits>
#include <utility>

#include "sim/json_text.h"

namespace headrace::sim {
namespace {

constexpr const char* kShapes =
    "prompt must be a string, a list of token ids, or a list of strings or of lists of token ids";

bool IsNumber(JsonValue value) {
  return value.kind() == JsonKind::kInteger || value.kind() == JsonKind::kNumber;
}

Prompt OfText(std::string_view text) {
  Prompt prompt;
  prompt.text = text;
  prompt.echo = text;
  return prompt;
}

bool AddIds(JsonValue ids, FieldReader* body, std::vector<Prompt>* prompts) {
  if (ids.count() == 0) return body->Refuse("prompt", "prompt must not hold an empty list");
  Prompt& prompt = prompts->emplace_back();
  prompt.ids.reserve(ids.count());
  for (const JsonValue id : ids) {
    const std::optional<int64_t> number = id.integer();
    if (!number || *number < 0 || *number > std::numeric_limits<uint32_t>::max()) {
      return body->Refuse("prompt",
                          IsNumber(id) ? "prompt holds a number that is no token id" : kShapes);
    }
    if (!prompt.ids.empty()) prompt.echo.push_back(',');
    prompt.ids.push_back(static_cast<uint32_t>(*number));
    AppendNumber(*number, &prompt.echo);
  }
  return true;
}

}  // namespace

void ReadPrompts(FieldReader* body, std::vector<Prompt>* prompts) {
  const JsonValue prompt = body->Find("prompt");
  if (!prompt) {
    body->Refuse("prompt", "prompt is missing");
    return;
  }
  if (prompt.IsText()) {
    prompts->push_back(OfText(prompt.text()));
    return;
  }
  if (!prompt.IsList()) {
    body->Refuse("prompt", kShapes);
    return;
  }
  if (prompt.count() == 0 || IsNumber(*prompt.begin())) {
    AddIds(prompt, body, prompts);
    return;
  }
  const JsonKind kind = (*prompt.begin()).kind();
  prompts->reserve(prompt.count());
  for (const JsonValue item : prompt) {
    if (item.kind() != kind || (!item.IsText() && !item.IsList())) {
      body->Refuse("prompt", kShapes);
      return;
    }
    if (item.IsText()) {
      prompts->push_back(OfText(item.text()));
    } else if (!AddIds(item, body, prompts)) {
      return;
    }
  }
}

ApiResult<Request> ParseCompletion(std::string_view body, const RequestDefaults& defaults) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  Request request;
  ReadSampling(defaults, &fields, &request);
  uint32_t logprobs = 0;
  fields.Count("logprobs", 0, kMaxLogprobs + 1, &logprobs);
  if (logprobs > 0) request.sampling.logprobs = logprobs;
  ReadPrompts(&fields, &request.prompts);
  if (error) return tl::unexpected(*std::move(error));
  return request;
}

}  // namespace headrace::sim
