#include "text/chat_template.h"

#include <nlohmann/json.hpp>

#include "text/files.h"

namespace headrace::text {

namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxConfigBytes = 64u << 20;  // added tokens make some files large

constexpr const char* kSpecialTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                          "pad_token", "cls_token", "mask_token"};

// A token is its text, or an object that holds it.
const Json* TokenText(const Json& config, const char* name) {
  const auto found = config.find(name);
  if (found == config.end()) return nullptr;
  if (found->is_string()) return &*found;
  if (!found->is_object() || !found->contains("content")) return nullptr;
  const Json& content = found->at("content");
  return content.is_string() ? &content : nullptr;
}

std::string SpecialTokens(const Json& config) {
  Json found = Json::object();
  for (const char* name : kSpecialTokens) {
    if (const Json* text = TokenText(config, name)) found[name] = *text;
  }
  return found.dump();
}

// The template of that name in a list of {"name", "template"}.
std::string Named(const Json& list, std::string_view name) {
  for (const Json& one : list) {
    if (!one.is_object() || !one.contains("name") || !one.contains("template")) continue;
    if (one.at("name") == name && one.at("template").is_string()) return one.at("template");
  }
  return "";
}

struct Sources {
  std::string plain;
  std::string with_tools;  // empty: the plain one
};

Sources SourcesOf(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return {};
  if (found->is_string()) return {.plain = *found, .with_tools = ""};
  if (!found->is_array()) return {};
  return {.plain = Named(*found, "default"), .with_tools = Named(*found, "tool_use")};
}

}  // namespace

Result<ChatTemplate> ChatTemplate::Parse(std::string_view config, std::string_view jinja,
                                         std::string* why) {
  const Json parsed = Json::parse(config.empty() ? "{}" : config, nullptr, false);
  if (!parsed.is_object()) {
    *why = "tokenizer_config.json: not a JSON object";
    return Fail(Errc::kInvalid, "the configuration cannot be read");
  }
  Sources sources = SourcesOf(parsed);
  if (!jinja.empty()) sources = {.plain = std::string(jinja), .with_tools = ""};
  if (sources.plain.empty()) {
    *why =
        "the model has no chat template: neither chat_template.jinja nor chat_template in "
        "tokenizer_config.json";
    return Fail(Errc::kNotFound, "no chat template");
  }
  const std::string variables = SpecialTokens(parsed);
  ChatTemplate made;
  HR_TRY(made.plain_, CompileTemplate(sources.plain, variables, why));
  if (!sources.with_tools.empty()) {
    HR_TRY(made.with_tools_, CompileTemplate(sources.with_tools, variables, why));
  }
  return made;
}

Result<ChatTemplate> ChatTemplate::Load(const std::string& folder, std::string* why) {
  const auto optional = [&](const char* name) -> Result<std::string> {
    auto read = ReadFile(folder + "/" + name, kMaxConfigBytes, why);
    if (!read && read.error().code == Errc::kNotFound) return std::string();
    return read;
  };
  HR_TRY(const std::string config, optional("tokenizer_config.json"));
  HR_TRY(const std::string jinja, optional("chat_template.jinja"));
  return Parse(config, jinja, why);
}

Result<std::string> ChatTemplate::Render(const ChatRequest& request, std::string* why) const {
  HR_CHECK(plain_ != nullptr);
  const bool has_tools = !request.tools.empty() && request.tools != "null";
  return (has_tools && with_tools_ ? with_tools_ : plain_)->Render(request, why);
}

}  // namespace headrace::text
