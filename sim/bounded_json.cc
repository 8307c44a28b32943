#include "sim/bounded_json.h"

#include <nlohmann/json.hpp>

namespace headrace::sim {
namespace {

constexpr size_t kMaxDepth = 64;

// Brackets outside of texts, counted before the library builds anything.
bool IsTooDeep(std::string_view text) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

}  // namespace

std::optional<nlohmann::json> ParseBoundedJson(std::string_view text) {
  if (IsTooDeep(text)) return std::nullopt;
  try {
    return nlohmann::json::parse(text.begin(), text.end());
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

std::string WriteJson(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace headrace::sim
