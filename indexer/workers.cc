#include "indexer/workers.h"

#include <pthread.h>

#include <csignal>
#include <utility>

#include "base/result.h"

namespace headrace::indexer {

Workers::Workers(uint32_t threads, uint32_t max_waiting) : max_waiting_(max_waiting) {
  HR_CHECK(threads > 0 && max_waiting > 0);
  // Signals are for the main thread: the new ones start with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  threads_.reserve(threads);
  for (uint32_t i = 0; i < threads; ++i) threads_.emplace_back([this, i] { Run(i); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Workers::~Workers() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  change_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool Workers::TryPost(Job job) {
  HR_CHECK(job != nullptr);
  {
    std::lock_guard lock(mutex_);
    if (fresh_.size() >= max_waiting_) {
      ++refused_;
      return false;
    }
    fresh_.push_back(std::move(job));
  }
  change_.notify_one();
  return true;
}

void Workers::Continue(Job job) {
  HR_CHECK(job != nullptr);
  {
    std::lock_guard lock(mutex_);
    begun_.push_back(std::move(job));
  }
  change_.notify_one();
}

uint64_t Workers::waiting() const {
  std::lock_guard lock(mutex_);
  return fresh_.size() + begun_.size();
}

uint64_t Workers::refused() const {
  std::lock_guard lock(mutex_);
  return refused_;
}

void Workers::Run(uint32_t worker) {
  pthread_setname_np(pthread_self(), "index-work");
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      change_.wait(lock, [this] { return stop_ || !begun_.empty() || !fresh_.empty(); });
      if (stop_) return;
      std::deque<Job>& queue = begun_.empty() ? fresh_ : begun_;
      job = std::move(queue.front());
      queue.pop_front();
    }
    job(worker);
  }
}

}  // namespace headrace::indexer
