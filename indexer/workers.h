// A few threads for work that would hold up the index's thread or the HTTP thread: reading bodies,
// templates, tokenizing, hashing, writing answers. Any thread may post.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace headrace::indexer {

class Workers {
 public:
  // `worker` is the number of the thread that runs it, from 0: what it keeps for itself.
  using Job = std::function<void(uint32_t worker)>;

  // At most `max_waiting` jobs of TryPost wait.
  Workers(uint32_t threads, uint32_t max_waiting);
  ~Workers();  // after the jobs that run; what waits is dropped
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False when too many wait; the job was not taken.
  bool TryPost(Job job);
  // The rest of something that TryPost took: bounded by what it let in.
  void Continue(Job job);

  uint32_t threads() const { return static_cast<uint32_t>(threads_.size()); }
  uint64_t waiting() const;
  uint64_t refused() const;  // by TryPost

 private:
  void Run(uint32_t worker);

  const uint32_t max_waiting_;
  mutable std::mutex mutex_;  // guards all below but threads_
  std::condition_variable change_;
  std::deque<Job> fresh_;
  std::deque<Job> begun_;  // these go first
  uint64_t refused_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace headrace::indexer
