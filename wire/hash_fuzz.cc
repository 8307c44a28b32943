// Any tokens, keys and parents: the fast walks agree with one block after another, and llm-d's
// FNV-1a with its definition over CBOR that was written down.
#include <cstring>

#include "wire/hash.h"
#include "wire/hash_cbor.h"

using namespace headrace;
using wire::BlockHash;
using wire::BlockHasher;
using wire::ExtraKeys;
using wire::HashAlgo;

namespace {

// Takes what it is asked for from the front of the input, zeros when that is over.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data, size) {}

  template <typename T>
  T Take() {
    T value{};
    const size_t size = std::min(sizeof value, data_.size());
    if (size > 0) std::memcpy(&value, data_.data(), size);
    data_ = data_.subspan(size);
    return value;
  }
  std::string TakeText() {
    const size_t size = std::min<size_t>(Take<uint8_t>(), data_.size());
    std::string text(reinterpret_cast<const char*>(data_.data()), size);
    data_ = data_.subspan(size);
    return text;
  }
  bool AtEnd() const { return data_.empty(); }

 private:
  std::span<const uint8_t> data_;
};

wire::KeyAtom TakeAtom(Input* in) {
  switch (in->Take<uint8_t>() % 3) {
    case 0:
      return in->TakeText();
    case 1:
      return in->Take<int64_t>();
    default: {
      const std::string text = in->TakeText();
      return std::vector<uint8_t>(text.begin(), text.end());
    }
  }
}

ExtraKeys TakeKeys(Input* in) {
  ExtraKeys keys(in->Take<uint8_t>() % 3);
  for (wire::ExtraKey& key : keys) {
    const auto shape = in->Take<uint8_t>();
    key.bare = (shape & 1) != 0;
    for (int i = 0; i < (shape >> 1) % 5; ++i) key.atoms.push_back(TakeAtom(in));
  }
  return keys;
}

// FNV-1a over [parent, tokens, null], as the algorithm is defined.
uint64_t PlainFnv(uint64_t parent, std::span<const uint32_t> tokens) {
  std::string bytes;
  wire::CborWriter writer(&bytes);
  writer.Array(3);
  writer.Uint(parent);
  writer.Uints(tokens);
  writer.Nil();
  uint64_t state = 0xcbf29ce484222325;
  for (const char byte : bytes) state = (state ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  return state;
}

void CheckWords(const BlockHasher& hasher, HashAlgo algo, uint64_t parent,
                std::span<const uint32_t> block) {
  std::vector<uint64_t> keys;
  hasher.KeysAfter(parent, block, {}, &keys);
  HR_CHECK(keys.size() == 1);
  const bool is_fnv = algo == HashAlgo::kLlmdC || algo == HashAlgo::kLlmdD;
  if (is_fnv) HR_CHECK(keys[0] == PlainFnv(parent, block));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  wire::HasherOptions options;
  options.algo = static_cast<HashAlgo>(in.Take<uint8_t>() % 10);
  options.block_tokens = 1 + in.Take<uint8_t>() % 40;
  if (options.algo != HashAlgo::kBlake3) options.seed = in.TakeText();
  options.model = in.TakeText();
  const auto parent = in.Take<uint64_t>() >> in.Take<uint8_t>() % 64;
  const bool with_keys = (in.Take<uint8_t>() & 1) != 0;
  const auto hasher = BlockHasher::Create(options);
  HR_CHECK(hasher.has_value());
  std::vector<uint32_t> tokens;
  std::vector<ExtraKeys> extras;
  std::vector<uint64_t> want, keys;
  BlockHash hash;
  while (!in.AtEnd()) {
    std::vector<uint32_t> block(options.block_tokens);
    for (uint32_t& token : block) token = in.Take<uint32_t>() >> in.Take<uint8_t>() % 32;
    if (with_keys) extras.push_back(TakeKeys(&in));
    hash = (*hasher)->Next(hash, block, with_keys ? &extras.back() : nullptr);
    want.push_back(BlockHasher::Low64(hash));
    tokens.insert(tokens.end(), block.begin(), block.end());
    if (hash.size == 8) CheckWords(**hasher, options.algo, parent, block);
  }
  (*hasher)->Keys(tokens, extras, &keys);
  HR_CHECK(keys == want);
  return 0;
}
