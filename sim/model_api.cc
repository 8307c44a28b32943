#include "sim/model_api.h"

#include <fmt/format.h>

#include "sim/field_reader.h"
#include "sim/json_text.h"

namespace headrace::sim {
namespace {

struct Card {
  std::string_view id;
  std::string_view root;
  std::string_view parent;  // "": none
};

void AppendCard(const ModelList& list, const Card& card, std::string* out) {
  if (out->back() != '[') out->push_back(',');
  out->append(R"({"id":)");
  AppendJsonString(card.id, out);
  out->append(R"(,"object":"model","created":)");
  AppendNumber(list.created_s, out);
  out->append(R"(,"owned_by":"vllm","root":)");
  AppendJsonString(card.root, out);
  out->append(R"(,"parent":)");
  if (card.parent.empty()) {
    out->append("null");
  } else {
    AppendJsonString(card.parent, out);
  }
  out->append(R"(,"max_model_len":)");
  AppendNumber(list.max_model_len, out);
  out->append(R"(,"permission":[]})");
}

// The name in `lora_name`, and what `more` reads of the body.
template <typename More>
ApiResult<std::string> ReadName(std::string_view body, const More& more) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  std::string name;
  fields.Text("lora_name", &name);
  if (name.empty()) fields.Refuse("lora_name", "lora_name must be a string that is not empty");
  more(&fields);
  if (error) return tl::unexpected(*std::move(error));
  return name;
}

}  // namespace

std::string ModelsBody(const ModelList& list) {
  std::string out = R"({"object":"list","data":[)";
  for (const std::string& alias : list.aliases) AppendCard(list, {alias, list.model, ""}, &out);
  const std::string_view parent = list.aliases.empty() ? list.model : list.aliases.front();
  for (const LoraAdapter& adapter : list.adapters) {
    const std::string_view root = adapter.path.empty() ? adapter.name : adapter.path;
    AppendCard(list, {adapter.name, root, parent}, &out);
  }
  out.append("]}");
  return out;
}

std::string VersionBody(std::string_view version) {
  std::string out = R"({"version":)";
  AppendJsonString(version, &out);
  out.push_back('}');
  return out;
}

ApiResult<LoraLoad> ParseLoraLoad(std::string_view body) {
  LoraLoad load;
  auto name = ReadName(body, [&](FieldReader* fields) {
    fields->Text("lora_path", &load.adapter.path);
    fields->Bool("load_inplace", &load.in_place);
  });
  if (!name) return tl::unexpected(std::move(name.error()));
  load.adapter.name = *std::move(name);
  return load;
}

ApiResult<std::string> ParseLoraUnload(std::string_view body) {
  return ReadName(body, [](FieldReader*) {});
}

ApiError LoraExists(std::string_view name) {
  return {400,
          fmt::format("The lora adapter '{}' is already loaded; load_inplace replaces it", name),
          "lora_name"};
}

ApiError LoraUnknown(std::string_view name) {
  return {404, fmt::format("The lora adapter '{}' cannot be found", name), "lora_name"};
}

ApiError ModelUnknown(std::string_view model) {
  return {404, fmt::format("The model `{}` does not exist.", model), "model"};
}

}  // namespace headrace::sim
