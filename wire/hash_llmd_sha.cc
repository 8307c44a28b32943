// llm-d's generations A and B: SHA-256 of canonical CBOR [parent, tokens, null]; A hands on the low
// 64 bits, B all 32 bytes. Extra keys and the model have no part in them.
#include "wire/hash_cbor.h"
#include "wire/hash_chain.h"
#include "wire/sha256.h"

namespace headrace::wire {
namespace {

struct Scratch {
  std::string text;
  Sha256 sha;
};

using Sha = std::shared_ptr<const Sha256Algorithm>;

BlockHash DigestOf(const Sha256Algorithm& sha, Scratch* scratch) {
  BlockHash hash;
  hash.size = Sha256::kBytes;
  scratch->sha.Digest(
      sha, {reinterpret_cast<const uint8_t*>(scratch->text.data()), scratch->text.size()},
      hash.bytes.data());
  return hash;
}

void WriteParent(uint64_t parent, CborWriter* writer) {
  writer->Uint(parent);
}
void WriteParent(const BlockHash& parent, CborWriter* writer) {
  writer->Bytes(parent.view());
}

template <typename Link>
Link ToLink(const BlockHash& hash) {
  if constexpr (std::is_same_v<Link, uint64_t>) {
    return ToWord(hash);
  } else {
    return hash;
  }
}

template <typename Link>
class LlmdShaHasher : public ChainHasher<LlmdShaHasher<Link>, Link, Scratch> {
 public:
  LlmdShaHasher(const Link& root, uint32_t block_tokens, Sha sha)
      : ChainHasher<LlmdShaHasher<Link>, Link, Scratch>(root, block_tokens), sha_(std::move(sha)) {}

  Link Hash(const Link& parent, std::span<const uint32_t> tokens, const ExtraKeys*,
            Scratch* scratch) const {
    scratch->text.clear();
    CborWriter writer(&scratch->text);
    writer.Array(3);
    WriteParent(parent, &writer);
    writer.Uints(tokens);
    writer.Nil();
    return ToLink<Link>(DigestOf(*sha_, scratch));
  }

 private:
  const Sha sha_;
};

}  // namespace

HasherResult MakeLlmdShaHasher(const HasherOptions& options) {
  HR_TRY(Sha sha, Sha256Algorithm::Create());
  Scratch scratch;
  CborWriter(&scratch.text).Text(options.seed.value_or(""));
  const BlockHash root = DigestOf(*sha, &scratch);
  if (options.algo == HashAlgo::kLlmdB) {
    return std::make_unique<const LlmdShaHasher<BlockHash>>(root, options.block_tokens,
                                                            std::move(sha));
  }
  return std::make_unique<const LlmdShaHasher<uint64_t>>(ToWord(root), options.block_tokens,
                                                         std::move(sha));
}

}  // namespace headrace::wire
