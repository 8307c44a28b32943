// Carries a run of writes of one pod to Redis. Three ways: one script for the whole run (one
// server), single-key commands for each node (a Cluster), llm-d's schema. Loop-bound.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "indexer/redis_schema.h"
#include "indexer/redis_scripts.h"
#include "net/redis_client.h"

namespace headrace::indexer {

struct WriteOp {
  WriteKind kind = WriteKind::kAdd;
  RemoteHolder holder;  // its pod is the run's
  std::vector<EngineKey> engine;
  std::vector<RequestKey> keys;
};

// kClear and kDrop stand only at the front: what came before them does not count.
struct WriteRun {
  std::string pod;
  std::vector<WriteOp> ops;
  std::string life;       // 4 bytes, as Redis said last; empty: not known
  uint64_t sequence = 0;  // the same when the run is said again
};

struct Written {
  std::string life;  // of the pod now; empty: it has none
  uint64_t added = 0, removed = 0;
};

class RedisWriter {
 public:
  using Done = std::function<void(Result<Written>)>;
  // kUnavailable: say the same run again, nothing is counted twice. Any other error: what Redis has
  // of this pod is not what was said.
  virtual void Write(std::shared_ptr<const WriteRun> run, Done done) = 0;
  virtual ~RedisWriter() = default;
};

// All outlive the writer. `ttl` 0: keys stay. `writer` is 8 bytes that nobody else has.
struct WriterParts {
  net::RedisClient* client = nullptr;
  const NativeNames* names = nullptr;
  Duration ttl{0};
  Duration fresh{0};  // of engine keys: well below the sweep's grace
  std::string writer;
};
std::unique_ptr<RedisWriter> MakeScriptWriter(const WriterParts& parts);
std::unique_ptr<RedisWriter> MakeClusterWriter(const WriterParts& parts);
std::unique_ptr<RedisWriter> MakeLlmdWriter(const WriterParts& parts);

// Appends an EVALSHA of ApplyScript.
void AppendApply(const WriterParts& parts, const WriteRun& run, std::string_view life,
                 uint64_t sequence, net::RedisBatch* batch);
std::string EncodeOp(const WriteOp& op);
// What ApplyScript gave. Logs Redis' own errors.
Result<Written> ReadWritten(const net::RespValue& value);
// The first error that Redis gave, logged, as a Status.
Status CheckReplies(const net::RedisReplies& replies);

}  // namespace headrace::indexer
