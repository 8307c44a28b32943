#include "client/breaker.h"

#include <algorithm>

namespace headrace::client {

void Breaker::Trip(Time now) {
  if (open_) return;
  open_ = true;
  ++opens_;
  pause_ = first_;
  probe_at_ = now + pause_;
}

bool Breaker::TakeProbe(Time now) {
  if (!open_ || now < probe_at_) return false;
  pause_ = std::min(pause_ * 2, longest_);
  probe_at_ = now + pause_;
  return true;
}

}  // namespace headrace::client
