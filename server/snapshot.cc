#include "server/snapshot.h"

#include <utility>

namespace headrace::server {

void SnapshotBoard::SetAsk(std::function<void()> ask) {
  const std::lock_guard lock(mutex_);
  ask_ = std::move(ask);
}

void SnapshotBoard::Publish(std::shared_ptr<const Snapshot> snapshot) {
  HR_CHECK(snapshot != nullptr);
  {
    const std::lock_guard lock(mutex_);
    latest_ = std::move(snapshot);
    ++count_;
    asked_ = false;
  }
  published_.notify_all();
}

// One question at a time: a core that stands still does not collect them.
void SnapshotBoard::AskLocked() {
  if (asked_ || ask_ == nullptr) return;
  asked_ = true;
  asked_at_ = MonotonicNow();
  ask_();
}

std::shared_ptr<const Snapshot> SnapshotBoard::Fresh(Duration wait) {
  std::unique_lock lock(mutex_);
  // An answer to an earlier question may have been taken before this call, but not by much.
  const uint64_t before = count_;
  AskLocked();
  published_.wait_for(lock, wait, [&] { return count_ != before; });
  return latest_;
}

Duration SnapshotBoard::Silence() {
  const std::lock_guard lock(mutex_);
  AskLocked();
  return asked_ ? MonotonicNow() - asked_at_ : Duration{};
}

}  // namespace headrace::server
