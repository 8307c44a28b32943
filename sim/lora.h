// LoRA adapters: which are registered, and which occupy the few slots of those that run. One
// thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace headrace::sim {

struct LoraAdapter {
  std::string name;
  std::string path;
};

class LoraTable {
 public:
  explicit LoraTable(uint32_t max_running);

  // Replaces one of the same name.
  void Load(const LoraAdapter& adapter);
  // False: there is none. One that runs keeps its slot until its last request ends.
  bool Unload(const std::string& name);
  const LoraAdapter* Find(const std::string& name) const;
  std::vector<LoraAdapter> List() const;  // in the order of loading

  // A slot, from 1 on, for one more request with this adapter: the one it has, a free one, or that
  // of an adapter that no request uses. nullopt: all are in use.
  std::optional<uint32_t> Take(const std::string& name);
  void Give(const std::string& name);  // REQUIRES: taken
  bool CanTake(const std::string& name) const;

  uint32_t max_running() const;
  std::vector<std::string> running() const;  // with requests
};

}  // namespace headrace::sim
