// What is said about each pod, on its way to Redis: in order, one run of a pod at a time, all that
// waits joined into the next. Knows when a stream is lost. Loop-bound.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/loop.h"
#include "indexer/redis_writer.h"
#include "indexer/remote_index.h"

namespace headrace::indexer {

struct StreamLimits {
  uint64_t max_queued_keys = 1 << 20;  // over all pods; an operation counts as kOpKeys more
  uint32_t max_run_keys = 512;         // that one run writes: Redis serves nobody meanwhile
  uint32_t max_runs = 64;              // on their way at one time
};
inline constexpr uint64_t kOpKeys = 8;

class RedisStreams {
 public:
  RedisStreams(Loop* loop, StreamLimits limits) : loop_(loop), limits_(limits) {}
  RedisStreams(const RedisStreams&) = delete;
  RedisStreams& operator=(const RedisStreams&) = delete;
  ~RedisStreams() { *alive_ = false; }

  void OnLost(RemoteIndex::LostHandler handler) { on_lost_ = std::move(handler); }
  // Runs go out while there is a writer. Null: Redis is away.
  void SetWriter(RedisWriter* writer);

  // `op.holder.pod` names the stream.
  void Say(WriteOp op);
  void Flush(std::string_view pod, RemoteIndex::Done done);
  // Redis may have forgotten: every stream but those that begin anew anyway.
  void LoseAll(const Error& why);
  // Streams that Redis has something of, each with the life that it said last.
  std::vector<std::pair<std::string, std::string>> Rooted() const;
  // Redis does not know the pod, which had this life.
  void Forgotten(const std::string& pod, std::string_view life);
  bool IsLost(std::string_view pod) const;

  uint64_t added() const { return added_; }
  uint64_t removed() const { return removed_; }
  uint64_t queued_keys() const { return queued_keys_; }
  uint64_t dropped_keys() const { return dropped_keys_; }
  uint64_t lost_streams() const { return lost_streams_; }

 private:
  struct Waiter {
    uint64_t said;  // operations that must be written
    RemoteIndex::Done done;
  };
  struct Stream {
    std::string pod;
    std::deque<WriteOp> queue;
    std::shared_ptr<const WriteRun> flying;
    std::shared_ptr<const WriteRun> again;  // goes first, as it is
    bool lost = false;
    bool forgotten = false;    // its last word was kDrop
    bool flying_void = false;  // what is on its way was taken back since
    bool rooted = false;       // Redis has something of it
    std::string life;
    uint64_t sequence = 0;
    uint64_t said = 0, written = 0;  // operations
    bool in_line = false;
    std::deque<Waiter> waiters;
  };

  static uint64_t Weight(const WriteOp& op) { return op.engine.size() + op.keys.size() + kOpKeys; }
  Stream* Find(std::string_view pod);
  void Begin(Stream* stream, WriteOp op);
  void Queue(Stream* stream, WriteOp op);
  void Unqueue(Stream* stream);
  std::shared_ptr<const WriteRun> TakeRun(Stream* stream);
  static bool HasWork(const Stream& stream);
  void Send(Stream* stream);
  void Pump(Stream* stream);
  void SendLine();
  void PumpAll();
  void OnWritten(Stream* stream, const Result<Written>& written);
  void Lose(Stream* stream, const Error& why);
  void Answer(Stream* stream);
  void Again();

  Loop* const loop_;
  const StreamLimits limits_;
  RedisWriter* writer_ = nullptr;
  RemoteIndex::LostHandler on_lost_;
  std::map<std::string, std::unique_ptr<Stream>, std::less<>> streams_;
  std::deque<Stream*> line_;  // who wants to send; who sent goes to its end
  uint32_t runs_ = 0;
  bool again_due_ = false;
  uint64_t added_ = 0, removed_ = 0, queued_keys_ = 0, dropped_keys_ = 0, lost_streams_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace headrace::indexer
