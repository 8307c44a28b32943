#include "sim/schema_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes.h"

namespace headrace::sim {
namespace {

constexpr std::array<std::string_view, 7> kTypes = {"string", "integer", "number", "boolean",
                                                    "array",  "object",  "null"};

class SchemaChecker {
 public:
  explicit SchemaChecker(JsonValue root) : root_(root) {}

  std::optional<std::string> Check() {
    if (Schema(root_)) RootIsObject();
    return std::move(wrong_);
  }

 private:
  using Rule = bool (SchemaChecker::*)(JsonValue value);
  struct Keyword {
    std::string_view name;
    Rule rule;
  };

  bool Wrong(std::string what) {
    wrong_ = fmt::format("{}: {}", path_, what);
    return false;
  }

  bool Schema(JsonValue schema) {
    static constexpr std::array<Keyword, 22> kKeywords = {{
        {"type", &SchemaChecker::Type},
        {"enum", &SchemaChecker::Enum},
        {"properties", &SchemaChecker::Schemas},
        {"$defs", &SchemaChecker::Schemas},
        {"definitions", &SchemaChecker::Schemas},
        {"required", &SchemaChecker::Names},
        {"items", &SchemaChecker::Items},
        {"prefixItems", &SchemaChecker::Alternatives},
        {"oneOf", &SchemaChecker::Alternatives},
        {"anyOf", &SchemaChecker::Alternatives},
        {"allOf", &SchemaChecker::Alternatives},
        {"not", &SchemaChecker::Schema},
        {"additionalProperties", &SchemaChecker::Schema},
        {"$ref", &SchemaChecker::Reference},
        {"minimum", &SchemaChecker::Number},
        {"maximum", &SchemaChecker::Number},
        {"minItems", &SchemaChecker::Length},
        {"maxItems", &SchemaChecker::Length},
        {"minLength", &SchemaChecker::Length},
        {"maxLength", &SchemaChecker::Length},
        {"minProperties", &SchemaChecker::Length},
        {"maxProperties", &SchemaChecker::Length},
    }};
    if (schema.IsBool()) return true;
    if (!schema.IsObject()) return Wrong("a schema is an object, true or false");
    for (auto place = schema.begin(); place != schema.end(); ++place) {
      const std::string_view name = (*place).text();
      ++place;
      if ((*place).IsNull()) continue;
      const auto* const keyword =
          std::find_if(kKeywords.begin(), kKeywords.end(),
                       [&](const Keyword& each) { return each.name == name; });
      if (keyword != kKeywords.end() && !Below(name, *place, keyword->rule)) return false;
    }
    return true;
  }
  bool Below(std::string_view name, JsonValue value, Rule rule) {
    const size_t size = path_.size();
    path_.append(".").append(name);
    const bool good = (this->*rule)(value);
    path_.resize(size);
    return good;
  }

  bool OneType(JsonValue value) {
    if (!value.IsText()) return Wrong("a type is a string");
    if (std::find(kTypes.begin(), kTypes.end(), value.text()) != kTypes.end()) return true;
    return Wrong(
        fmt::format("\"{}\" is no type: those are string, integer, number, boolean, array, object "
                    "and null",
                    value.text()));
  }
  bool Type(JsonValue value) {
    if (!value.IsList()) return OneType(value);
    if (value.count() == 0) return Wrong("there must be a type");
    for (const JsonValue type : value) {
      if (!OneType(type)) return false;
    }
    return true;
  }
  bool Enum(JsonValue value) {
    return (value.IsList() && value.count() > 0) || Wrong("must be a list that is not empty");
  }
  bool Schemas(JsonValue value) {
    if (!value.IsObject()) return Wrong("must be an object of schemas");
    for (auto place = value.begin(); place != value.end(); ++place) {
      const std::string_view name = (*place).text();
      ++place;
      if (!Below(name, *place, &SchemaChecker::Schema)) return false;
    }
    return true;
  }
  bool Names(JsonValue value) {
    if (value.IsBool()) return true;  // an older draft, still common at properties
    if (!value.IsList()) return Wrong("must be a list of names");
    for (const JsonValue name : value) {
      if (!name.IsText()) return Wrong("must be a list of names");
    }
    return true;
  }
  bool Items(JsonValue value) { return value.IsList() ? Alternatives(value) : Schema(value); }
  bool Alternatives(JsonValue value) {
    if (!value.IsList() || value.count() == 0) return Wrong("must be a list of schemas");
    for (const JsonValue schema : value) {
      if (!Schema(schema)) return false;
    }
    return true;
  }
  bool Reference(JsonValue value) {
    if (!value.IsText()) return Wrong("a reference is a string");
    const JsonValue target = ResolveReference(root_, value.text());
    if (target && (target.IsObject() || target.IsBool())) return true;
    return Wrong(fmt::format("\"{}\" is no schema in these parameters", value.text()));
  }
  bool Number(JsonValue value) { return value.number().has_value() || Wrong("must be a number"); }
  bool Length(JsonValue value) {
    const std::optional<int64_t> length = value.integer();
    return (length && *length >= 0) || Wrong("must be a whole number from 0 on");
  }

  void RootIsObject() {
    const JsonValue type = root_.IsObject() ? root_.Find("type") : JsonValue();
    if (!type) return;
    bool object = type.IsText() && type.text() == "object";
    if (type.IsList()) {
      for (const JsonValue each : type) object = object || each.text() == "object";
    }
    if (!object) Wrong("the type of a tool's parameters is \"object\"");
  }

  const JsonValue root_;
  std::string path_;
  std::optional<std::string> wrong_;
};

// One name of a JSON pointer, in which "~1" stands for "/" and "~0" for "~".
std::string PointerName(std::string_view text) {
  std::string name;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '~' && i + 1 < text.size();
    if (escape) ++i;
    name.push_back(!escape ? text[i] : text[i] == '1' ? '/' : '~');
  }
  return name;
}

JsonValue Step(JsonValue value, const std::string& name) {
  if (value.IsObject()) return value.Member(name);
  const auto index = ParseNumber(name);
  if (!value.IsList() || !index || *index >= value.count()) return {};
  auto place = value.begin();
  for (uint64_t i = 0; i < *index; ++i) ++place;
  return *place;
}

}  // namespace

std::optional<std::string> WhatIsWrongWithSchema(std::string_view schema) {
  if (schema.size() > kMaxSchemaBytes) {
    return fmt::format(": longer than {} bytes", kMaxSchemaBytes);
  }
  JsonDocument document;
  const auto root = document.Parse(schema);
  if (!root) return fmt::format(": {}", root.error().message);
  return SchemaChecker(*root).Check();
}

JsonValue ResolveReference(JsonValue root, std::string_view reference) {
  if (reference == "#") return root;
  if (!reference.starts_with("#/")) return {};
  reference.remove_prefix(2);
  JsonValue value = root;
  while (value) {
    const size_t slash = reference.find('/');
    value = Step(value, PointerName(reference.substr(0, slash)));
    if (slash == reference.npos) break;
    reference.remove_prefix(slash + 1);
  }
  return value;
}

}  // namespace headrace::sim
