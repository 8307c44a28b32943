// Prefix handles of one session: the hashes that an earlier query sent, so that the next one sends
// only its tail. The oldest go when a limit is reached; a client whose handle is gone sends all
// hashes again. The core's thread.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <unordered_map>
#include <vector>

#include "engine/context.h"
#include "engine/types.h"

namespace headrace::engine {

// A stored prefix. Hashes only ever come on at the end, so a count of them stays valid.
struct Prefix {
  std::vector<uint8_t> bytes;
  uint8_t hash_bytes = 0;

  uint32_t count() const {
    return hash_bytes == 0 ? 0 : static_cast<uint32_t>(bytes.size() / hash_bytes);
  }
  HashList first(uint32_t hashes) const { return {bytes.data(), hash_bytes, hashes}; }
};

class HandleStore {
 public:
  // Null when the handle is not known (any more). Counts as a use of it.
  std::shared_ptr<const Prefix> Find(HandleId handle);

  // Hold no result of Find meanwhile: bytes that somebody reads are copied before they grow.
  // A handle for the first `base_blocks` hashes of `base` (0: none) and then `tail`. The base's own
  // handle when they follow its end or are in it already. 0 when the limits leave no room.
  HandleId Keep(HandleId base, uint32_t base_blocks, const HashList& tail, HandleId fresh,
                Context* context);
  void Drop(HandleId handle, Context* context);
  // Drops one; false when there is none.
  bool DropOne(Context* context);

  size_t size() const { return by_id_.size(); }
  uint64_t bytes() const { return bytes_; }

 private:
  struct Entry {
    HandleId id = 0;
    std::shared_ptr<Prefix> prefix;
  };
  using Order = std::list<Entry>;  // least recently used first

  // Whether the entry holds its first base_blocks and then `tail`, now.
  bool Extend(Entry* entry, uint32_t base_blocks, const HashList& tail, uint64_t max_bytes);
  void Append(Entry* entry, const HashList& tail);
  void MakeRoom(uint64_t bytes, HandleId keep, Context* context);
  void Erase(Order::iterator it, Context* context);

  Order order_;
  std::unordered_map<HandleId, Order::iterator> by_id_;
  uint64_t bytes_ = 0;
};

}  // namespace headrace::engine
