// The Lua that runs inside Redis. docs/redis.md has what each takes and gives.
#pragma once

#include "net/redis_batch.h"

namespace headrace::indexer {

// What a run of writes consists of, for ApplyScript: kind (1 byte), bytes of the holder (2), engine
// keys (4), request keys (4), then the holder, then the keys. All big-endian.
enum class WriteKind : uint8_t {
  kAdd = 1,
  kRemove = 2,
  kRemoveKeys = 3,
  kAddKnown = 4,
  kClear = 5,
  kDrop = 6,
};

// All writes of one pod that go together, once however often they are sent.
// KEYS pods, lives; ARGV prefix, pod, writer (8 bytes), sequence, life known or "", ttl in ms,
// fresh, ops. An engine key that is written again within `fresh` us is left as it is.
// {1 written | 0 was written before | -1 the pod is not known any more, life, added, removed}
const net::RedisScript& ApplyScript();
// KEYS engine key; ARGV request keys, ttl, fresh. Joins them to what it names.
const net::RedisScript& JoinScript();
// KEYS request key; ARGV field. One copy less; 1 when there was one.
const net::RedisScript& TakeScript();
// KEYS engine key; ARGV value seen, least age in us. Deletes it when it is that and that old.
const net::RedisScript& ForgetScript();
// KEYS [lives, version of the rules,] request keys; ARGV how many of those two are there, and
// whether to go on behind a key that has none, "1" or "0". {lives or nil, version or nil, fields,
// times, ...}: `times` keys in a row have these.
const net::RedisScript& HoldersScript();
// KEYS rules, version of the rules; ARGV ttl in ms or 0, then pod and bytes of its rules, or "" to
// forget it, of each. When that changes something the version becomes one that was never given.
const net::RedisScript& RulesScript();

// llm-d's schema. Writes of one pod; ARGV of each: kind, field, number of engine keys, of request
// keys, the keys. {1, "", added, removed}, as ApplyScript. Not for kClear and kDrop.
const net::RedisScript& LlmdApplyScript();
// KEYS request keys; ARGV what a field of the pod begins with. Deletes those fields.
const net::RedisScript& LlmdClearScript();
// KEYS engine keys. Deletes those that name only request keys that nobody holds.
const net::RedisScript& LlmdPruneScript();

}  // namespace headrace::indexer
