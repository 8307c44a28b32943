// One life of the mover process: started, told things over a socket, ended for certain. The core's
// thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "base/time.h"

namespace headrace::transport {

class Child {
 public:
  Child() = default;
  // Starts `program` with the other end of a socket as descriptor 3. Takes about a millisecond.
  static Result<Child> Start(const std::string& program);
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();  // kills and reaps

  bool running() const { return pid_ > 0; }
  int socket() const { return socket_.get(); }
  int pidfd() const { return pidfd_.get(); }  // readable when it has ended
  pid_t pid() const { return pid_; }
  Time started() const { return started_; }
  uint64_t cpu_nanos() const;  // so far

  void Kill();
  // Waits for its end, which a kill or a readable pidfd makes near. At return no thread of it
  // exists: this is the fence for whatever it was copying.
  struct End {
    std::string words;  // "signal 9", "exit status 1"
    uint64_t cpu_nanos = 0;
  };
  End Reap();

 private:
  pid_t pid_ = 0;
  Fd pidfd_, socket_;
  Time started_;
};

}  // namespace headrace::transport
