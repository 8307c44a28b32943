// RESP2, what Redis and Valkey speak: a writer of commands and a parser of replies that takes bytes
// as they come. Replies are read where they lie: nothing is copied, and nothing is allocated but
// the list of nodes, which is kept for the next. Never throws. Any thread.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::net {

// Appends commands to a string: the number of words, then the words.
class RespWriter {
 public:
  explicit RespWriter(std::string* out) : out_(out) {}

  void Command(size_t words) { Head('*', words); }
  void Word(std::string_view word);
  void Word(uint64_t number);
  void Command(std::initializer_list<std::string_view> words);

 private:
  void Head(char tag, uint64_t number);

  std::string* out_;
};

enum class RespKind : uint8_t { kNil, kSimple, kError, kInteger, kBulk, kArray };

struct RespNode {
  RespKind kind = RespKind::kNil;
  uint32_t size = 0;    // bytes of a text, elements of an array
  uint32_t offset = 0;  // of a text, from the start of the reply
  uint32_t past = 0;    // the node after this one and all that is in it
  int64_t integer = 0;
};

// One value of a reply; a view.
class RespValue {
 public:
  RespValue(const RespNode* nodes, uint32_t node, const char* bytes)
      : nodes_(nodes), node_(node), bytes_(bytes) {}

  RespKind kind() const { return nodes_[node_].kind; }
  bool is_nil() const { return kind() == RespKind::kNil; }
  bool is_error() const { return kind() == RespKind::kError; }
  bool is_array() const { return kind() == RespKind::kArray; }
  int64_t integer() const { return nodes_[node_].integer; }  // 0 when it is none
  // A simple string, an error or a bulk string; else empty.
  std::string_view text() const { return {bytes_ + nodes_[node_].offset, text_bytes()}; }
  size_t size() const { return is_array() ? nodes_[node_].size : 0; }
  // Elements: first(), then next() of each. REQUIRES: there is one.
  RespValue first() const { return {nodes_, node_ + 1, bytes_}; }
  RespValue next() const { return {nodes_, nodes_[node_].past, bytes_}; }
  RespValue operator[](size_t index) const;  // walks: for short arrays

 private:
  friend class RespCopy;
  size_t text_bytes() const { return is_array() ? 0 : nodes_[node_].size; }

  const RespNode* nodes_;
  uint32_t node_;
  const char* bytes_;
};

// A whole run of replies that stays when the bytes that it came in are gone.
class RespCopy {
 public:
  explicit RespCopy(const RespValue& root);  // REQUIRES: of RespParser::root
  RespCopy(const RespCopy&) = delete;
  RespCopy& operator=(const RespCopy&) = delete;
  RespValue root() const { return {nodes_.data(), 0, bytes_.data()}; }

 private:
  std::vector<RespNode> nodes_;
  std::string bytes_;
};

// Parses `replies` replies that follow one another, as one array of them.
class RespParser {
 public:
  static constexpr size_t kMaxDepth = 8;
  static constexpr uint32_t kMaxNodes = 1u << 24;
  static constexpr uint32_t kMaxBytes = 1u << 30;        // of one run of replies
  static constexpr size_t kMaxLine = size_t{64} * 1024;  // of a line: an error, a length

  explicit RespParser(uint32_t replies) { Reset(replies); }
  void Reset(uint32_t replies);

  // `bytes` is everything from the start of the run, more of it with each call. True when the run
  // is complete: size() says how many bytes it took.
  Result<bool> Parse(std::string_view bytes);
  size_t size() const { return at_; }
  // The array of replies. REQUIRES: Parse said true. Views `bytes` and this parser.
  // Nodes hold lengths.
  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage)
  RespValue root(std::string_view bytes) const { return {nodes_.data(), 0, bytes.data()}; }

 private:
  struct Open {
    uint32_t node;
    uint32_t left;
  };

  Result<bool> ParseOne(std::string_view bytes);
  Result<bool> ParseBody(const RespNode& head, size_t body, std::string_view bytes);
  Result<bool> PushArray(RespNode node, int64_t count);
  void Close();

  std::vector<RespNode> nodes_;
  std::vector<Open> open_;
  size_t at_ = 0;
};

}  // namespace headrace::net
