// SIGTERM and SIGINT become readable bytes of a pipe: the one piece of process state that a signal
// handler can reach. Main thread.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace headrace {

class StopSignals {
 public:
  // Catches SIGTERM and SIGINT, ignores SIGPIPE and SIGHUP. One at a time in a process.
  static Result<StopSignals> Catch();
  StopSignals(StopSignals&& other) noexcept = default;
  ~StopSignals();

  int fd() const { return read_end_.get(); }
  void Drain();  // takes the bytes that are there

 private:
  StopSignals(Fd read_end, Fd write_end);
  Fd read_end_;
  Fd write_end_;
};

}  // namespace headrace
