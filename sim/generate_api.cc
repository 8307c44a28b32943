#include "sim/generate_api.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "sim/field_reader.h"
#include "sim/json_text.h"

namespace headrace::sim {
namespace {

constexpr uint32_t kMaxCount = std::numeric_limits<uint32_t>::max();

// What /render tells of the media in a prompt: {"mm_hashes": {"image": ["...", ...]}, ...}.
void ReadFeatures(FieldReader* body, Prompt* prompt) {
  const JsonValue features = body->Object("features");
  if (!features) return;
  FieldReader fields = body->Inside("features", features);
  const JsonValue hashes = fields.Object("mm_hashes");
  if (!hashes) return;
  bool name = true;  // names and values stand in turn
  for (const JsonValue value : hashes) {
    name = !name;
    if (!name) continue;
    if (!value.IsList()) {
      fields.Refuse("mm_hashes", "features.mm_hashes must hold lists of strings");
      return;
    }
    for (const JsonValue hash : value) {
      if (!hash.IsText()) {
        fields.Refuse("mm_hashes", "features.mm_hashes must hold lists of strings");
        return;
      }
      prompt->media.push_back({std::string(hash.text()), 0});
    }
  }
}

void ReadParams(FieldReader* body, GenerateRequest* out) {
  const JsonValue params = body->Find("sampling_params");
  if (!params || !params.IsObject()) {
    body->Refuse("sampling_params", "sampling_params must be an object");
    return;
  }
  FieldReader fields = body->Inside("sampling_params", params);
  Request sampled;
  ReadSampling({}, &fields, &sampled);
  out->request.n = sampled.n;
  out->request.sampling = std::move(sampled.sampling);
  if (fields.Find("logprobs")) {
    uint32_t top = 0;
    fields.Count("logprobs", 0, kMaxLogprobs + 1, &top);
    out->request.sampling.logprobs = top;
  }
}

void ReadOutputMode(FieldReader* body, GenerateEcho* echo) {
  std::string mode = "tokens";
  body->Text("output_mode", &mode);
  if (mode != "tokens" && mode != "text") {
    body->Refuse("output_mode", "output_mode must be \"tokens\" or \"text\"");
  }
  echo->text = mode == "text";
}

}  // namespace

void ReadTokenIds(std::string_view name, FieldReader* body, std::vector<uint32_t>* ids) {
  const JsonValue list = body->Find(name);
  if (!list || !list.IsList() || list.count() == 0) {
    body->Refuse(name, fmt::format("{} must be a list of token ids, and not empty", name));
    return;
  }
  ids->reserve(list.count());
  for (const JsonValue token : list) {
    const std::optional<int64_t> id = token.integer();
    if (!id || *id < 0 || *id > int64_t{kMaxCount}) {
      body->Refuse(name, fmt::format("{}[{}] must be a whole number from 0 to {}", name,
                                     ids->size(), kMaxCount));
      return;
    }
    ids->push_back(static_cast<uint32_t>(*id));
  }
}

ApiResult<GenerateRequest> ParseGenerate(std::string_view body, const RequestDefaults& defaults) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  GenerateRequest out;
  ReadSampling(defaults, &fields, &out.request);
  Prompt& prompt = out.request.prompts.emplace_back();
  ReadTokenIds("token_ids", &fields, &prompt.ids);
  ReadFeatures(&fields, &prompt);
  ReadParams(&fields, &out);
  ReadOutputMode(&fields, &out.echo);
  fields.Text("request_id", &out.echo.request_id);
  if (error) return tl::unexpected(*std::move(error));
  for (const uint32_t id : prompt.ids) {
    if (!prompt.echo.empty()) prompt.echo += ',';
    AppendNumber(id, &prompt.echo);
  }
  out.echo.choices = out.request.n;
  out.echo.include_usage = out.request.include_usage;
  out.echo.logprobs = out.request.sampling.logprobs;
  return out;
}

}  // namespace headrace::sim
