// LoRA adapters: which are registered, and which occupy the few slots of those that run. One
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace headrace::sim {

inline constexpr size_t kMaxLoraAdapters = 65536;  // registered at once

struct LoraAdapter {
  std::string name;
  std::string path;
};

class LoraTable {
 public:
  explicit LoraTable(uint32_t max_running);

  // Replaces one of the same name, in its place. False: kMaxLoraAdapters are registered.
  bool Load(const LoraAdapter& adapter);
  // False: there is none. One that runs keeps its slot until its last request ends.
  bool Unload(const std::string& name);
  const LoraAdapter* Find(const std::string& name) const;
  std::vector<LoraAdapter> List() const;  // in the order of loading

  // A slot, from 1 on, for one more request with this adapter: the one it has, a free one, or that
  // of an adapter that no request uses, the one unused for longest. nullopt: all are in use. The
  // adapter may have been unloaded since the request came.
  std::optional<uint32_t> Take(const std::string& name);
  void Give(const std::string& name);  // REQUIRES: taken
  bool CanTake(const std::string& name) const;
  // It has a slot, with requests or without: such requests go before those that need another.
  bool HasSlot(const std::string& name) const;

  uint32_t max_running() const { return static_cast<uint32_t>(slots_.size()); }
  std::vector<std::string> running() const;  // with requests

 private:
  struct Registered {
    LoraAdapter adapter;
    uint64_t order = 0;
  };
  struct Slot {
    std::string name;  // "": free
    uint32_t requests = 0;
    uint64_t unused_since = 0;  // a count of Give
  };

  const Slot* Holding(const std::string& name) const;
  const Slot* Replaceable() const;

  std::map<std::string, Registered> registered_;
  uint64_t loads_ = 0;
  std::vector<Slot> slots_;
  uint64_t gives_ = 0;
};

}  // namespace headrace::sim
