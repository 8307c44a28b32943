// Where buffers end. Taking a mapping apart costs the kernel up to 0.7 s a GiB, which neither the
// core's thread nor one that copies can spare: the last reference to a buffer, whoever holds it,
// hands the buffer to a thread of its own.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "transport/local/buffer.h"

namespace headrace::transport {

class Reaper {
 public:
  Reaper();
  // What was handed over is gone at return. REQUIRES: every buffer from Adopt has been let go.
  ~Reaper();
  Reaper(const Reaper&) = delete;
  Reaper& operator=(const Reaper&) = delete;

  // The buffer as references that may be dropped on any thread, at no cost.
  std::shared_ptr<Buffer> Adopt(std::unique_ptr<Buffer> buffer);

 private:
  void Take(std::unique_ptr<Buffer> buffer);
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Buffer>> dead_;
  size_t adopted_ = 0;  // not in dead_ yet
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace headrace::transport
