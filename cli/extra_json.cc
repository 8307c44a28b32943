#include "cli/extra_json.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/command_line.h"

namespace headrace::cli {
namespace {

using Json = nlohmann::json;
using wire::ExtraKey;
using wire::ExtraKeys;
using wire::KeyAtom;
using wire::PromptExtras;

tl::unexpected<Error> Wrong(std::string text, std::string* message) {
  *message = std::move(text);
  return Fail(Errc::kInvalid, "extra");
}

// As a message shows it.
std::string Shown(const Json& json) {
  constexpr size_t kShown = 80;
  std::string text = json.dump();
  if (text.size() > kShown) text.replace(kShown, std::string::npos, "...");
  return text;
}

Result<std::vector<uint8_t>> BytesOf(const Json& json, std::string* message) {
  std::vector<uint8_t> bytes;
  if (json.is_string() && ParseHex(json.get_ref<const std::string&>(), &bytes)) return bytes;
  return Wrong(fmt::format("a digest is a text of hexadecimal digits, not {}", Shown(json)),
               message);
}

bool FitsInt64(const Json& json) {
  if (json.is_number_unsigned()) return json.get<uint64_t>() <= uint64_t{INT64_MAX};
  return json.is_number_integer();
}

Result<KeyAtom> AtomOf(const Json& json, std::string* message) {
  if (json.is_string()) return json.get<std::string>();
  if (FitsInt64(json)) return json.get<int64_t>();
  if (json.is_object() && json.size() == 1 && json.contains("bytes")) {
    return BytesOf(json["bytes"], message);
  }
  return Wrong(
      fmt::format(R"(a key holds texts, integers and {{"bytes": "hex"}}, not {})", Shown(json)),
      message);
}

// vLLM's digest of embeddings is bytes, which JSON has not.
bool IsEmbeds(const Json& key) {
  return key.size() == 2 && key[0] == "prompt_embeds" && key[1].is_string();
}

Result<ExtraKey> KeyOf(const Json& json, std::string* message) {
  ExtraKey key;
  if (!json.is_array()) {
    HR_TRY(KeyAtom atom, AtomOf(json, message));
    key.bare = true;
    key.atoms.push_back(std::move(atom));
    return key;
  }
  if (IsEmbeds(json)) {
    HR_TRY(auto digest, BytesOf(json[1], message));
    key.atoms = {std::string("prompt_embeds"), std::move(digest)};
    return key;
  }
  for (const Json& part : json) {
    HR_TRY(KeyAtom atom, AtomOf(part, message));
    key.atoms.push_back(std::move(atom));
  }
  return key;
}

Result<std::vector<ExtraKeys>> ListOf(const Json& json, std::string* message) {
  std::vector<ExtraKeys> blocks;
  for (const Json& entry : json) {
    ExtraKeys& keys = blocks.emplace_back();
    if (entry.is_null()) continue;
    if (!entry.is_array()) {
      return Wrong(fmt::format("a block's entry is null or a list of keys, not {}", Shown(entry)),
                   message);
    }
    for (const Json& part : entry) {
      HR_TRY(ExtraKey key, KeyOf(part, message));
      keys.push_back(std::move(key));
    }
    if (keys.empty()) keys.push_back({{}, true});  // an empty list, not none
  }
  return blocks;
}

bool IsLora(const Json& json) {
  return json.is_array() && json.size() == 2 && json[0].is_string() && json[1].is_string();
}

bool IsToken(const Json& json) {
  return json.is_number_unsigned() && json.get<uint64_t>() <= UINT32_MAX;
}

bool IsItem(const Json& json) {
  return json.is_array() && json.size() == 3 && json[0].is_string() && IsToken(json[1]) &&
         IsToken(json[2]);
}

Status ReadLora(const Json& json, PromptExtras* extras, std::string* message) {
  if (!IsLora(json))
    return Wrong(fmt::format("lora is [name, path], not {}", Shown(json)), message);
  extras->lora = {json[0].get<std::string>(), json[1].get<std::string>()};
  return {};
}

Status ReadItems(const Json& json, PromptExtras* extras, std::string* message) {
  if (!json.is_array()) return Wrong("mm is a list of [id, offset, length]", message);
  for (const Json& item : json) {
    if (!IsItem(item))
      return Wrong(fmt::format("mm holds [id, offset, length], not {}", Shown(item)), message);
    extras->mm.push_back(
        {item[0].get<std::string>(), item[1].get<uint32_t>(), item[2].get<uint32_t>()});
  }
  return {};
}

Status ReadSalt(const Json& json, PromptExtras* extras, std::string* message) {
  if (!json.is_string()) return Wrong(fmt::format("salt is a text, not {}", Shown(json)), message);
  extras->salt = json.get<std::string>();
  return {};
}

Status ReadEmbeds(const Json& json, PromptExtras* extras, std::string* message) {
  if (!json.is_array()) return Wrong("embeds is a list of digests, one a block", message);
  for (const Json& digest : json) {
    HR_TRY(auto bytes, BytesOf(digest, message));
    extras->embeds.push_back(std::move(bytes));
  }
  return {};
}

Result<PromptExtras> ObjectOf(const Json& json, std::string* message) {
  constexpr struct {
    std::string_view name;
    Status (*read)(const Json& json, PromptExtras* extras, std::string* message);
  } kFields[] = {{"lora", ReadLora}, {"mm", ReadItems}, {"salt", ReadSalt}, {"embeds", ReadEmbeds}};
  PromptExtras extras;
  for (const auto& [name, value] : json.items()) {
    const auto* field = std::find_if(std::begin(kFields), std::end(kFields),
                                     [&key = name](const auto& x) { return x.name == key; });
    if (field == std::end(kFields)) {
      return Wrong(fmt::format("{} is none of lora, mm, salt, embeds", Quoted(name)), message);
    }
    HR_RETURN_IF_ERROR(field->read(value, &extras, message));
  }
  return extras;
}

}  // namespace

Result<Extra> ParseExtra(std::string_view json, std::string* message) {
  constexpr int kMaxDepth = 8;  // the forms need four; messages are made by recursion
  bool is_deep = false;
  const auto limit = [&is_deep](int depth, Json::parse_event_t, const Json&) {
    is_deep = is_deep || depth > kMaxDepth;
    return !is_deep;
  };
  const Json parsed = Json::parse(json, limit, /*allow_exceptions=*/false);
  if (!is_deep && parsed.is_array()) return ListOf(parsed, message);
  if (!is_deep && parsed.is_object()) return ObjectOf(parsed, message);
  return Wrong(R"(not JSON of a list, one entry a block, or of an object like {"salt": "s"})",
               message);
}

}  // namespace headrace::cli
