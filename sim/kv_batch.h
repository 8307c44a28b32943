// Changes of a KV cache, gathered into one message of events, and the queue in which such batches
// go from the cache's thread to that of the publisher.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "sim/kv_cache.h"
#include "wire/event.h"

namespace headrace::sim {

// Copies of changes, in memory that is kept for the next. One thread.
class KvBatch {
 public:
  struct Form {
    wire::EventForm wire;
    uint32_t block_tokens = 16;
    int32_t rank = -1;  // data-parallel; -1: batches name none
  };

  // REQUIRES: hashes have at least 8 bytes.
  void Add(const KvChange& change);
  size_t events() const { return items_.size(); }
  bool empty() const { return items_.empty(); }
  void Clear();
  std::string Encode(double timestamp, const Form& form) const;

 private:
  struct Item {  // of one change; ends are those of its part of the lists below
    KvChange::Kind kind{};
    bool has_parent = false;
    uint8_t hash_bytes = 0;
    int32_t lora_slot = 0;
    wire::BlockHash parent;
    size_t hashes_end = 0, bytes_end = 0, tokens_end = 0, extras_end = 0, names_end = 0;
  };
  std::vector<Item> items_;
  std::vector<uint64_t> hashes_;
  std::vector<uint8_t> bytes_;  // of the hashes
  std::vector<uint32_t> tokens_;
  std::string extras_;  // msgpack
  std::string names_;
};

// Bounded: who pushes into a full queue waits, so that no event is ever lost here. The consumer
// must wait for nobody. One producer, one consumer.
class KvQueue {
 public:
  // REQUIRES: both at least 1.
  KvQueue(size_t batch_events, size_t max_batches);

  // True when the consumer should be told: a batch is full, or one has begun.
  bool Push(const KvChange& change);
  // Consumer. A full batch into *out, whose memory is used again. False: there is none.
  bool Pop(KvBatch* out);
  // The same for what is not full yet.
  bool PopBegun(KvBatch* out);
  bool begun() const;
  // From here on nothing waits, and what does not fit is thrown away. Any thread.
  void Close();

  uint64_t waits() const;   // times that the producer waited; any thread
  uint64_t thrown() const;  // changes, after Close

 private:
  const size_t batch_events_;
  const size_t max_batches_;
  mutable std::mutex mutex_;  // for all below
  std::condition_variable room_;
  std::deque<KvBatch> full_;
  std::vector<KvBatch> spare_;
  KvBatch begun_;
  bool closed_ = false;
  uint64_t waits_ = 0;
  uint64_t thrown_ = 0;
};

}  // namespace headrace::sim
