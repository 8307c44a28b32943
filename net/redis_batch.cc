#include "net/redis_batch.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

namespace headrace::net {
namespace {

// CRC-16/XMODEM, by which a Cluster spreads keys.
constexpr std::array<uint16_t, 256> MakeCrcTable() {
  std::array<uint16_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1;
    table[i] = static_cast<uint16_t>(crc);
  }
  return table;
}
constexpr std::array<uint16_t, 256> kCrcTable = MakeCrcTable();
static_assert(kCrcTable[1] == 0x1021);

}  // namespace

uint16_t RedisSlot(std::string_view key) {
  const size_t open = key.find('{');
  if (open != std::string_view::npos) {
    const size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) {
      key = key.substr(open + 1, close - open - 1);
    }
  }
  uint16_t crc = 0;
  for (char c : key) {
    const auto index = static_cast<uint8_t>((crc >> 8) ^ static_cast<uint8_t>(c));
    crc = static_cast<uint16_t>((crc << 8) ^ kCrcTable[index]);
  }
  return crc % kRedisSlots;
}

RedisScript::RedisScript(std::string text) : text_(std::move(text)) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned int size = 0;
  const int done =
      EVP_Digest(text_.data(), text_.size(), digest.data(), &size, EVP_sha1(), nullptr);
  HR_CHECK(done == 1 && size == 20);
  for (unsigned int i = 0; i < size; ++i) sha_ += fmt::format("{:02x}", digest[i]);
}

void RedisBatch::Command(std::string_view key, size_t words) {
  HR_DCHECK(words > 0);
  commands_.push_back({bytes_.size(), RedisSlot(key), nullptr});
  RespWriter(&bytes_).Command(words);
}

void RedisBatch::Add(std::string_view key, std::initializer_list<std::string_view> words) {
  Command(key, words.size());
  for (std::string_view word : words) Word(word);
}

void RedisBatch::Eval(const RedisScript& script, std::string_view key, size_t num_keys,
                      size_t words) {
  HR_CHECK(num_keys > 0 && words >= num_keys);
  Command(key, words + 3);
  commands_.back().script = &script;
  Word("EVALSHA");
  Word(script.sha());
  Word(num_keys);
}

std::string_view RedisBatch::command(size_t index) const {
  HR_CHECK(index < size());
  const size_t begin = commands_[index].offset;
  const size_t end = index + 1 < size() ? commands_[index + 1].offset : bytes_.size();
  return bytes().substr(begin, end - begin);
}

}  // namespace headrace::net
