// Fields of one JSON object, by their names and types. Of all that is wrong the first is kept. A
// field that is null counts as absent, and what is absent leaves its place as it was. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sim/api_error.h"
#include "sim/json_read.h"

namespace headrace::sim {

class FieldReader {
 public:
  // `error` outlives the reader; `prefix` stands before the names in what is told: "a.".
  FieldReader(JsonValue object, std::string_view prefix, std::optional<ApiError>* error)
      : object_(object), prefix_(prefix), error_(error) {}

  void Bool(std::string_view name, bool* out);
  void Integer(std::string_view name, std::optional<int64_t>* out);
  // A number from `low` on; `high` and more are told as `high`.
  void Count(std::string_view name, uint32_t low, uint32_t high, uint32_t* out);
  void Number(std::string_view name, double low, double high, double* out);
  void Text(std::string_view name, std::string* out);
  // The field when it is an object or a list; else nowhere.
  JsonValue Object(std::string_view name);
  JsonValue List(std::string_view name);
  // Reads the object that stands in that field.
  FieldReader Inside(std::string_view name, JsonValue object) const;
  // Of any type.
  JsonValue Find(std::string_view name) const { return object_.Find(name); }

  // Always false.
  bool Refuse(std::string_view name, std::string message);
  bool failed() const { return error_->has_value(); }

 private:
  JsonValue object_;
  std::string prefix_;
  std::optional<ApiError>* error_;
};

}  // namespace headrace::sim
