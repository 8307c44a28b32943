#include "wire/control_fields.h"

#include <bit>
#include <cstring>
#include <limits>

#include "wire/control.h"

namespace headrace::wire {
namespace {

static_assert(std::endian::native == std::endian::little, "integer arrays are copied as they are");

bool IsName(std::string_view text) {
  if (text.size() > kMaxNameBytes) return false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) return false;
  }
  return true;
}

}  // namespace

void Decoder::Reject(const char* text, Errc errc) {
  if (!ok()) return;
  what = text;
  code = errc;
}

uint32_t Decoder::OpenArray(const char* wrong) {
  uint32_t count = 0;
  if (ok() && !in.Array(&count)) Reject(wrong);
  return ok() ? count : 0;
}

bool Fields::Next() {
  if (left_ == 0 || !ok()) return false;
  --left_;
  return !decoder_->in.Nil();
}

void Fields::U32(uint32_t* out, const char* wrong) {
  if (!Next()) return;
  uint64_t value = 0;
  if (!decoder_->in.Uint(&value) || value > std::numeric_limits<uint32_t>::max()) {
    return decoder_->Reject(wrong);
  }
  *out = static_cast<uint32_t>(value);
}

void Fields::U64(uint64_t* out, const char* wrong) {
  if (Next()) ReadU64(decoder_, out, wrong);
}

void Fields::I64(int64_t* out, const char* wrong) {
  if (Next() && !decoder_->in.Int(out)) decoder_->Reject(wrong);
}

void Fields::Bool(bool* out, const char* wrong) {
  if (Next() && !decoder_->in.Bool(out)) decoder_->Reject(wrong);
}

void Fields::Name(std::string_view* out, const char* wrong) {
  if (Next()) ReadName(decoder_, out, wrong);
}

void Fields::Text(std::string_view* out, const char* wrong) {
  if (Next() && !decoder_->in.Str(out)) decoder_->Reject(wrong);
}

void Fields::Hash(BlockHash* out, const char* wrong) {
  if (!Next()) return;
  std::span<const uint8_t> bytes;
  if (!decoder_->in.Bin(&bytes) || bytes.size() > BlockHash::kMaxBytes) {
    return decoder_->Reject(wrong);
  }
  *out = BlockHash::Of(bytes);
}

void Fields::Hashes(HashList* out, const HashesText& text) {
  if (!Next()) return;
  Fields in(decoder_, text.wrong);
  uint64_t hash_bytes = 0;
  std::span<const uint8_t> bytes;
  if (in.left() < 2 || !decoder_->in.Uint(&hash_bytes) || !decoder_->in.Bin(&bytes)) {
    return decoder_->Reject(text.wrong);
  }
  in.left_ -= 2;
  in.Close();
  if (hash_bytes == 0 && bytes.empty()) return;  // an empty list needs no width
  if (hash_bytes == 0 || hash_bytes > BlockHash::kMaxBytes) return decoder_->Reject(text.width);
  if (bytes.size() % hash_bytes != 0) return decoder_->Reject(text.uneven);
  if (bytes.size() / hash_bytes > kMaxHashes) return decoder_->Reject(text.over);
  if (!ok()) return;
  *out = HashList(bytes.data(), static_cast<uint8_t>(hash_bytes), bytes.size() / hash_bytes);
}

void Fields::U32s(std::vector<uint32_t>* out, const char* wrong) {
  if (Next()) ReadU32s(decoder_, out, wrong);
}

uint32_t Fields::OpenList(size_t max, const ListText& text) {
  if (!Next()) return 0;
  const uint32_t count = decoder_->OpenArray(text.wrong);
  if (count <= max) return count;
  decoder_->Reject(text.over);
  return 0;
}

void Fields::Close() {
  for (; left_ > 0 && ok(); --left_) {
    if (!decoder_->in.Skip()) decoder_->Reject("frame: a field beyond the known ones is malformed");
  }
}

void ReadName(Decoder* decoder, std::string_view* out, const char* wrong) {
  std::string_view text;
  if (!decoder->in.Str(&text) || !IsName(text)) return decoder->Reject(wrong);
  *out = text;
}

void ReadU64(Decoder* decoder, uint64_t* out, const char* wrong) {
  if (!decoder->in.Uint(out)) decoder->Reject(wrong);
}

void ReadU32s(Decoder* decoder, std::vector<uint32_t>* out, const char* wrong) {
  std::span<const uint8_t> bytes;
  if (!decoder->in.Bin(&bytes) || bytes.size() % sizeof(uint32_t) != 0) {
    return decoder->Reject(wrong);
  }
  out->resize(bytes.size() / sizeof(uint32_t));
  if (!bytes.empty()) std::memcpy(out->data(), bytes.data(), bytes.size());
}

void WriteHash(MsgpackWriter* out, const BlockHash& hash) {
  out->Bin(hash.view());
}

void WriteHashes(MsgpackWriter* out, const HashList& hashes) {
  out->Array(2);
  out->Uint(hashes.hash_bytes());
  out->Bin(hashes.raw());
}

void WriteU32s(MsgpackWriter* out, const std::vector<uint32_t>& values) {
  out->Bin({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(uint32_t)});
}

size_t OpenFrame(std::string* out) {
  const size_t start = out->size();
  out->append(sizeof(uint32_t), '\0');
  return start;
}

void CloseFrame(std::string* out, size_t start) {
  const size_t payload = out->size() - start - sizeof(uint32_t);
  HR_CHECK(payload < kNoFrame);
  const uint32_t length = static_cast<uint32_t>(payload);
  std::memcpy(out->data() + start, &length, sizeof(length));
}

}  // namespace headrace::wire
