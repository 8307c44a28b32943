#include "engine/namespace_table.h"

#include <cstring>

namespace headrace::engine {

namespace {

Status ValidateGroup(const wire::GroupSpec& group) {
  if (group.kind > wire::GroupKind::kState) {
    return Fail(Errc::kInvalid, "groups.kind must be full, window or state");
  }
  if (group.kind == wire::GroupKind::kWindow && group.window_blocks == 0) {
    return Fail(Errc::kInvalid, "groups.window_blocks must be at least 1");
  }
  const wire::Layout& layout = group.layout;
  if (layout.num_blocks == 0 || layout.segment_bytes == 0 || layout.segment_bytes > UINT32_MAX) {
    return Fail(Errc::kInvalid, "groups.layout: num_blocks or segment_bytes is out of range");
  }
  if (layout.layer_offsets.empty() || layout.num_layers() > wire::kMaxLayers || layout.parts < 1 ||
      layout.parts > 2) {
    return Fail(Errc::kInvalid, "groups.layout: 1 to 4096 layers of 1 or 2 parts");
  }
  return {};
}

}  // namespace

Status ValidateRegister(const wire::Register& spec) {
  if (spec.name_space.empty() || spec.name_space.size() > wire::kMaxNameBytes) {
    return Fail(Errc::kInvalid, "namespace must have 1 to 256 bytes");
  }
  if (spec.groups.empty()) return {};  // a scheduler
  if (spec.world_size == 0 || spec.world_size > wire::kMaxRanks) {
    return Fail(Errc::kInvalid, "world_size must be 1 to 256");
  }
  if (spec.rank >= spec.world_size) {
    return Fail(Errc::kInvalid, "rank must be less than world_size");
  }
  if (spec.groups.size() > wire::kMaxGroups) return Fail(Errc::kInvalid, "groups: more than 16");
  for (const auto& group : spec.groups) HR_RETURN_IF_ERROR(ValidateGroup(group));
  return {};
}

NamespaceTable::NamespaceTable(PoolMeta* meta, uint32_t max_namespaces) : meta_(meta) {
  const size_t capacity = std::min<size_t>(max_namespaces, meta->namespaces().size());
  namespaces_.resize(capacity);
  by_name_.reserve(capacity);
  free_.reserve(capacity);
  for (size_t id = capacity; id > 0; --id) free_.push_back(static_cast<NamespaceId>(id - 1));
}

Result<NamespaceId> NamespaceTable::FindOrMake(const wire::Register& spec, uint32_t uid) {
  const std::string name(spec.name_space);
  if (auto it = by_name_.find(name); it != by_name_.end()) {
    if (uid != 0 && uid != namespaces_[it->second].owner_uid) {
      return Fail(Errc::kPermission, "namespace belongs to another user");
    }
    return it->second;
  }
  if (free_.empty()) {
    // Names that nobody uses and that keep nothing make room.
    for (NamespaceId id = 0; id < namespaces_.size(); ++id) {
      if (namespaces_[id].registrations != 0 || namespaces_[id].blocks != 0) continue;
      by_name_.erase(namespaces_[id].name);
      free_.push_back(id);
      break;
    }
  }
  if (free_.empty()) return Fail(Errc::kLimit, "max-namespaces reached");
  const NamespaceId id = free_.back();
  free_.pop_back();
  // The generation goes on, so that nothing of an earlier name can match.
  const uint64_t generation = namespaces_[id].generation + 1;
  namespaces_[id] = {};
  namespaces_[id].name = name;
  namespaces_[id].used = true;
  namespaces_[id].owner_uid = uid;
  namespaces_[id].generation = generation;
  namespaces_[id].swept_generation = generation;
  by_name_.emplace(name, id);
  Write(id);
  return id;
}

namespace {

PartShape ShapeOf(const wire::GroupSpec& group) {
  return {group.layout.num_layers(), group.layout.parts, group.layout.segment_bytes};
}

Status AgreesInGroups(const Namespace& ns, const wire::Register& spec) {
  for (size_t g = 0; g < ns.groups.size(); ++g) {
    if (ns.groups[g].kind != spec.groups[g].kind) {
      return Fail(Errc::kExists, "groups.kind differs from the namespace's");
    }
    if (ns.groups[g].window_blocks != spec.groups[g].window_blocks) {
      return Fail(Errc::kExists, "groups.window_blocks differs from the namespace's");
    }
    const PartShape& known = ns.shape(spec.rank, static_cast<uint32_t>(g));
    if (known.layers != 0 && known != ShapeOf(spec.groups[g])) {
      return Fail(Errc::kExists,
                  "groups.layout (layers, parts, segment_bytes) differs from what "
                  "this rank of the namespace registered");
    }
  }
  return {};
}

// Everything that ranks must agree on.
Status Agrees(const Namespace& ns, const wire::Register& spec) {
  if (spec.groups.empty()) {
    if (spec.block_tokens != 0 && ns.block_tokens != 0 && spec.block_tokens != ns.block_tokens) {
      return Fail(Errc::kExists, "block_tokens differs from the namespace's");
    }
    return {};
  }
  if (ns.groups.empty()) return {};
  if (ns.world_size != spec.world_size) {
    return Fail(Errc::kExists, "world_size differs from the namespace's");
  }
  if (ns.block_tokens != spec.block_tokens) {
    return Fail(Errc::kExists, "block_tokens differs from the namespace's");
  }
  if (ns.groups.size() != spec.groups.size()) {
    return Fail(Errc::kExists, "groups: another number than the namespace's");
  }
  return AgreesInGroups(ns, spec);
}

}  // namespace

void NamespaceTable::Shape(NamespaceId id, const wire::Register& spec) {
  Namespace& ns = namespaces_[id];
  if (ns.groups.empty()) {
    ns.world_size = spec.world_size;
    ns.block_tokens = spec.block_tokens;
    ns.shapes.resize(size_t{spec.world_size} * spec.groups.size());
    ns.full_parts = ns.other_groups = 0;
    for (size_t g = 0; g < spec.groups.size(); ++g) {
      const wire::GroupSpec& group = spec.groups[g];
      ns.groups.push_back({group.kind, group.window_blocks});
      if (group.kind == wire::GroupKind::kFull) {
        ns.full_parts += spec.world_size;
      } else {
        ns.other_groups |= 1u << g;
      }
    }
  }
  for (size_t g = 0; g < spec.groups.size(); ++g) {
    PartShape& shape = ns.shapes[spec.rank * ns.groups.size() + g];
    const bool counts = !ns.closed() || spec.groups[g].kind == wire::GroupKind::kFull;
    if (shape.layers == 0 && counts) ns.block_bytes += ShapeOf(spec.groups[g]).payload_bytes();
    shape = ShapeOf(spec.groups[g]);
  }
  Write(id);
}

Result<NamespaceId> NamespaceTable::Join(const wire::Register& spec, uint32_t uid) {
  HR_RETURN_IF_ERROR(ValidateRegister(spec));
  HR_TRY(const NamespaceId id, FindOrMake(spec, uid));
  Namespace& ns = namespaces_[id];
  if (ns.registrations == 0 && ns.blocks == 0) {  // nothing depends on the old shape
    ns.groups.clear();
    ns.shapes.clear();
    ns.world_size = ns.block_tokens = ns.full_parts = ns.other_groups = 0;
    ns.block_bytes = 0;
  }
  HR_RETURN_IF_ERROR(Agrees(ns, spec));
  if (spec.groups.empty()) {
    if (ns.block_tokens == 0) ns.block_tokens = spec.block_tokens;
  } else {
    if (ns.groups.empty() && ns.block_tokens != 0 && ns.block_tokens != spec.block_tokens) {
      return Fail(Errc::kExists, "block_tokens differs from the scheduler's");
    }
    Shape(id, spec);
  }
  ++ns.registrations;
  return id;
}

void NamespaceTable::Leave(NamespaceId id) {
  HR_CHECK(namespaces_[id].used && namespaces_[id].registrations > 0);
  --namespaces_[id].registrations;
}

uint64_t NamespaceTable::Bump(NamespaceId id) {
  HR_CHECK(namespaces_[id].used);
  ++namespaces_[id].generation;
  Write(id);
  return namespaces_[id].generation;
}

void NamespaceTable::AllSwept() {
  for (Namespace& ns : namespaces_) ns.swept_generation = ns.generation;
}

void NamespaceTable::Write(NamespaceId id) {
  const Namespace& ns = namespaces_[id];
  HR_CHECK(ns.name.size() <= sizeof(wire::NamespaceRecord::name));
  HR_CHECK(ns.groups.size() <= sizeof(wire::NamespaceRecord::group_kind));
  wire::NamespaceRecord& record = meta_->namespaces()[id];
  record.used = 1;
  record.owner_uid = ns.owner_uid;
  record.generation = ns.generation;
  record.world_size = ns.world_size;
  record.block_tokens = ns.block_tokens;
  record.num_groups = static_cast<uint32_t>(ns.groups.size());
  for (size_t g = 0; g < ns.groups.size(); ++g) {
    record.group_kind[g] = static_cast<uint8_t>(ns.groups[g].kind);
    record.window_blocks[g] = ns.groups[g].window_blocks;
  }
  std::memset(record.name, 0, sizeof(record.name));
  std::memcpy(record.name, ns.name.data(), ns.name.size());
  record.name_bytes = static_cast<uint32_t>(ns.name.size());
}

}  // namespace headrace::engine
