#include "sim/json_read.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "base/hex.h"
#include "base/result.h"
#include "sim/json_text.h"
#include "text/utf8.h"

namespace headrace::sim {
namespace {

constexpr double kWholeBelow = 9007199254740992.0;  // 2^53: from there on doubles skip integers

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

void AppendUtf8(uint32_t point, std::string* out) {
  const auto add = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (point < 0x80) {
    add(point);
    return;
  }
  if (point < 0x800) {
    add(0xc0 | (point >> 6));
  } else {
    if (point < 0x10000) {
      add(0xe0 | (point >> 12));
    } else {
      add(0xf0 | (point >> 18));
      add(0x80 | ((point >> 12) & 0x3f));
    }
    add(0x80 | ((point >> 6) & 0x3f));
  }
  add(0x80 | (point & 0x3f));
}

// Of the letter behind a backslash, 'u' apart; 0: there is no such escape.
char SimpleEscape(char c) {
  switch (c) {
    case '"':
    case '\\':
    case '/':
      return c;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return 0;
  }
}

class Parser {
 public:
  Parser(std::string_view text, std::vector<JsonNode>* nodes, std::string* unescaped)
      : begin_(text.data()),
        at_(text.data()),
        end_(text.data() + text.size()),
        nodes_(*nodes),
        unescaped_(*unescaped) {}

  bool Whole() {
    if (!Value(0)) return false;
    SkipBlanks();
    return at_ == end_ || Wrong("nothing may follow the value");
  }
  const char* why() const { return why_; }
  size_t byte() const { return static_cast<size_t>(at_ - begin_); }

 private:
  bool Wrong(const char* why) {
    why_ = why;
    return false;
  }
  void SkipBlanks() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }
  bool Next(char c) {
    if (at_ == end_ || *at_ != c) return false;
    ++at_;
    return true;
  }
  size_t left() const { return static_cast<size_t>(end_ - at_); }

  JsonNode* Add(JsonKind kind) {
    JsonNode& node = nodes_.emplace_back();
    node.kind = kind;
    node.begin = at_;
    return &node;
  }
  void Close(JsonNode* node) const { node->size = static_cast<uint32_t>(at_ - node->begin); }

  bool Value(uint32_t depth) {
    if (depth > JsonDocument::kMaxDepth) return Wrong("it is nested too deep");
    if (nodes_.size() >= JsonDocument::kMaxValues) return Wrong("there are too many values");
    SkipBlanks();
    if (at_ == end_) return Wrong("a value is missing");
    switch (*at_) {
      case '{':
        return Container(JsonKind::kObject, depth);
      case '[':
        return Container(JsonKind::kList, depth);
      case '"':
        return Text();
      case 't':
        return Word("true", JsonKind::kBool, true);
      case 'f':
        return Word("false", JsonKind::kBool, false);
      case 'n':
        return Word("null", JsonKind::kNull, false);
      default:
        return Number();
    }
  }

  bool Word(std::string_view word, JsonKind kind, bool truth) {
    if (std::string_view(at_, left()).substr(0, word.size()) != word) return Wrong("no such word");
    JsonNode* node = Add(kind);
    node->truth = truth;
    at_ += word.size();
    Close(node);
    return true;
  }

  bool Container(JsonKind kind, uint32_t depth) {
    const size_t place = nodes_.size();
    const bool object = kind == JsonKind::kObject;
    const char last = object ? '}' : ']';
    Add(kind);
    ++at_;
    SkipBlanks();
    uint32_t count = 0;
    if (!Next(last)) {
      do {
        if (object && !Name()) return false;
        if (!Value(depth + 1)) return false;
        ++count;
        SkipBlanks();
      } while (Next(','));
      if (!Next(last))
        return Wrong(object ? "a comma or a } belongs here" : "a comma or a ] belongs here");
    }
    JsonNode& node = nodes_[place];
    node.span = static_cast<uint32_t>(nodes_.size() - place);
    node.count = count;
    Close(&node);
    return true;
  }

  bool Name() {
    SkipBlanks();
    if (at_ == end_ || *at_ != '"') return Wrong("a name in quotes belongs here");
    if (!Text()) return false;
    SkipBlanks();
    return Next(':') || Wrong("a colon belongs here");
  }

