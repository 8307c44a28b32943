#include "text/regex_tokenizer.h"

#include <array>
#include <atomic>
#include <mutex>

#include "text/utf8.h"

namespace headrace::text {

namespace {

constexpr uint32_t kFnvBasis = 2166136261;
constexpr uint32_t kFnvPrime = 16777619;
constexpr std::string_view kUnknown = "\xef\xbf\xbd";

enum class Kind : uint8_t { kMark, kWord, kSpace };

constexpr std::string_view kWordCharacters =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";
constexpr std::string_view kSpaces = " \t\n\v\f\r";

constexpr std::array<Kind, 256> MakeKinds() {
  std::array<Kind, 256> kinds{};
  for (size_t byte = 0x80; byte < kinds.size(); ++byte) kinds[byte] = Kind::kWord;
  for (const char c : kWordCharacters) kinds[static_cast<uint8_t>(c)] = Kind::kWord;
  for (const char c : kSpaces) kinds[static_cast<uint8_t>(c)] = Kind::kSpace;
  return kinds;
}
constexpr std::array<Kind, 256> kKinds = MakeKinds();

// Pieces by their ids. A bucket has room for a few; when it is full the next one takes the place of
// that which has been there for longest. Any thread: ids are read without a lock.
class PieceTable {
 public:
  // Cheap when the id is known, whatever its piece is.
  void Remember(uint32_t id, std::string_view piece) {
    const Bucket& bucket = buckets_[id % kBuckets];
    for (const std::atomic<uint32_t>& known : bucket.ids) {
      const uint32_t found = known.load(std::memory_order_relaxed);
      if (found == id) return;
      if (found == 0) break;
    }
    if (piece.size() <= kMaxKnownPieceBytes) Insert(id, piece);
  }

  void AppendPiece(uint32_t id, std::string* out) const {
    const size_t index = id % kBuckets;
    const std::lock_guard lock(locks_[index % kLocks]);
    const Bucket& bucket = buckets_[index];
    for (size_t way = 0; way < kWays; ++way) {
      const bool found = bucket.ids[way].load(std::memory_order_relaxed) == id;
      if (found && !bucket.pieces[way].empty()) {
        out->append(bucket.pieces[way]);
        return;
      }
    }
    out->append(kUnknown);
  }

 private:
  static constexpr size_t kWays = 8;
  static constexpr size_t kBuckets = kMaxKnownPieces / kWays;
  static constexpr size_t kLocks = 64;

  struct Bucket {
    std::array<std::atomic<uint32_t>, kWays> ids{};  // 0: free; filled from the first on
    std::array<std::string, kWays> pieces;           // under the bucket's lock
    uint32_t oldest = 0;                             // under it, too
  };

  void Insert(uint32_t id, std::string_view piece) {
    const size_t index = id % kBuckets;
    const std::lock_guard lock(locks_[index % kLocks]);
    Bucket& bucket = buckets_[index];
    for (const std::atomic<uint32_t>& known : bucket.ids) {
      if (known.load(std::memory_order_relaxed) == id) return;  // another thread was faster
    }
    const size_t way = bucket.oldest++ % kWays;
    bucket.pieces[way] = piece;
    bucket.ids[way].store(id, std::memory_order_relaxed);
  }

  std::unique_ptr<Bucket[]> buckets_ = std::make_unique<Bucket[]>(kBuckets);
  mutable std::array<std::mutex, kLocks> locks_;
};

class RegexTokenizer final : public Tokenizer {
 public:
  RegexTokenizer() { rules_.affixes_known = true; }

  Result<std::vector<uint32_t>> Encode(std::string_view text, Special) const override {
    std::vector<uint32_t> ids;
    HR_RETURN_IF_ERROR(ForEach(
        text, [&](uint32_t id, ByteSpan) { ids.push_back(id); },
        [&](size_t tokens) { ids.reserve(tokens); }));
    return ids;
  }

  Result<Encoding> EncodeWithOffsets(std::string_view text, Special) const override {
    Encoding made;
    HR_RETURN_IF_ERROR(ForEach(
        text,
        [&](uint32_t id, ByteSpan span) {
          made.ids.push_back(id);
          made.offsets.push_back(span);
        },
        [&](size_t tokens) {
          made.ids.reserve(tokens);
          made.offsets.reserve(tokens);
        }));
    return made;
  }

  Result<std::string> Decode(std::span<const uint32_t> ids, bool) const override {
    std::string text;
    for (const uint32_t id : ids) pieces_.AppendPiece(id, &text);
    return text;
  }

  const CutRules& cut_rules() const override { return rules_; }
  size_t vocab_size() const override { return size_t{UINT32_MAX} + 1; }

 private:
  template <typename Take, typename Reserve>
  Status ForEach(std::string_view text, const Take& take, const Reserve& reserve) const {
    if (text.size() > kMaxTextBytes) return Fail(Errc::kLimit, "text is too long");
    std::string clean;
    if (!IsUtf8(text)) {
      clean = ToUtf8(text);
      text = clean;
    }
    reserve(text.size() / 4 + 1);
    const char* const begin = text.data();
    const char* const end = begin + text.size();
    for (const char* at = begin; at != end;) {
      const char* const first = at;
      const uint32_t id = NextPiece(&at, end);
      pieces_.Remember(id, {first, static_cast<size_t>(at - first)});
      take(id, ByteSpan{static_cast<uint32_t>(first - begin), static_cast<uint32_t>(at - begin)});
    }
    return {};
  }

  // Moves `at` behind the piece that begins there. REQUIRES: *at != end.
  static uint32_t NextPiece(const char** at, const char* end) {
    const char* byte = *at;
    uint32_t hash = kFnvBasis;
    const auto kind = [&] { return kKinds[static_cast<uint8_t>(*byte)]; };
    const auto step = [&] { hash = (hash ^ static_cast<uint8_t>(*byte++)) * kFnvPrime; };
    if (kind() == Kind::kMark) {
      step();
    } else {
      while (byte != end && kind() == Kind::kWord) step();
    }
    while (byte != end && kind() == Kind::kSpace) step();
    *at = byte;
    return hash;
  }

  CutRules rules_;
  mutable PieceTable pieces_;
};

}  // namespace

std::unique_ptr<Tokenizer> MakeRegexTokenizer() {
  return std::make_unique<RegexTokenizer>();
}

}  // namespace headrace::text
