#include "server/resident_set.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <utility>

#include "base/result.h"

namespace headrace::server {
namespace {

constexpr size_t kFirstCells = 64;

}  // namespace

ResidentSet::ResidentSet(uint64_t seed) : seed_(seed), nodes_(1), cells_(kFirstCells, kNone) {}

uint64_t ResidentSet::Cell(const wire::BlockHash& hash) const {
  return XXH3_64bits_withSeed(hash.bytes.data(), hash.bytes.size(), seed_ ^ hash.size) &
         (cells_.size() - 1);
}

uint32_t ResidentSet::Find(const wire::BlockHash& hash) const {
  for (uint64_t at = Cell(hash); cells_[at] != kNone; at = (at + 1) & (cells_.size() - 1)) {
    if (nodes_[cells_[at]].hash == hash) return cells_[at];
  }
  return kNone;
}

void ResidentSet::Insert(uint32_t node) {
  uint64_t at = Cell(nodes_[node].hash);
  while (cells_[at] != kNone) at = (at + 1) & (cells_.size() - 1);
  cells_[at] = node;
}

void ResidentSet::Erase(uint32_t node) {
  const uint64_t mask = cells_.size() - 1;
  uint64_t hole = Cell(nodes_[node].hash);
  while (cells_[hole] != node) hole = (hole + 1) & mask;
  // Backward shift: what probed past the hole moves into it.
  for (uint64_t at = (hole + 1) & mask; cells_[at] != kNone; at = (at + 1) & mask) {
    const uint64_t home = Cell(nodes_[cells_[at]].hash);
    if (((at - home) & mask) < ((at - hole) & mask)) continue;
    cells_[hole] = cells_[at];
    hole = at;
  }
  cells_[hole] = kNone;
}

void ResidentSet::Grow() {
  std::vector<uint32_t> old =
      std::exchange(cells_, std::vector<uint32_t>(cells_.size() * 2, kNone));
  for (const uint32_t node : old) {
    if (node != kNone) Insert(node);
  }
}

uint32_t ResidentSet::FindOrMake(const wire::BlockHash& hash) {
  if (const uint32_t known = Find(hash); known != kNone) return known;
  if ((used_ + 1) * 2 > cells_.size()) Grow();
  uint32_t node = free_;
  if (node != kNone) {
    free_ = nodes_[node].next;
    nodes_[node] = {};
  } else {
    node = static_cast<uint32_t>(nodes_.size());
    nodes_.emplace_back();
  }
  nodes_[node].hash = hash;
  ++used_;
  Insert(node);
  Link(node, kRoot);
  return node;
}

void ResidentSet::Link(uint32_t node, uint32_t parent) {
  const uint32_t first = nodes_[parent].first_child;
  nodes_[node].parent = parent;
  nodes_[node].previous = kNone;
  nodes_[node].next = first;
  if (first != kNone) nodes_[first].previous = node;
  nodes_[parent].first_child = node;
}

void ResidentSet::Unlink(uint32_t node) {
  const Node& from = nodes_[node];
  (from.previous == kNone ? nodes_[from.parent].first_child : nodes_[from.previous].next) =
      from.next;
  if (from.next != kNone) nodes_[from.next].previous = from.previous;
}

void ResidentSet::FreeUnneeded(uint32_t node) {
  Node& entry = nodes_[node];
  if (node == kRoot || (entry.flags & kHere) != 0 || entry.first_child != kNone) return;
  HR_CHECK(entry.parent == kRoot);
  Unlink(node);
  Erase(node);
  --used_;
  entry = {};
  entry.next = free_;
  free_ = node;
}

uint32_t ResidentSet::ParentFor(const Block& block) {
  if (block.parent.empty() || block.depth == 0 || block.parent == block.hash) return kRoot;
  const bool known = Find(block.parent) != kNone;
  const uint32_t parent = FindOrMake(block.parent);
  Node& entry = nodes_[parent];
  // How deep a block is that is not here, is only bounded by those that follow it.
  if ((entry.flags & kHere) == 0 && (!known || entry.depth >= block.depth)) {
    entry.depth = block.depth - 1;
  }
  return entry.depth < block.depth ? parent : kRoot;
}

void ResidentSet::Release(uint32_t node, uint32_t depth) {
  for (uint32_t child = nodes_[node].first_child; child != kNone;) {
    const uint32_t next = nodes_[child].next;
    if (nodes_[child].depth <= depth) {
      Unlink(child);
      Link(child, kRoot);
    }
    child = next;
  }
}

void ResidentSet::BeginRetelling() {
  retelling_ = true;
  for (Node& node : nodes_) node.flags &= static_cast<uint8_t>(~kSaid);
}

bool ResidentSet::Add(Block block) {
  HR_CHECK(!block.hash.empty());
  const uint32_t node = FindOrMake(block.hash);
  if ((nodes_[node].flags & kHere) != 0) {
    nodes_[node].flags |= kSaid;
    return false;
  }
  const uint32_t parent = ParentFor(block);
  Release(node, block.depth);
  Unlink(node);
  Link(node, parent);
  Node& entry = nodes_[node];
  entry.depth = block.depth;
  entry.lora_id = block.lora_id;
  entry.flags = kHere | kSaid;
  if (retelling_) entry.flags |= kUnheard;
  if (!block.tokens.empty()) {
    entry.flags |= kHasTokens;
    tokens_[node].assign(block.tokens.begin(), block.tokens.end());
  }
  ++residents_;
  return !retelling_;
}

void ResidentSet::Take(uint32_t node) {
  if ((nodes_[node].flags & kHasTokens) != 0) tokens_.erase(node);
  nodes_[node].flags = 0;
  --residents_;
  const uint32_t parent = nodes_[node].parent;
  Unlink(node);
  Link(node, kRoot);
  FreeUnneeded(node);
  FreeUnneeded(parent);
}

bool ResidentSet::Remove(const wire::BlockHash& hash) {
  const uint32_t node = Find(hash);
  if (node == kNone || (nodes_[node].flags & kHere) == 0) return false;
  const bool heard = (nodes_[node].flags & kUnheard) == 0;
  Take(node);
  return heard;
}

uint32_t ResidentSet::Next(uint32_t node) const {
  if (nodes_[node].first_child != kNone) return nodes_[node].first_child;
  while (node != kRoot && nodes_[node].next == kNone) node = nodes_[node].parent;
  return node == kRoot ? kNone : nodes_[node].next;
}

ResidentSet::Block ResidentSet::View(uint32_t node) const {
  const Node& entry = nodes_[node];
  Block block{.hash = entry.hash,
              .parent = nodes_[entry.parent].hash,
              .depth = entry.depth,
              .lora_id = entry.lora_id};
  if ((entry.flags & kHasTokens) != 0) block.tokens = tokens_.at(node);
  return block;
}

ResidentSet::Difference ResidentSet::EndRetelling(const std::function<void(const Block&)>& added) {
  HR_CHECK(retelling_);
  retelling_ = false;
  std::vector<uint32_t> gone;
  for (uint32_t node = Next(kRoot); node != kNone; node = Next(node)) {
    if ((nodes_[node].flags & (kHere | kSaid)) == kHere) gone.push_back(node);
  }
  Difference difference;
  for (auto node = gone.rbegin(); node != gone.rend(); ++node) {
    if ((nodes_[*node].flags & kUnheard) == 0) difference.gone.push_back(nodes_[*node].hash);
    Take(*node);
  }
  for (uint32_t node = Next(kRoot); node != kNone; node = Next(node)) {
    if ((nodes_[node].flags & kUnheard) == 0) continue;
    nodes_[node].flags &= static_cast<uint8_t>(~kUnheard);
    added(View(node));
  }
  return difference;
}

void ResidentSet::ForEach(const std::function<void(const Block&)>& visit) const {
  for (uint32_t node = Next(kRoot); node != kNone; node = Next(node)) {
    if ((nodes_[node].flags & kHere) != 0) visit(View(node));
  }
}

void ResidentSet::CheckInvariants() const {
  size_t here = 0;
  size_t all = 0;
  for (uint32_t node = Next(kRoot); node != kNone; node = Next(node)) {
    ++all;
    const Node& entry = nodes_[node];
    HR_CHECK(Find(entry.hash) == node);
    HR_CHECK(entry.next == kNone || nodes_[entry.next].previous == node);
    HR_CHECK((entry.flags & kHere) != 0 || (entry.first_child != kNone && entry.parent == kRoot));
    HR_CHECK(entry.parent == kRoot || nodes_[entry.parent].depth < entry.depth);
    HR_CHECK(((entry.flags & kHasTokens) != 0) == tokens_.contains(node));
    if ((entry.flags & kHere) != 0) ++here;
  }
  HR_CHECK(all == used_ && here == residents_ && used_ * 2 <= cells_.size());
}

}  // namespace headrace::server
