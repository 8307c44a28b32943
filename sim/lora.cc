#include "sim/lora.h"

#include <algorithm>

#include "base/result.h"

namespace headrace::sim {

LoraTable::LoraTable(uint32_t max_running) : slots_(max_running) {}

bool LoraTable::Load(const LoraAdapter& adapter) {
  const auto place = registered_.find(adapter.name);
  if (place != registered_.end()) {
    place->second.adapter = adapter;
    return true;
  }
  if (registered_.size() >= kMaxLoraAdapters) return false;
  registered_.emplace(adapter.name, Registered{adapter, loads_++});
  return true;
}

bool LoraTable::Unload(const std::string& name) {
  if (registered_.erase(name) == 0) return false;
  for (Slot& slot : slots_) {
    if (slot.requests == 0 && slot.name == name) slot = Slot{};
  }
  return true;
}

const LoraAdapter* LoraTable::Find(const std::string& name) const {
  const auto place = registered_.find(name);
  return place == registered_.end() ? nullptr : &place->second.adapter;
}

std::vector<LoraAdapter> LoraTable::List() const {
  std::vector<const Registered*> ordered;
  ordered.reserve(registered_.size());
  for (const auto& [name, registered] : registered_) ordered.push_back(&registered);
  std::sort(ordered.begin(), ordered.end(),
            [](const Registered* a, const Registered* b) { return a->order < b->order; });
  std::vector<LoraAdapter> adapters;
  adapters.reserve(ordered.size());
  for (const Registered* registered : ordered) adapters.push_back(registered->adapter);
  return adapters;
}

std::optional<uint32_t> LoraTable::Take(const std::string& name) {
  HR_CHECK(!name.empty());
  const Slot* found = Holding(name);
  if (found == nullptr) found = Replaceable();
  if (found == nullptr) return std::nullopt;
  const auto index = static_cast<uint32_t>(found - slots_.data());
  Slot& slot = slots_[index];
  slot.name = name;
  ++slot.requests;
  return index + 1;
}

void LoraTable::Give(const std::string& name) {
  const Slot* found = Holding(name);
  HR_CHECK(found != nullptr && found->requests > 0);
  Slot& slot = slots_[static_cast<size_t>(found - slots_.data())];
  if (--slot.requests > 0) return;
  slot.unused_since = ++gives_;
  if (!registered_.contains(name)) slot = Slot{};
}

bool LoraTable::CanTake(const std::string& name) const {
  return HasSlot(name) || Replaceable() != nullptr;
}

bool LoraTable::HasSlot(const std::string& name) const {
  return Holding(name) != nullptr;
}

std::vector<std::string> LoraTable::running() const {
  std::vector<std::string> names;
  for (const Slot& slot : slots_) {
    if (slot.requests > 0) names.push_back(slot.name);
  }
  return names;
}

const LoraTable::Slot* LoraTable::Holding(const std::string& name) const {
  for (const Slot& slot : slots_) {
    if (slot.name == name) return &slot;
  }
  return nullptr;
}

// A free slot has never been used since, so it goes first.
const LoraTable::Slot* LoraTable::Replaceable() const {
  const Slot* best = nullptr;
  for (const Slot& slot : slots_) {
    if (slot.requests > 0) continue;
    if (best == nullptr || slot.unused_since < best->unused_since) best = &slot;
  }
  return best;
}

}  // namespace headrace::sim
