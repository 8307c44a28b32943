// How the control codec reads: positional arrays whose missing or nil fields keep their defaults
// and whose extra fields are skipped. Private to the codec. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/block_hash.h"
#include "wire/msgpack.h"

// Ends of error texts. A field's text is a literal such as "Query.registration" HR_NOT_U32, because
// an Error owns no memory.
#define HR_NOT_U32 ": not an unsigned 32-bit integer"
#define HR_NOT_U64 ": not an unsigned 64-bit integer"
#define HR_NOT_I64 ": not a 64-bit integer"
#define HR_NOT_BOOL ": not a bool"
#define HR_NOT_NAME ": not a string of at most 256 bytes without control characters"
#define HR_NOT_STRING ": not a string"
#define HR_NOT_ARRAY ": not an array"
#define HR_NOT_HASH ": not a bin of at most 32 bytes"
#define HR_NOT_U32S ": not a bin of little-endian 32-bit integers"
#define HR_HASHES_TEXT(field)                                               \
  ::headrace::wire::HashesText{                                             \
      field ": not [hash_bytes, bin]", field ": hash_bytes is not 1 to 32", \
      field ": length is not a multiple of hash_bytes", field ": more than 65536 hashes"}

namespace headrace::wire {

struct HashesText {
  const char* wrong;
  const char* width;
  const char* uneven;
  const char* over;
};

struct ListText {
  const char* wrong;
  const char* over;
};

// The state of decoding one frame: where it reads, and the first fault, which sticks.
struct Decoder {
  explicit Decoder(std::span<const uint8_t> payload) : in(payload) {}

  bool ok() const { return what == nullptr; }
  void Reject(const char* text, Errc errc = Errc::kInvalid);
  // Elements of the array that opens here; 0 after a fault.
  uint32_t OpenArray(const char* wrong);

  MsgpackReader in;
  const char* what = nullptr;
  Errc code = Errc::kOk;
};

// The fields of one array, in order. After a fault every call does nothing.
class Fields {
 public:
  // Opens an array that is a nested struct.
  Fields(Decoder* decoder, const char* wrong)
      : decoder_(decoder), left_(decoder->OpenArray(wrong)) {}
  // `left` fields of an array that is open.
  Fields(Decoder* decoder, uint32_t left) : decoder_(decoder), left_(left) {}

  void U32(uint32_t* out, const char* wrong);
  void U64(uint64_t* out, const char* wrong);
  void I64(int64_t* out, const char* wrong);
  void Bool(bool* out, const char* wrong);
  void Name(std::string_view* out, const char* wrong);
  void Text(std::string_view* out, const char* wrong);  // any bytes, any length
  void Hash(BlockHash* out, const char* wrong);
  void Hashes(HashList* out, const HashesText& text);
  void U32s(std::vector<uint32_t>* out, const char* wrong);

  // An array of at most `max` elements; read_one(Decoder*, T*) reads each.
  template <typename T, typename ReadOne>
  void List(std::vector<T>* out, size_t max, const ListText& text, ReadOne read_one) {
    const uint32_t count = OpenList(max, text);
    out->resize(count);
    for (uint32_t i = 0; i < count && ok(); ++i) read_one(decoder_, &(*out)[i]);
  }

  // A nested struct: read_one(Decoder*, T*) opens its array.
  template <typename T, typename ReadOne>
  void Struct(T* out, ReadOne read_one) {
    if (Next()) read_one(decoder_, out);
  }

  uint32_t left() const { return left_; }
  bool ok() const { return decoder_->ok(); }
  // Rejects unless `condition` holds; for rules that join fields.
  void Require(bool condition, const char* text) {
    if (!condition) decoder_->Reject(text);
  }
  void Close();  // skips what a newer version added

 private:
  bool Next();  // whether a value stands here that is not nil
  uint32_t OpenList(size_t max, const ListText& text);

  Decoder* decoder_;
  uint32_t left_;
};

// Elements of lists.
void ReadName(Decoder* decoder, std::string_view* out, const char* wrong);
void ReadU64(Decoder* decoder, uint64_t* out, const char* wrong);
void ReadU32s(Decoder* decoder, std::vector<uint32_t>* out, const char* wrong);

// Parts of messages that both sides write.
void WriteHash(MsgpackWriter* out, const BlockHash& hash);
void WriteHashes(MsgpackWriter* out, const HashList& hashes);
void WriteU32s(MsgpackWriter* out, const std::vector<uint32_t>& values);

// A frame's length stands before its payload: opened first, closed when the payload is whole.
size_t OpenFrame(std::string* out);
void CloseFrame(std::string* out, size_t start);

}  // namespace headrace::wire
