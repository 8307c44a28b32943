// Namespaces: interned names, their owner, generation and shape. Writes the NamespaceRecords of the
// pool's metadata. The core's thread.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/pool_meta.h"
#include "engine/types.h"

namespace headrace::engine {

struct GroupInfo {
  wire::GroupKind kind = wire::GroupKind::kFull;
  uint32_t window_blocks = 0;
};

// How one rank's part of a group is made up; bytes of equal parts are interchangeable.
struct PartShape {
  uint32_t layers = 0;  // 0: no rank stated it yet
  uint32_t parts = 0;
  uint64_t segment_bytes = 0;

  uint64_t payload_bytes() const { return segment_bytes * parts * layers; }
  bool operator==(const PartShape&) const = default;
};

struct Namespace {
  std::string name;
  bool used = false;
  uint32_t owner_uid = 0;
  uint64_t generation = 0;
  uint64_t swept_generation = 0;  // no block of an older one is left
  uint32_t world_size = 0;        // 0: no rank registered yet
  uint32_t block_tokens = 0;
  std::vector<GroupInfo> groups;  // empty: no rank registered yet
  std::vector<PartShape> shapes;  // [rank * groups.size() + group]
  uint32_t registrations = 0;
  uint64_t blocks = 0;       // records, of all generations
  uint64_t live_bytes = 0;   // payload of visible blocks
  uint32_t purges = 0;       // subtrees that are on their way out: saves and loads wait
  uint64_t purge_count = 0;  // ever: a load that saw another count at its start may be tainted
  // From groups:
  uint32_t full_parts = 0;    // parts of full-attention groups that make a block complete
  uint32_t other_groups = 0;  // bit a group that is not full attention
  uint64_t block_bytes = 0;   // payload of a block with all full-attention parts known so far

  bool closed() const { return full_parts != 0; }  // residency is prefix-closed
  uint32_t generation_low() const { return static_cast<uint32_t>(generation); }
  const PartShape& shape(uint32_t rank, uint32_t group) const {
    return shapes[rank * groups.size() + group];
  }
};

class NamespaceTable {
 public:
  // `meta` outlives the table.
  NamespaceTable(PoolMeta* meta, uint32_t max_namespaces);

  Namespace& operator[](NamespaceId id) { return namespaces_[id]; }
  const Namespace& operator[](NamespaceId id) const { return namespaces_[id]; }
  size_t capacity() const { return namespaces_.size(); }
  size_t used() const { return by_name_.size(); }

  // Makes or joins the namespace; one more registration. Fails with kPermission (owned by another
  // uid), kExists (another shape; the text names the field), kLimit, kInvalid.
  Result<NamespaceId> Join(const wire::Register& spec, uint32_t uid);
  // Keeps the namespace for somebody who has its number; as good as a registration.
  void Hold(NamespaceId id) { ++namespaces_[id].registrations; }
  void Leave(NamespaceId id);
  // What was saved before is not found any more.
  uint64_t Bump(NamespaceId id);
  // No block of an older generation is left in any namespace.
  void AllSwept();

 private:
  Result<NamespaceId> FindOrMake(const wire::Register& spec, uint32_t uid);
  void Shape(NamespaceId id, const wire::Register& spec);
  void Write(NamespaceId id);

  PoolMeta* meta_;
  std::vector<Namespace> namespaces_;
  std::unordered_map<std::string, NamespaceId> by_name_;
  std::vector<NamespaceId> free_;
};

// Checks that need no table: names, counts, group fields. The error's text names the field.
Status ValidateRegister(const wire::Register& spec);

}  // namespace headrace::engine