  bool Text() {
    JsonNode* node = Add(JsonKind::kText);
    ++at_;
    const size_t plain = PlainRun({at_, left()});
    if (plain < left() && at_[plain] == '"') {
      node->begin = at_;
      node->size = static_cast<uint32_t>(plain);
      at_ += plain + 1;
      return true;
    }
    return Escaped(node);
  }
  bool Escaped(JsonNode* node) {
    if (unescaped_.capacity() < static_cast<size_t>(end_ - begin_)) {
      unescaped_.reserve(static_cast<size_t>(end_ - begin_));
    }
    const size_t start = unescaped_.size();
    while (true) {
      const size_t plain = PlainRun({at_, left()});
      unescaped_.append(at_, plain);
      at_ += plain;
      if (at_ == end_) return Wrong("a text does not end");
      if (Next('"')) break;
      if (!Next('\\')) return Wrong("a control character must be escaped");
      if (!Escape()) return false;
    }
    node->begin = unescaped_.data() + start;
    node->size = static_cast<uint32_t>(unescaped_.size() - start);
    return true;
  }
  bool Escape() {
    if (at_ == end_) return Wrong("a text does not end");
    if (*at_ != 'u') {
      const char c = SimpleEscape(*at_);
      if (c == 0) return Wrong("there is no such escape");
      unescaped_.push_back(c);
      ++at_;
      return true;
    }
    ++at_;
    uint32_t point = 0;
    if (!FourDigits(&point)) return false;
    if (point >= 0xd800 && point < 0xe000 && !OtherHalf(&point)) return false;
    AppendUtf8(point, &unescaped_);
    return true;
  }
  // Of a surrogate pair, whose first half is in `point`.
  bool OtherHalf(uint32_t* point) {
    uint32_t low = 0;
    if (*point >= 0xdc00 || !Next('\\') || !Next('u')) return Wrong("half of a surrogate pair");
    if (!FourDigits(&low)) return false;
    if (low < 0xdc00 || low >= 0xe000) return Wrong("half of a surrogate pair");
    *point = 0x10000 + ((*point - 0xd800) << 10) + (low - 0xdc00);
    return true;
  }
  bool FourDigits(uint32_t* value) {
    *value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const int digit = at_ == end_ ? -1 : HexDigit(*at_);
      if (digit < 0) return Wrong("four hexadecimal digits belong here");
      *value = *value * 16 + static_cast<uint32_t>(digit);
    }
    return true;
  }

  bool Digits() {
    if (at_ == end_ || !IsDigit(*at_)) return Wrong("no value begins so");
    while (at_ != end_ && IsDigit(*at_)) ++at_;
    return true;
  }
  bool Number() {
    JsonNode* node = Add(JsonKind::kInteger);
    Next('-');
    const bool zero = at_ != end_ && *at_ == '0';
    const char* const first = at_;
    if (!Digits()) return false;
    if (zero && at_ - first > 1) return Wrong("a number begins with 0");
    const char* const whole = at_;
    if (Next('.') && !Digits()) return false;
    if (!Exponent()) return false;
    Close(node);
    if (at_ == whole && std::from_chars(node->begin, at_, node->integer).ec == std::errc())
      return true;
    return Float(node);
  }
  bool Exponent() {
    if (!Next('e') && !Next('E')) return true;
    if (!Next('-')) Next('+');
    return Digits();
  }
  bool Float(JsonNode* node) {
    node->kind = JsonKind::kNumber;
    node->number = 0;
    const auto [rest, error] = std::from_chars(node->begin, at_, node->number);
    if (error == std::errc()) return rest == at_ || Wrong("no value begins so");
    // The library does not say which way: what is too small for a double is as good as 0.
    const std::string_view text(node->begin, node->size);
    const size_t exponent = text.find_first_of("eE");
    if (exponent != text.npos && text[exponent + 1] == '-') {
      node->number = 0;
      return true;
    }
    return Wrong("a number is out of range");
  }

  const char* const begin_;
  const char* at_;
  const char* const end_;
  std::vector<JsonNode>& nodes_;
  std::string& unescaped_;
  const char* why_ = "";
};

tl::unexpected<ApiError> NotJson(std::string_view why) {
  return tl::unexpected(ApiError{400, fmt::format("the body is not JSON: {}", why)});
}

}  // namespace

bool JsonValue::truth() const {
  HR_CHECK(IsBool());
  return node_->truth;
}

std::string_view JsonValue::text() const {
  HR_CHECK(IsText());
  return {node_->begin, node_->size};
}

std::optional<int64_t> JsonValue::integer() const {
  if (kind() == JsonKind::kInteger) return node_->integer;
  if (kind() != JsonKind::kNumber) return std::nullopt;
  const double value = node_->number;
  if (std::abs(value) >= kWholeBelow || value != std::trunc(value)) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::optional<double> JsonValue::number() const {
  if (kind() == JsonKind::kInteger) return static_cast<double>(node_->integer);
  if (kind() == JsonKind::kNumber) return node_->number;
  return std::nullopt;
}

JsonValue JsonValue::Member(std::string_view name) const {
  HR_CHECK(IsObject());
  JsonValue found;
  const JsonNode* const last = node_ + node_->span;
  for (const JsonNode* key = node_ + 1; key != last;) {
    const JsonNode* const value = key + 1;
    if (name == std::string_view(key->begin, key->size)) found = JsonValue(value);
    key = value + value->span;
  }
  return found;
}

JsonValue JsonValue::Find(std::string_view name) const {
  const JsonValue found = Member(name);
  return found && found.IsNull() ? JsonValue() : found;
}

ApiResult<JsonValue> JsonDocument::Parse(std::string_view text) {
  constexpr size_t kFirstNodes = 48;  // those of a short chat
  nodes_.clear();
  unescaped_.clear();
  if (text.size() > kMaxBytes) return NotJson("it is longer than 4 GiB");
  if (!text::IsUtf8(text)) return NotJson("it is not UTF-8");
  if (nodes_.capacity() == 0) nodes_.reserve(kFirstNodes);
  Parser parser(text, &nodes_, &unescaped_);
  if (!parser.Whole()) return NotJson(fmt::format("byte {}: {}", parser.byte(), parser.why()));
  return JsonValue(nodes_.data());
}

ApiResult<JsonValue> JsonDocument::ParseObject(std::string_view text) {
  auto value = Parse(text);
  if (value && !value->IsObject()) {
    return tl::unexpected(ApiError{400, "the body must be a JSON object"});
  }
  return value;
}

}  // namespace headrace::sim
