// vLLM's block hashes: a digest of (parent, tokens, extra keys), written as Python's pickle or as
// canonical CBOR.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "wire/hash_cbor.h"
#include "wire/hash_chain.h"
#include "wire/hash_pickle.h"
#include "wire/sha256.h"

namespace headrace::wire {
namespace {

// What vLLM seeds its SHA-256 forms with when PYTHONHASHSEED is not set.
constexpr char kDefaultSeed[] = "vllm-none-hash";

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Scratch {
  std::string text;
  Sha256 sha;
};

// The atoms and tuples of `extra` in order, as `writer` spells them.
template <typename Writer>
void WriteAtom(Writer* writer, const KeyAtom& atom) {
  if (const auto* text = std::get_if<std::string>(&atom)) {
    writer->Text(*text);
  } else if (const auto* number = std::get_if<int64_t>(&atom)) {
    writer->Int(*number);
  } else {
    writer->Bytes(std::get<std::vector<uint8_t>>(atom));
  }
}

size_t NumElements(const ExtraKeys& extra) {
  size_t count = 0;
  for (const ExtraKey& key : extra) count += key.bare ? key.atoms.size() : 1;
  return count;
}

template <typename Writer>
void WriteKeys(Writer* writer, const ExtraKeys& extra) {
  const size_t count = NumElements(extra);
  writer->OpenTuple(count);
  for (const ExtraKey& key : extra) {
    if (!key.bare) writer->OpenTuple(key.atoms.size());
    for (const KeyAtom& atom : key.atoms) WriteAtom(writer, atom);
    if (!key.bare) writer->CloseTuple(key.atoms.size());
  }
  writer->CloseTuple(count);
}

// CBOR with the calls of PickleWriter: an array has no end of its own.
class CborTuples : public CborWriter {
 public:
  explicit CborTuples(std::string* out) : CborWriter(out) { out->clear(); }

  void None() { Nil(); }
  void OpenTuple(size_t count) { Array(count); }
  void CloseTuple(size_t) {}
  void Finish() {}
};

template <typename Writer>
void WriteBlock(const BlockHash& parent, std::span<const uint32_t> tokens, const ExtraKeys* extra,
                std::string* out) {
  Writer writer(out);
  writer.OpenTuple(3);
  writer.Bytes(parent.view());
  writer.Uints(tokens);
  if (extra == nullptr) {
    writer.None();
  } else {
    WriteKeys(&writer, *extra);
  }
  writer.CloseTuple(3);
  writer.Finish();
}

template <typename Writer>
void WriteSeed(std::string_view seed, std::string* out) {
  Writer writer(out);
  writer.Text(seed);
  writer.Finish();
}

// Null for XXH3.
using Sha = std::shared_ptr<const Sha256Algorithm>;

BlockHash DigestOf(const Sha& sha, Scratch* scratch) {
  const auto data = BytesOf(scratch->text);
  BlockHash hash;
  if (sha != nullptr) {
    hash.size = Sha256::kBytes;
    scratch->sha.Digest(*sha, data, hash.bytes.data());
    return hash;
  }
  XXH128_canonical_t digest;
  XXH128_canonicalFromHash(&digest, XXH3_128bits(data.data(), data.size()));
  return BlockHash::Of(digest.digest);
}

template <typename Writer>
class VllmHasher : public ChainHasher<VllmHasher<Writer>, BlockHash, Scratch> {
 public:
  VllmHasher(const BlockHash& root, uint32_t block_tokens, Sha sha)
      : ChainHasher<VllmHasher<Writer>, BlockHash, Scratch>(root, block_tokens),
        sha_(std::move(sha)) {}

  BlockHash Hash(const BlockHash& parent, std::span<const uint32_t> tokens, const ExtraKeys* extra,
                 Scratch* scratch) const {
    WriteBlock<Writer>(parent, tokens, extra, &scratch->text);
    return DigestOf(sha_, scratch);
  }

 private:
  const Sha sha_;
};

template <typename Writer>
HasherResult Make(const std::string& seed, uint32_t block_tokens, Sha sha) {
  Scratch scratch;
  WriteSeed<Writer>(seed, &scratch.text);
  const BlockHash root = DigestOf(sha, &scratch);
  return std::make_unique<const VllmHasher<Writer>>(root, block_tokens, std::move(sha));
}

}  // namespace

HasherResult MakeVllmHasher(const HasherOptions& options) {
  const HashAlgo algo = options.algo;
  const bool is_sha = algo == HashAlgo::kSha256 || algo == HashAlgo::kSha256Cbor;
  if (!is_sha && !options.seed) {
    return Fail(Errc::kInvalid,
                "seed: the xxhash forms need one; without PYTHONHASHSEED vLLM draws its own");
  }
  Sha sha;
  if (is_sha) {
    HR_TRY(sha, Sha256Algorithm::Create());
  }
  const std::string seed = options.seed.value_or(kDefaultSeed);
  if (algo == HashAlgo::kSha256Cbor || algo == HashAlgo::kXxhashCbor) {
    return Make<CborTuples>(seed, options.block_tokens, std::move(sha));
  }
  return Make<PickleWriter>(seed, options.block_tokens, std::move(sha));
}

}  // namespace headrace::wire
