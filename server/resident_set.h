// The blocks of one topic that listeners believe to be there, as a forest of parents and children:
// what a snapshot is made of. Fed by the same events in the same order as the listeners, so it is
// exact at each sequence. About 110 bytes a block, and its token ids where those are published; as
// many blocks as the pool holds. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "wire/block_hash.h"

namespace headrace::server {

class ResidentSet {
 public:
  struct Block {
    wire::BlockHash hash;
    wire::BlockHash parent;
    uint32_t depth = 0;
    uint64_t lora_id = 0;
    std::span<const uint32_t> tokens;
  };

  explicit ResidentSet(uint64_t seed);

  size_t size() const { return residents_; }

  // While the truth is told anew after a loss (see EventFeed): what is not said again is gone, and
  // what was not known is news. Both are found by EndRetelling.
  void BeginRetelling();
  bool retelling() const { return retelling_; }

  // True when listeners must hear of it now: it is new, and nothing is being told anew.
  bool Add(Block block);
  // True when listeners must hear of it: it was there, and they had heard so.
  bool Remove(const wire::BlockHash& hash);

  struct Difference {
    std::vector<wire::BlockHash> gone;  // children before parents; removed here
  };
  // What listeners must hear: first `gone`, then `added` for each block, parents first.
  Difference EndRetelling(const std::function<void(const Block&)>& added);

  // Every block, each after its parent. A block that follows a block that is not here comes too.
  void ForEach(const std::function<void(const Block&)>& visit) const;

  // Aborts when an internal relation does not hold. Slow: for tests.
  void CheckInvariants() const;

 private:
  static constexpr uint32_t kRoot = 0;  // above all blocks without a parent
  static constexpr uint32_t kNone = UINT32_MAX;
  enum Flags : uint8_t {
    kHere = 1,     // else it only stands for a parent that is not
    kSaid = 2,     // since BeginRetelling
    kUnheard = 4,  // listeners were not told yet
    kHasTokens = 8,
  };
  struct Node {
    wire::BlockHash hash;
    uint8_t flags = 0;
    uint32_t depth = 0;
    uint32_t parent = kRoot;
    uint32_t first_child = kNone;
    uint32_t next = kNone;  // sibling, or next free node
    uint32_t previous = kNone;
    uint64_t lora_id = 0;
  };

  uint32_t Find(const wire::BlockHash& hash) const;
  uint32_t FindOrMake(const wire::BlockHash& hash);
  void Take(uint32_t node);
  void FreeUnneeded(uint32_t node);  // when it is not here and has no children
  // The node to hang a block under: of its parent, unless that stands too deep. A child is always
  // deeper than its parent, so there are no rings, whatever clients claim about hashes.
  uint32_t ParentFor(const Block& block);
  // Children that are not below `depth` follow this node no more.
  void Release(uint32_t node, uint32_t depth);
  void Link(uint32_t node, uint32_t parent);
  void Unlink(uint32_t node);
  // Parents first; kNone at the end.
  uint32_t Next(uint32_t node) const;
  Block View(uint32_t node) const;

  uint64_t Cell(const wire::BlockHash& hash) const;
  void Insert(uint32_t node);
  void Erase(uint32_t node);
  void Grow();

  const uint64_t seed_;  // so that nobody can aim at a cell
  std::vector<Node> nodes_;
  uint32_t free_ = kNone;
  size_t residents_ = 0;
  size_t used_ = 0;  // nodes in cells_
  bool retelling_ = false;
  std::vector<uint32_t> cells_;  // open addressing, a power of two, at most half full
  std::unordered_map<uint32_t, std::vector<uint32_t>> tokens_;
};

}  // namespace headrace::server
