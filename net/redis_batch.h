// Commands that go out together, each with the key that tells which node of a Cluster it is for.
// Loop-bound.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "net/resp.h"

namespace headrace::net {

inline constexpr uint32_t kRedisSlots = 16384;

// The hash slot of a key: of what stands in its first {braces}, when something does.
uint16_t RedisSlot(std::string_view key);

// A Lua script, sent by its SHA-1 and, to a server that does not know it, whole. Has static life.
class RedisScript {
 public:
  explicit RedisScript(std::string text);
  const std::string& text() const { return text_; }
  const std::string& sha() const { return sha_; }

 private:
  std::string text_, sha_;
};

class RedisBatch {
 public:
  // Begins a command of `words` words, which Word then gives.
  void Command(std::string_view key, size_t words);
  void Word(std::string_view word) { RespWriter(&bytes_).Word(word); }
  void Word(uint64_t number) { RespWriter(&bytes_).Word(number); }
  // A whole command.
  void Add(std::string_view key, std::initializer_list<std::string_view> words);
  // EVALSHA: `words` more follow, keys and arguments; `key` is the first of them.
  void Eval(const RedisScript& script, std::string_view key, size_t num_keys, size_t words);

  size_t size() const { return commands_.size(); }
  bool empty() const { return commands_.empty(); }
  std::string_view bytes() const { return bytes_; }
  std::string_view command(size_t index) const;
  uint16_t slot(size_t index) const { return commands_[index].slot; }
  const RedisScript* script(size_t index) const { return commands_[index].script; }

 private:
  struct Place {
    size_t offset;
    uint16_t slot;
    const RedisScript* script;
  };

  std::string bytes_;
  std::vector<Place> commands_;
};

}  // namespace headrace::net
