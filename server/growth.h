// Backs the pool's pages with memory, one after the other, while the server already serves.
// A thread of its own. Stops within one page's time; when memory runs out it keeps what is there.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "base/time.h"
#include "server/pool.h"

namespace headrace::server {

class PoolGrowth {
 public:
  // Called on the growth thread with a run of pages that are backed now.
  using Ready = std::function<void(uint32_t first, uint32_t count)>;
  using Back = std::function<Status(const PagePlace&)>;

  // `pool` outlives the growth.
  PoolGrowth(const Pool* pool, Ready ready);
  // For tests: `back` stands in for the machine's memory.
  PoolGrowth(const Pool* pool, Ready ready, Back back);
  ~PoolGrowth();

  void Start();
  void RequestStop() { stop_.store(true); }  // any thread
  void Join();

  struct Progress {
    uint64_t ready_bytes = 0;
    uint64_t total_bytes = 0;
    double seconds = 0;   // so far
    bool done = false;    // nothing more will come
    bool failed = false;  // memory ran out
  };
  Progress progress() const;  // any thread

 private:
  void Run();
  void Report(uint32_t pages_ready) const;

  const Pool* const pool_;
  const Ready ready_;
  const Back back_;
  std::thread thread_;
  std::atomic<bool> stop_ = false;         // read by the growth thread
  std::atomic<uint64_t> ready_bytes_ = 0;  // these are read by HTTP and the core
  std::atomic<int64_t> started_nanos_ = 0;
  std::atomic<int64_t> taken_nanos_ = 0;  // when done
  std::atomic<bool> done_ = false;
  std::atomic<bool> failed_ = false;
};

}  // namespace headrace::server
