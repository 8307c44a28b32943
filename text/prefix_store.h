// Tokens of text that was tokenized before, so that prompts with the same begin are not tokenized
// again: the answer is always that of tokenizing the whole text.
//
// Texts are cut into chunks at places that follow from their bytes alone and of which
// Tokenizer::cut_rules says that ids do not depend on what follows. A chunk is kept with its ids
// under the chunk before it; both are compared byte for byte, so no hash decides alone. A tokenizer
// without such places is asked for each text anew.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "text/tokenizer.h"

namespace headrace::text {

// Finds the places of a text where it may be cut. Any thread; immutable once made.
class CutFinder {
 public:
  struct Cut {
    size_t at = 0;      // 0: there is none
    size_t anchor = 0;  // length of the anchor behind it; 0: a space
  };

  explicit CutFinder(const CutRules& rules);

  // The first one at `from` or later, from 1 on.
  Cut Next(std::string_view text, size_t from) const;
  bool finds_any() const { return in_text_ || !anchors_.empty(); }

 private:
  size_t AnchorAt(std::string_view text, size_t at) const;  // its length, or 0

  bool in_text_;
  std::vector<std::string> anchors_;  // sorted
  // Where those that begin with a byte stand in anchors_: from [byte] to [byte + 1].
  std::vector<uint32_t> begins_;
};

// Any thread. Locks only to look up and to keep, never while the tokenizer works.
class PrefixStore {
 public:
  struct Options {
    size_t max_bytes = 256u << 20;  // the least recently used go first; 0 keeps nothing
    size_t chunk_bytes = 512;       // the least of a chunk; what stands behind the last is redone
    uint64_t seed = 0;              // of the table's hash: random where texts come from outside
  };
  // Totals since the store was made, but for entries and bytes.
  struct Stats {
    uint64_t lookups = 0;
    uint64_t hits = 0;  // lookups that reused tokens
    uint64_t reused_tokens = 0;
    uint64_t encoded_tokens = 0;
    uint64_t evictions = 0;
    uint64_t entries = 0;
    uint64_t bytes = 0;  // of what is kept, the table's own share included
  };

  // REQUIRES: the tokenizer outlives the store; chunk_bytes is not 0.
  PrefixStore(const Tokenizer& tokenizer, Options options);

  // Exactly what Tokenizer::Encode would answer.
  Result<std::vector<uint32_t>> Encode(std::string_view text, Special special);
  Stats stats() const;

 private:
  struct Entry {
    uint64_t parent = 0;  // number of the chunk before; 0: none
    uint64_t number = 0;  // never used twice: what stands under an evicted chunk is lost with it
    std::string chunk;
    std::vector<uint32_t> ids;

    size_t bytes() const;
  };
  using Entries = std::list<Entry>;  // the most recently used first
  using Path = std::vector<Entries::iterator>;

  struct Key {
    uint64_t parent = 0;
    std::string_view chunk;  // of the entry itself
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct KeyHash {
    uint64_t seed = 0;
    size_t operator()(const Key& key) const;
  };

  // What the store knows of a text: all before `done`.
  struct Known {
    std::vector<uint32_t> ids;
    size_t done = 0;
    uint64_t last = 0;  // number of the last chunk
  };
  // A chunk of a text, and where its ids stand among those of the text's unknown part.
  struct Piece {
    std::string_view chunk;
    size_t first = 0;
    size_t last = 0;
  };

  Result<std::vector<uint32_t>> EncodeBare(std::string_view text);
  Known LookUp(std::string_view text);
  std::vector<Piece> PiecesOf(std::string_view text, const Encoding& encoding) const;
  void Keep(uint64_t parent, const std::vector<Piece>& pieces, const std::vector<uint32_t>& ids);
  Entries::iterator KeepOne(uint64_t parent, const Piece& piece, const std::vector<uint32_t>& ids);
  void Touch(const Path& path);  // so that a chunk is never older than one under it
  void EvictOverBudget();

  // Set once.
  const Tokenizer& tokenizer_;
  const Options options_;
  const CutFinder finder_;

  mutable std::mutex mutex_;  // guards all below
  Entries entries_;
  std::unordered_map<Key, Entries::iterator, KeyHash> table_;
  uint64_t next_number_ = 1;
  Stats stats_;
};

}  // namespace headrace::text
