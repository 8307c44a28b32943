// llm-d's generations C and D: FNV-1a-64 of canonical CBOR [parent, tokens, marks]. The bytes are
// never written down: each goes into the hash as it is made.
#include <array>

#include "wire/hash_cbor.h"
#include "wire/hash_chain.h"

namespace headrace::wire {
namespace {

constexpr uint64_t kOffset = 0xcbf29ce484222325;
constexpr uint64_t kPrime = 0x100000001b3;

constexpr uint64_t Step(uint64_t state, uint64_t byte) {
  return (state ^ byte) * kPrime;
}

uint64_t AddText(uint64_t state, std::string_view bytes) {
  for (const char byte : bytes) state = Step(state, static_cast<uint8_t>(byte));
  return state;
}

uint64_t AddHead(uint64_t state, uint8_t kind, uint64_t number) {
  uint8_t head[kMaxCborHead];
  const uint8_t* end = PutCborHead(head, kind, number);
  for (const uint8_t* at = head; at != end; ++at) state = Step(state, *at);
  return state;
}

// A step is an xor and a multiplication that wait for the step before: about four cycles, and a
// block is one such chain. An xor with a byte reaches only the lowest eight bits of the state, so a
// run of steps over known bytes is `state * kPrime^n + table[state & 255]`, with the product and
// the table read side by side. The runs that most token ids begin with are taken that way. So that
// they reach back over the last byte of what stands before, its multiplication is left pending:
// `pending` is the state before it.
struct Run {
  uint64_t factor;
  std::array<uint64_t, 256> table;

  uint64_t operator()(uint64_t pending) const { return pending * factor + table[pending & 255]; }
};

template <size_t kBytes>
constexpr Run MakeRun(const std::array<uint8_t, kBytes>& bytes) {
  Run run{kPrime, {}};
  for (size_t i = 0; i < kBytes; ++i) run.factor *= kPrime;
  for (uint64_t low = 0; low < 256; ++low) {
    uint64_t state = low * kPrime;
    for (const uint8_t byte : bytes) state = Step(state, byte);
    run.table[low] = state - low * run.factor;
  }
  return run;
}

constexpr Run kHead2 = MakeRun<1>({0x19});  // of ids from 256
// Of ids from 65536, with the byte behind it: ids up to 262143 cover the vocabularies in use.
constexpr std::array kHead4 = {MakeRun<3>({0x1a, 0, 0}), MakeRun<3>({0x1a, 0, 1}),
                               MakeRun<3>({0x1a, 0, 2}), MakeRun<3>({0x1a, 0, 3})};
constexpr Run kNil = MakeRun<1>({0xf6});
// Before the eight bytes of every parent that needs eight.
constexpr uint64_t kBeforeParent = Step(Step(kOffset, 0x83), 0x1b);

// The state with all but the last multiplication of the id's bytes.
inline uint64_t AddToken(uint64_t pending, uint32_t token) {
  if (token < 1u << 16 && token >= 1u << 8) {
    return Step(kHead2(pending), token >> 8) ^ (token & 255);
  }
  if (token < 4u << 16 && token >= 1u << 16) {
    return Step(kHead4[token >> 16](pending), token >> 8 & 255) ^ (token & 255);
  }
  uint8_t bytes[kMaxCborHead];
  const uint8_t* last = PutCborHead(bytes, 0, token) - 1;
  uint64_t state = pending * kPrime;
  for (const uint8_t* at = bytes; at != last; ++at) state = Step(state, *at);
  return state ^ *last;
}

// Behind the opening of the three values and the first of them.
inline uint64_t AddParent(uint64_t parent) {
  if (parent <= UINT32_MAX) return AddHead(Step(kOffset, 0x83), 0, parent);
  uint64_t state = kBeforeParent;
  for (int shift = 56; shift >= 0; shift -= 8) state = Step(state, parent >> shift & 255);
  return state;
}

uint64_t AddMarks(uint64_t state, const ExtraKeys& extra) {
  const auto marks = LlmdMarks(extra);
  if (!marks) return Step(state, 0xf6);
  state = AddHead(state, 4, marks->size());
  for (const std::string& mark : *marks) {
    state = AddText(AddHead(state, 5, 1), "\x64Hash");  // a map of one pair
    state = AddText(AddHead(state, 3, mark.size()), mark);
  }
  return state;
}

class FnvHasher : public ChainHasher<FnvHasher, uint64_t, NoScratch> {
 public:
  FnvHasher(uint64_t root, uint32_t block_tokens, bool has_marks)
      : ChainHasher(root, block_tokens), has_marks_(has_marks) {}

  uint64_t Hash(uint64_t parent, std::span<const uint32_t> tokens, const ExtraKeys* extra,
                NoScratch*) const {
    uint64_t pending = AddParent(parent);
    if (tokens.size() < 24) {
      pending ^= 0x80 | tokens.size();
    } else {
      uint8_t head[kMaxCborHead];
      const uint8_t* last = PutCborHead(head, 4, tokens.size()) - 1;
      for (const uint8_t* at = head; at != last; ++at) pending = Step(pending, *at);
      pending ^= *last;
    }
    for (const uint32_t token : tokens) pending = AddToken(pending, token);
    if (extra == nullptr || !has_marks_) return kNil(pending);
    return AddMarks(pending * kPrime, *extra);
  }

 private:
  const bool has_marks_;
};

}  // namespace

HasherResult MakeFnvHasher(const HasherOptions& options) {
  const bool is_d = options.algo == HashAlgo::kLlmdD;
  uint64_t root = AddText(kOffset, options.seed.value_or(""));
  if (is_d) {  // [seed, null, model]
    root = Step(AddParent(root), 0xf6);
    root = AddText(AddHead(root, 3, options.model.size()), options.model);
  }
  return std::make_unique<const FnvHasher>(root, options.block_tokens, is_d);
}

}  // namespace headrace::wire
