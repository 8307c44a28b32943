#include "net/resp.h"

#include <algorithm>
#include <charconv>

namespace headrace::net {
namespace {

constexpr std::string_view kEnd = "\r\n";

// A whole number with nothing around it.
bool ParseInteger(std::string_view text, int64_t* out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

RespKind KindOf(char tag) {
  switch (tag) {
    case '+':
      return RespKind::kSimple;
    case '-':
      return RespKind::kError;
    case ':':
      return RespKind::kInteger;
    case '$':
      return RespKind::kBulk;
    case '*':
      return RespKind::kArray;
    default:
      return RespKind::kNil;  // no tag of RESP2
  }
}

}  // namespace

void RespWriter::Head(char tag, uint64_t number) {
  char text[24];
  auto [end, error] = std::to_chars(text, text + sizeof(text), number);
  HR_DCHECK(error == std::errc());
  out_->push_back(tag);
  out_->append(text, end);
  out_->append(kEnd);
}

void RespWriter::Word(std::string_view word) {
  Head('$', word.size());
  out_->append(word);
  out_->append(kEnd);
}

void RespWriter::Word(uint64_t number) {
  char text[24];
  auto [end, error] = std::to_chars(text, text + sizeof(text), number);
  HR_DCHECK(error == std::errc());
  Word(std::string_view(text, end));
}

void RespWriter::Command(std::initializer_list<std::string_view> words) {
  HR_CHECK(words.size() > 0);
  Command(words.size());
  for (std::string_view word : words) Word(word);
}

RespValue RespValue::operator[](size_t index) const {
  HR_CHECK(index < size());
  RespValue value = first();
  while (index-- > 0) value = value.next();
  return value;
}

RespCopy::RespCopy(const RespValue& root) : nodes_(root.nodes_, root.nodes_ + root.nodes_[0].past) {
  HR_CHECK(root.node_ == 0);
  size_t end = 0;
  for (const RespNode& node : nodes_) {
    if (node.kind != RespKind::kArray) end = std::max<size_t>(end, node.offset + node.size);
  }
  bytes_.assign(root.bytes_, end);
}

void RespParser::Reset(uint32_t replies) {
  HR_CHECK(replies > 0 && replies < kMaxNodes);
  nodes_.clear();
  open_.clear();
  at_ = 0;
  nodes_.push_back({.kind = RespKind::kArray, .size = replies});
  open_.push_back({0, replies});
}

Result<bool> RespParser::Parse(std::string_view bytes) {
  HR_CHECK(bytes.size() >= at_);
  while (!open_.empty()) {
    HR_TRY(bool got, ParseOne(bytes));
    if (!got) return false;
  }
  return true;
}

// One more node: false when it is not all there yet.
Result<bool> RespParser::ParseOne(std::string_view bytes) {
  std::string_view rest = bytes.substr(at_);
  const size_t line = rest.substr(0, kMaxLine).find(kEnd);
  if (line == std::string_view::npos) {
    if (rest.size() >= kMaxLine) return Fail(Errc::kInvalid, "a line of a reply is too long");
    return false;
  }
  if (line == 0) return Fail(Errc::kInvalid, "a reply begins with an empty line");
  RespNode node;
  node.kind = KindOf(rest[0]);
  node.size = static_cast<uint32_t>(line - 1);
  node.offset = static_cast<uint32_t>(at_ + 1);
  if (node.kind == RespKind::kNil) return Fail(Errc::kInvalid, "a reply has an unknown tag");
  if (node.kind == RespKind::kSimple || node.kind == RespKind::kError) {
    nodes_.push_back(node);
    at_ += line + kEnd.size();
    Close();
    return true;
  }
  if (!ParseInteger(rest.substr(1, line - 1), &node.integer)) {
    return Fail(Errc::kInvalid, "a number of a reply is none");
  }
  return ParseBody(node, at_ + line + kEnd.size(), bytes);
}

// What follows the line that named a number; `body` is where.
Result<bool> RespParser::ParseBody(const RespNode& head, size_t body, std::string_view bytes) {
  RespNode node = head;
  if (head.kind == RespKind::kInteger) {
    node.size = 0;
  } else if (head.integer == -1) {
    node = {};
  } else if (head.kind == RespKind::kArray) {
    at_ = body;
    return PushArray(node, head.integer);
  } else {
    if (head.integer < 0 || head.integer > int64_t{kMaxBytes}) {
      return Fail(Errc::kLimit, "a text of a reply is too long");
    }
    const auto length = static_cast<size_t>(head.integer);
    if (body + length + kEnd.size() > kMaxBytes) {
      return Fail(Errc::kLimit, "replies are too long");
    }
    if (bytes.size() < body + length + kEnd.size()) return false;
    if (bytes.substr(body + length, kEnd.size()) != kEnd) {
      return Fail(Errc::kInvalid, "a text of a reply has another length than it says");
    }
    node = {.kind = RespKind::kBulk,
            .size = static_cast<uint32_t>(length),
            .offset = static_cast<uint32_t>(body)};
    body += length + kEnd.size();
  }
  nodes_.push_back(node);
  at_ = body;
  Close();
  return true;
}

Result<bool> RespParser::PushArray(RespNode node, int64_t count) {
  if (count < 0 || count > int64_t{kMaxNodes} || nodes_.size() > kMaxNodes) {
    return Fail(Errc::kLimit, "an array of a reply is too long");
  }
  if (open_.size() > kMaxDepth) return Fail(Errc::kLimit, "arrays of a reply are too deep");
  node.size = static_cast<uint32_t>(count);
  node.integer = 0;
  nodes_.push_back(node);
  if (count == 0) {
    Close();
  } else {
    open_.push_back({static_cast<uint32_t>(nodes_.size() - 1), node.size});
  }
  return true;
}

// The last node pushed is complete, and so may be the arrays that it ends.
void RespParser::Close() {
  nodes_.back().past = static_cast<uint32_t>(nodes_.size());
  while (!open_.empty() && --open_.back().left == 0) {
    nodes_[open_.back().node].past = static_cast<uint32_t>(nodes_.size());
    open_.pop_back();
  }
}

}  // namespace headrace::net
