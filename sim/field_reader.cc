#include "sim/field_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace headrace::sim {

bool FieldReader::Refuse(std::string_view name, std::string message) {
  if (!*error_) *error_ = ApiError{400, std::move(message), fmt::format("{}{}", prefix_, name)};
  return false;
}

FieldReader FieldReader::Inside(std::string_view name, JsonValue object) const {
  return {object, fmt::format("{}{}.", prefix_, name), error_};
}

void FieldReader::Bool(std::string_view name, bool* out) {
  const JsonValue value = Find(name);
  if (!value) return;
  if (!value.IsBool()) {
    Refuse(name, fmt::format("{}{} must be true or false", prefix_, name));
    return;
  }
  *out = value.truth();
}

void FieldReader::Integer(std::string_view name, std::optional<int64_t>* out) {
  const JsonValue value = Find(name);
  if (!value) return;
  const std::optional<int64_t> number = value.integer();
  if (!number) {
    Refuse(name, fmt::format("{}{} must be a whole number", prefix_, name));
    return;
  }
  *out = number;
}

void FieldReader::Count(std::string_view name, uint32_t low, uint32_t high, uint32_t* out) {
  std::optional<int64_t> number;
  Integer(name, &number);
  if (!number) return;
  if (*number < low) {
    Refuse(name, fmt::format("{}{} must be at least {}, got {}", prefix_, name, low, *number));
    return;
  }
  *out = static_cast<uint32_t>(std::min<int64_t>(*number, high));
}

void FieldReader::Number(std::string_view name, double low, double high, double* out) {
  const JsonValue value = Find(name);
  if (!value) return;
  const std::optional<double> number = value.number();
  if (!number || *number < low || *number > high) {
    Refuse(name, fmt::format("{}{} must be a number from {} to {}", prefix_, name, low, high));
    return;
  }
  *out = *number;
}

void FieldReader::Text(std::string_view name, std::string* out) {
  const JsonValue value = Find(name);
  if (!value) return;
  if (!value.IsText()) {
    Refuse(name, fmt::format("{}{} must be a string", prefix_, name));
    return;
  }
  out->assign(value.text());
}

JsonValue FieldReader::Object(std::string_view name) {
  const JsonValue value = Find(name);
  if (!value || value.IsObject()) return value;
  Refuse(name, fmt::format("{}{} must be an object", prefix_, name));
  return {};
}

JsonValue FieldReader::List(std::string_view name) {
  const JsonValue value = Find(name);
  if (!value || value.IsList()) return value;
  Refuse(name, fmt::format("{}{} must be a list", prefix_, name));
  return {};
}

}  // namespace headrace::sim
