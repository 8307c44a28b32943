// How an index lies in Redis: the names of its keys and the bytes of its fields, in Headrace's own
// schema and in llm-d's (docs/redis.md). Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "indexer/remote_index.h"

namespace headrace::indexer {

enum class RedisSchema : uint8_t {
  kNative,
  kLlmd,  // reads and writes what llm-d's kv-cache indexer of 2026 does
};

// A number that stands for one life of one pod: taken anew by each Clear, never used again. Redis'
// clock in microseconds unless that was taken, so that it is new even where Redis forgot the last.
using PodLife = uint64_t;

// 8 bytes, big-endian: a key inside names, values and scripts.
std::string KeyBytes(uint64_t key);
uint64_t KeyOfBytes(std::string_view bytes);  // REQUIRES: 8 of them
std::string LifeBytes(PodLife life);          // 7 bytes, big-endian; REQUIRES: it fits
Result<PodLife> LifeOfBytes(std::string_view bytes);

// Native fields of a request key's HASH: the pod's life, then the rest of the holder.
std::string NativeSuffix(const RemoteHolder& holder);
// `*holder` but for the pod, which is who has that life.
Status ParseNativeField(std::string_view field, PodLife* life, RemoteHolder* holder);

// MessagePack: [[[group, "full" or "window" or "state", tokens of the window], ...], name space,
// [pod served, ...]].
std::string RulesBytes(const RemoteRules& rules);
Result<RemoteRules> RulesOfBytes(std::string_view bytes);

// Native names below a prefix: "<prefix>r" + key, "<prefix>e" + engine key; the table of pods in
// one slot of a Cluster.
struct NativeNames {
  explicit NativeNames(const std::string& before)
      : prefix(before),
        pods(before + "{pods}:names"),
        lives(before + "{pods}:lives"),
        sweeper(before + "{pods}:sweeper"),
        rules(before + "{pods}:rules"),
        rules_version(before + "{pods}:rules_version") {}
  std::string Request(uint64_t key) const { return prefix + "r" + KeyBytes(key); }
  std::string Engine(uint64_t key) const { return prefix + "e" + KeyBytes(key); }
  // Which key a name of SCAN is. False: none of these.
  bool IsRequest(std::string_view name) const { return IsKey(name, 'r'); }
  bool IsEngine(std::string_view name) const { return IsKey(name, 'e'); }

  std::string prefix, pods, lives, sweeper, rules, rules_version;

 private:
  bool IsKey(std::string_view name, char kind) const;
};
// What an engine key's value begins with: when it was written last.
inline constexpr size_t kStampBytes = 4;
inline constexpr size_t kKeyBytes = 8;

// llm-d's: HASH "<request key>" with the JSON of the holder as field, ZSET "engine:<engine key>".
std::string LlmdRequest(uint64_t key);
std::string LlmdEngine(uint64_t key);
// As Go's encoding/json writes it: removal compares bytes.
std::string LlmdField(const RemoteHolder& holder);
Result<RemoteHolder> ParseLlmdField(std::string_view field);

// For SCAN: a pattern that means these bytes and nothing else.
std::string GlobQuoted(std::string_view text);

}  // namespace headrace::indexer
