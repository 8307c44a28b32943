#include "text/prefix_store.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>

#include "text/utf8.h"

namespace headrace::text {

namespace {

// List node, table node and bucket, and what the allocator adds to four blocks.
constexpr size_t kEntryOverhead = 192;

bool IsLetter(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

uint8_t FirstByte(const std::string& anchor) {
  return static_cast<uint8_t>(anchor[0]);
}

}  // namespace

CutFinder::CutFinder(const CutRules& rules) : in_text_(rules.in_text), anchors_(rules.anchors) {
  std::erase_if(anchors_, [](const std::string& anchor) { return anchor.empty(); });
  std::sort(anchors_.begin(), anchors_.end(), [](const std::string& a, const std::string& b) {
    return FirstByte(a) < FirstByte(b) || (FirstByte(a) == FirstByte(b) && a < b);
  });
  begins_.assign(UINT8_MAX + 2, 0);
  for (const std::string& anchor : anchors_) ++begins_[FirstByte(anchor) + 1];
  for (size_t at = 1; at < begins_.size(); ++at) begins_[at] += begins_[at - 1];
  HR_CHECK(begins_.back() == anchors_.size());
}

size_t CutFinder::AnchorAt(std::string_view text, size_t at) const {
  const auto byte = static_cast<uint8_t>(text[at]);
  for (uint32_t place = begins_[byte]; place < begins_[byte + 1]; ++place) {
    if (text.substr(at).starts_with(anchors_[place])) return anchors_[place].size();
  }
  return 0;
}

CutFinder::Cut CutFinder::Next(std::string_view text, size_t from) const {
  for (size_t at = std::max<size_t>(from, 1); at < text.size(); ++at) {
    if (in_text_ && text[at] == ' ' && IsLetter(text[at - 1])) return {at, 0};
    const size_t anchor = AnchorAt(text, at);
    if (anchor > 0) return {at, anchor};
  }
  return {};
}

size_t PrefixStore::Entry::bytes() const {
  return kEntryOverhead + chunk.capacity() + ids.capacity() * sizeof(uint32_t);
}

size_t PrefixStore::KeyHash::operator()(const Key& key) const {
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  return XXH3_64bits_withSeed(key.chunk.data(), key.chunk.size(), seed ^ (key.parent * kOdd));
}

PrefixStore::PrefixStore(const Tokenizer& tokenizer, Options options)
    : tokenizer_(tokenizer),
      options_(options),
      finder_(tokenizer.cut_rules()),
      table_(0, KeyHash{options.seed}) {
  HR_CHECK(options_.chunk_bytes > 0);
}

Result<std::vector<uint32_t>> PrefixStore::Encode(std::string_view text, Special special) {
  const CutRules& rules = tokenizer_.cut_rules();
  const bool separable = special == Special::kNone || rules.affixes_known;
  if (!separable || !finder_.finds_any() || options_.max_bytes == 0) {
    return tokenizer_.Encode(text, special);
  }
  // Replaced in the whole text: a character may be broken across a cut.
  std::string replaced;
  if (!IsUtf8(text)) text = replaced = ToUtf8(text);
  HR_TRY(std::vector<uint32_t> ids, EncodeBare(text));
  if (special == Special::kAdd) {
    ids.insert(ids.begin(), rules.head.begin(), rules.head.end());
    ids.insert(ids.end(), rules.tail.begin(), rules.tail.end());
  }
  return ids;
}

Result<std::vector<uint32_t>> PrefixStore::EncodeBare(std::string_view text) {
  if (text.size() > kMaxTextBytes) return Fail(Errc::kLimit, "text is too long");
  Known known = LookUp(text);
  const std::string_view rest = text.substr(known.done);
  Encoding encoding;
  std::vector<Piece> pieces;
  if (finder_.Next(rest, options_.chunk_bytes).at == 0) {
    HR_TRY(encoding.ids, tokenizer_.Encode(rest, Special::kNone));
  } else {
    HR_TRY(encoding, tokenizer_.EncodeWithOffsets(rest, Special::kNone));
    pieces = PiecesOf(rest, encoding);
  }
  const std::lock_guard lock(mutex_);
  ++stats_.lookups;
  stats_.hits += known.ids.empty() ? 0 : 1;
  stats_.reused_tokens += known.ids.size();
  stats_.encoded_tokens += encoding.ids.size();
  Keep(known.last, pieces, encoding.ids);
  known.ids.insert(known.ids.end(), encoding.ids.begin(), encoding.ids.end());
  return std::move(known.ids);
}

PrefixStore::Known PrefixStore::LookUp(std::string_view text) {
  Known known;
  Path path;
  const std::lock_guard lock(mutex_);
  while (true) {
    const std::string_view rest = text.substr(known.done);
    const CutFinder::Cut cut = finder_.Next(rest, options_.chunk_bytes);
    if (cut.at == 0) break;
    const auto found = table_.find(Key{known.last, rest.substr(0, cut.at)});
    if (found == table_.end()) break;
    const Entry& entry = *found->second;
    known.ids.insert(known.ids.end(), entry.ids.begin(), entry.ids.end());
    known.last = entry.number;
    known.done += cut.at;
    path.push_back(found->second);
  }
  Touch(path);
  return known;
}

// Stops at the first place where no token ends or the anchor did not become one.
std::vector<PrefixStore::Piece> PrefixStore::PiecesOf(std::string_view text,
                                                      const Encoding& encoding) const {
  const std::vector<ByteSpan>& spans = encoding.offsets;
  HR_CHECK(spans.size() == encoding.ids.size());
  std::vector<Piece> pieces;
  size_t begin = 0;
  size_t token = 0;
  while (true) {
    const CutFinder::Cut cut = finder_.Next(text.substr(begin), options_.chunk_bytes);
    if (cut.at == 0) return pieces;
    const size_t end = begin + cut.at;
    const size_t first = token;
    // White space is trimmed off spans, so that some before the cut may be empty and stand at it.
    while (token < spans.size() &&
           (spans[token].begin < end || (spans[token].begin == end && spans[token].end == end))) {
      ++token;
    }
    const bool ends = token > first && spans[token - 1].end == end;
    const bool anchored =
        token < spans.size() && spans[token].begin == end && spans[token].end == end + cut.anchor;
    if (cut.anchor == 0 ? !ends : !anchored) return pieces;
    pieces.push_back({text.substr(begin, cut.at), first, token});
    begin = end;
  }
}

void PrefixStore::Keep(uint64_t parent, const std::vector<Piece>& pieces,
                       const std::vector<uint32_t>& ids) {
  Path path;
  for (const Piece& piece : pieces) {
    path.push_back(KeepOne(parent, piece, ids));
    parent = path.back()->number;
  }
  Touch(path);
  EvictOverBudget();
}

// What another thread kept meanwhile stays.
PrefixStore::Entries::iterator PrefixStore::KeepOne(uint64_t parent, const Piece& piece,
                                                    const std::vector<uint32_t>& ids) {
  HR_CHECK(piece.first <= piece.last && piece.last <= ids.size());
  const auto found = table_.find(Key{parent, piece.chunk});
  if (found != table_.end()) return found->second;
  entries_.push_front({.parent = parent,
                       .number = next_number_++,
                       .chunk = std::string(piece.chunk),
                       .ids = {ids.data() + piece.first, ids.data() + piece.last}});
  const auto made = entries_.begin();
  table_.emplace(Key{parent, made->chunk}, made);
  stats_.bytes += made->bytes();
  ++stats_.entries;
  return made;
}

void PrefixStore::Touch(const Path& path) {
  for (auto at = path.rbegin(); at != path.rend(); ++at) {
    entries_.splice(entries_.begin(), entries_, *at);
  }
}

void PrefixStore::EvictOverBudget() {
  while (stats_.bytes > options_.max_bytes) {
    HR_CHECK(!entries_.empty());
    const Entry& oldest = entries_.back();
    HR_CHECK(table_.erase(Key{oldest.parent, oldest.chunk}) == 1);
    stats_.bytes -= oldest.bytes();
    --stats_.entries;
    ++stats_.evictions;
    entries_.pop_back();
  }
  HR_DCHECK(entries_.size() == table_.size());
}

PrefixStore::Stats PrefixStore::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

}  // namespace headrace::text
