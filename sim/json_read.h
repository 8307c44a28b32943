// A JSON text, parsed once and looked at in place: texts without escapes are views into it, and one
// vector holds all values. Every request pays for this, so that it builds no tree. Strict: UTF-8
// only, numbers that a double holds, one value and nothing behind it. One thread.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sim/api_error.h"

namespace headrace::sim {

enum class JsonKind : uint8_t { kNull, kBool, kInteger, kNumber, kText, kList, kObject };

// One value. A container is followed by what it holds; of an object by names and values in turn.
struct JsonNode {
  const char* begin = nullptr;  // as it stands in the text; of a text: what it says
  union {
    int64_t integer = 0;
    double number;
    bool truth;
  };
  uint32_t size = 0;   // bytes at `begin`
  uint32_t span = 1;   // nodes, with all that it holds
  uint32_t count = 0;  // of a list: its items; of an object: its members
  JsonKind kind = JsonKind::kNull;
};

// A place in a document, or nowhere; valid as long as the document. Asking for a kind that it is
// not aborts.
class JsonValue {
 public:
  JsonValue() = default;
  explicit JsonValue(const JsonNode* node) : node_(node) {}

  explicit operator bool() const { return node_ != nullptr; }
  JsonKind kind() const { return node_->kind; }
  bool IsNull() const { return node_->kind == JsonKind::kNull; }
  bool IsBool() const { return node_->kind == JsonKind::kBool; }
  bool IsText() const { return node_->kind == JsonKind::kText; }
  bool IsList() const { return node_->kind == JsonKind::kList; }
  bool IsObject() const { return node_->kind == JsonKind::kObject; }

  bool truth() const;
  std::string_view text() const;
  // Of an integer, or of a number that is one ("10.0").
  std::optional<int64_t> integer() const;
  // Of an integer or a number.
  std::optional<double> number() const;
  uint32_t count() const { return node_->count; }
  // Of everything but a text: its bytes.
  std::string_view raw() const { return {node_->begin, node_->size}; }

  // The member of that name, the last one of several; nowhere when there is none.
  JsonValue Member(std::string_view name) const;
  // The same, but null counts as absent.
  JsonValue Find(std::string_view name) const;

  // Of a list: its items. Of an object: names and values in turn.
  class Iterator {
   public:
    explicit Iterator(const JsonNode* node) : node_(node) {}
    JsonValue operator*() const { return JsonValue(node_); }
    Iterator& operator++() {
      node_ += node_->span;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return node_ != other.node_; }

   private:
    const JsonNode* node_;
  };
  Iterator begin() const { return Iterator(node_ + 1); }
  Iterator end() const { return Iterator(node_ + node_->span); }

 private:
  const JsonNode* node_ = nullptr;
};

class JsonDocument {
 public:
  static constexpr uint32_t kMaxDepth = 100;
  static constexpr size_t kMaxValues = size_t{1} << 22;
  static constexpr size_t kMaxBytes = std::numeric_limits<uint32_t>::max();

  JsonDocument() = default;
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  // `text` outlives the document; what an earlier call gave is no longer valid. 400 says which byte
  // is wrong.
  ApiResult<JsonValue> Parse(std::string_view text);
  // The same, of an object.
  ApiResult<JsonValue> ParseObject(std::string_view text);

 private:
  std::vector<JsonNode> nodes_;
  std::string unescaped_;  // never longer than the text, so that it never moves
};

}  // namespace headrace::sim
