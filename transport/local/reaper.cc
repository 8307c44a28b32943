#include "transport/local/reaper.h"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace headrace::transport {

Reaper::Reaper() : thread_([this] { Run(); }) {}

Reaper::~Reaper() {
  {
    std::lock_guard lock(mutex_);
    HR_CHECK(adopted_ == 0);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

std::shared_ptr<Buffer> Reaper::Adopt(std::unique_ptr<Buffer> buffer) {
  HR_CHECK(buffer != nullptr);
  {
    std::lock_guard lock(mutex_);
    ++adopted_;
  }
  return {buffer.release(), [this](Buffer* last) { Take(std::unique_ptr<Buffer>(last)); }};
}

void Reaper::Take(std::unique_ptr<Buffer> buffer) {
  {
    std::lock_guard lock(mutex_);
    HR_CHECK(adopted_ > 0 && !stop_);
    --adopted_;
    dead_.push_back(std::move(buffer));
  }
  changed_.notify_one();
}

void Reaper::Run() {
  ::pthread_setname_np(::pthread_self(), "hr-unmap");
  sigset_t all;
  ::sigfillset(&all);
  HR_CHECK(::pthread_sigmask(SIG_SETMASK, &all, nullptr) == 0);
  std::unique_lock lock(mutex_);
  while (!stop_ || !dead_.empty()) {
    if (dead_.empty()) {
      changed_.wait(lock);
      continue;
    }
    std::vector<std::unique_ptr<Buffer>> now = std::exchange(dead_, {});
    lock.unlock();
    now.clear();
    lock.lock();
  }
}

}  // namespace headrace::transport
