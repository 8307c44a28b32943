// What every algorithm of wire/hash.h shares: walking a chain of blocks. Internal to wire/hash*.cc.
#pragma once

#include <memory>
#include <utility>

#include "wire/hash.h"

namespace headrace::wire {

// A digest of 8 bytes is a number while the chain is walked, and big-endian in a BlockHash.
inline BlockHash ToBlockHash(uint64_t word) {
  BlockHash hash;
  hash.size = 8;
  for (int i = 0; i < 8; ++i) hash.bytes[i] = static_cast<uint8_t>(word >> (56 - 8 * i));
  return hash;
}
inline BlockHash ToBlockHash(const BlockHash& hash) {
  return hash;
}
inline uint64_t ToWord(uint64_t word) {
  return word;
}
inline uint64_t ToWord(const BlockHash& hash) {
  return BlockHasher::Low64(hash);
}

// Derived has `Link`, uint64_t or BlockHash: what a block hands on to the next; `Scratch`, memory
// of one walk; and  Link Hash(const Link& parent, std::span<const uint32_t> tokens,
//                             const ExtraKeys* extra, Scratch* scratch) const,
// whose `extra` is null or not empty.
template <typename Derived, typename Link, typename Scratch>
class ChainHasher : public BlockHasher {
 public:
  BlockHash root() const override { return ToBlockHash(root_); }

  BlockHash Next(const BlockHash& parent, std::span<const uint32_t> tokens,
                 const ExtraKeys* extra) const override {
    HR_CHECK(tokens.size() == block_tokens_);
    HR_CHECK(parent.empty() || parent.size == root().size);
    Scratch scratch;
    const Link link = parent.empty() ? root_ : FromBlockHash(parent);
    return ToBlockHash(derived().Hash(link, tokens, OrNull(extra), &scratch));
  }

  void Keys(std::span<const uint32_t> tokens, std::span<const ExtraKeys> extras,
            std::vector<uint64_t>* out) const override {
    Walk(root_, tokens, extras, out);
  }

  void KeysAfter(uint64_t parent, std::span<const uint32_t> tokens,
                 std::span<const ExtraKeys> extras, std::vector<uint64_t>* out) const override {
    HR_CHECK(root().size == sizeof(uint64_t));
    if constexpr (std::is_same_v<Link, uint64_t>) Walk(parent, tokens, extras, out);
  }

 private:
  friend Derived;
  ChainHasher(const Link& root, uint32_t block_tokens) : root_(root), block_tokens_(block_tokens) {
    HR_CHECK(block_tokens > 0);
  }

  static const ExtraKeys* OrNull(const ExtraKeys* extra) {
    return extra == nullptr || extra->empty() ? nullptr : extra;
  }
  static Link FromBlockHash(const BlockHash& hash) {
    if constexpr (std::is_same_v<Link, uint64_t>) {
      return ToWord(hash);
    } else {
      return hash;
    }
  }
  const Derived& derived() const { return static_cast<const Derived&>(*this); }

  void Walk(Link link, std::span<const uint32_t> tokens, std::span<const ExtraKeys> extras,
            std::vector<uint64_t>* out) const {
    const size_t blocks = tokens.size() / block_tokens_;
    HR_CHECK(extras.empty() || extras.size() == blocks);
    out->resize(blocks);
    Scratch scratch;
    for (size_t i = 0; i < blocks; ++i) {
      const ExtraKeys* extra = extras.empty() ? nullptr : OrNull(&extras[i]);
      link =
          derived().Hash(link, tokens.subspan(i * block_tokens_, block_tokens_), extra, &scratch);
      (*out)[i] = ToWord(link);
    }
  }

  const Link root_;
  const uint32_t block_tokens_;
};

struct NoScratch {};

using HasherResult = Result<std::unique_ptr<const BlockHasher>>;
// Each for its algorithms, with options that BlockHasher::Create has looked at.
HasherResult MakeVllmHasher(const HasherOptions& options);
HasherResult MakeLlmdShaHasher(const HasherOptions& options);
HasherResult MakeFnvHasher(const HasherOptions& options);
HasherResult MakeXxh64Hasher(const HasherOptions& options);
HasherResult MakeBlake3Hasher(const HasherOptions& options);

// What llm-d tells blocks of equal tokens apart by, where `extra` has any: the texts of images and
// salts, in order. Absent: it hashes nil.
std::optional<std::vector<std::string>> LlmdMarks(const ExtraKeys& extra);

}  // namespace headrace::wire
