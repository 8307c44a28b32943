#include "wire/hash_pickle.h"

#include <bit>
#include <cstring>

#include "base/result.h"

namespace headrace::wire {
namespace {

static_assert(std::endian::native == std::endian::little, "integers are copied as they are");

constexpr size_t kFrameTarget = 64 << 10;  // a frame of this many bytes ends with its value
constexpr size_t kFrameHead = 9;           // opcode and length
constexpr size_t kFrameMin = 4;            // a shorter one has no head
constexpr size_t kMaxUint = 7;             // opcode, length and 5 bytes

namespace op {
constexpr char kProto[] = "\x80\x05";
constexpr char kFrame = '\x95';
constexpr char kNone = 'N';
constexpr char kInt1 = 'K', kInt2 = 'M', kInt4 = 'J', kLong1 = '\x8a';
constexpr char kBytes1 = 'C', kBytes4 = 'B';
constexpr char kText1 = '\x8c', kText4 = 'X';
constexpr char kMark = '(', kEmptyTuple = ')', kTuple = 't';
constexpr char kTuple1 = '\x85';  // of 1, 2 and 3 values: without a mark
constexpr char kMemoize = '\x94', kGet1 = 'h', kGet4 = 'j';
constexpr char kStop = '.';
}  // namespace op

template <typename T>
char* Copy(char* at, T value) {
  std::memcpy(at, &value, sizeof value);
  return at + sizeof value;
}

char* PutLong(char* at, int64_t value) {
  int width = 8;  // the fewest bytes of two's complement
  while (width > 1) {
    const int unused = 64 - 8 * (width - 1);
    if (static_cast<int64_t>(static_cast<uint64_t>(value) << unused) >> unused != value) break;
    --width;
  }
  *at++ = op::kLong1;
  *at++ = static_cast<char>(width);
  std::memcpy(at, &value, static_cast<size_t>(width));
  return at + width;
}

// Writes at most 10 bytes, of a uint32_t at most kMaxUint.
inline char* PutInt(char* at, int64_t value) {
  if (value != static_cast<int32_t>(value)) return PutLong(at, value);
  if (value >= 1 << 16 || value < 0) {
    *at++ = op::kInt4;
    return Copy(at, static_cast<int32_t>(value));
  }
  if (value >= 1 << 8) {
    *at++ = op::kInt2;
    return Copy(at, static_cast<uint16_t>(value));
  }
  *at++ = op::kInt1;
  *at++ = static_cast<char>(value);
  return at;
}

// An opcode for lengths of one byte, or one for lengths of four.
std::string_view SizedHead(char head[5], char op1, char op4, size_t size) {
  HR_CHECK(size <= UINT32_MAX);
  if (size < 1 << 8) {
    head[0] = op1;
    head[1] = static_cast<char>(size);
    return {head, 2};
  }
  head[0] = op4;
  Copy(head + 1, static_cast<uint32_t>(size));
  return {head, 5};
}

}  // namespace

PickleWriter::PickleWriter(std::string* out) : out_(out) {
  out_->assign(op::kProto, 2);
}

void PickleWriter::None() {
  BeginValue();
  Put({&op::kNone, 1});
}

void PickleWriter::Int(int64_t value) {
  BeginValue();
  char bytes[10];
  const char* end = PutInt(bytes, value);
  Put({bytes, static_cast<size_t>(end - bytes)});
}

void PickleWriter::Bytes(std::span<const uint8_t> bytes) {
  BeginValue();
  char head[5];
  PutSized(SizedHead(head, op::kBytes1, op::kBytes4, bytes.size()),
           {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  Memoize();
}

void PickleWriter::Text(std::string_view text) {
  BeginValue();
  char head[5];
  for (const auto& [known, index] : texts_) {
    if (known == text) return Put(SizedHead(head, op::kGet1, op::kGet4, index));
  }
  PutSized(SizedHead(head, op::kText1, op::kText4, text.size()), text);
  texts_.emplace_back(text, memo_size_);
  Memoize();
}

void PickleWriter::OpenTuple(size_t count) {
  BeginValue();
  if (count > 3) Put({&op::kMark, 1});
}

void PickleWriter::CloseTuple(size_t count) {
  if (count == 0) return Put({&op::kEmptyTuple, 1});
  const char close = count > 3 ? op::kTuple : static_cast<char>(op::kTuple1 + (count - 1));
  Put({&close, 1});
  Memoize();
}

void PickleWriter::Uints(std::span<const uint32_t> values) {
  OpenTuple(values.size());
  if (frame_ == kNoFrame) OpenFrame();
  if (FrameBytes() + values.size() * kMaxUint < kFrameTarget) {
    const size_t old = out_->size();
    out_->resize(old + values.size() * kMaxUint);
    char* at = out_->data() + old;
    for (const uint32_t value : values) at = PutInt(at, value);
    out_->resize(static_cast<size_t>(at - out_->data()));
  } else {
    for (const uint32_t value : values) Int(value);
  }
  CloseTuple(values.size());
}

void PickleWriter::Finish() {
  Put({&op::kStop, 1});
  CloseFrame();
}

void PickleWriter::BeginValue() {
  if (frame_ != kNoFrame && FrameBytes() >= kFrameTarget) CloseFrame();
}

void PickleWriter::Put(std::string_view bytes) {
  if (frame_ == kNoFrame) OpenFrame();
  out_->append(bytes);
}

void PickleWriter::PutSized(std::string_view head, std::string_view body) {
  if (body.size() < kFrameTarget) {
    Put(head);
    Put(body);
    return;
  }
  CloseFrame();
  out_->append(head);
  out_->append(body);
}

void PickleWriter::OpenFrame() {
  frame_ = out_->size();
  out_->append(kFrameHead, '\0');
}

void PickleWriter::CloseFrame() {
  if (frame_ == kNoFrame) return;
  const uint64_t size = FrameBytes();
  if (size >= kFrameMin) {
    (*out_)[frame_] = op::kFrame;
    Copy(out_->data() + frame_ + 1, size);
  } else {
    out_->erase(frame_, kFrameHead);
  }
  frame_ = kNoFrame;
}

size_t PickleWriter::FrameBytes() const {
  return out_->size() - frame_ - kFrameHead;
}

void PickleWriter::Memoize() {
  Put({&op::kMemoize, 1});
  ++memo_size_;
}

}  // namespace headrace::wire
