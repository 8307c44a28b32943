// For tests: a process that has private memory at a known address and waits to be killed.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"

namespace headrace::transport {

class TestChild {
 public:
  // The child's copy of `bytes` of memory starts as `fill` everywhere.
  TestChild(uint64_t bytes, uint8_t fill) : bytes_(bytes) {
    void* memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT_NE(memory, MAP_FAILED);
    memory_ = static_cast<uint8_t*>(memory);
    std::fill(memory_, memory_ + bytes, fill);
    pid_ = ::fork();
    if (pid_ == 0) {
      for (;;) ::pause();
    }
    const std::string path = "/proc/" + std::to_string(pid_) + "/mem";
    mem_ = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_TRUE(mem_.valid());
  }
  TestChild(const TestChild&) = delete;
  TestChild& operator=(const TestChild&) = delete;
  ~TestChild() {
    End();
    ::munmap(memory_, bytes_);
  }

  void End() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

  pid_t pid() const { return pid_; }
  uint64_t address() const { return reinterpret_cast<uintptr_t>(memory_); }

  // By another way than the one under test.
  std::vector<uint8_t> Read() const {
    std::vector<uint8_t> out(bytes_);
    EXPECT_EQ(::pread(mem_.get(), out.data(), bytes_, static_cast<off_t>(address())),
              static_cast<ssize_t>(bytes_));
    return out;
  }
  void Write(const std::vector<uint8_t>& data) const {
    EXPECT_EQ(::pwrite(mem_.get(), data.data(), data.size(), static_cast<off_t>(address())),
              static_cast<ssize_t>(data.size()));
  }

 private:
  uint64_t bytes_;
  uint8_t* memory_ = nullptr;
  pid_t pid_ = 0;
  Fd mem_;
};

inline std::vector<uint8_t> TestPattern(uint64_t bytes, uint32_t seed) {
  std::vector<uint8_t> data(bytes);
  uint32_t state = seed * 2654435761u + 1;
  for (uint8_t& byte : data) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(state >> 24);
  }
  return data;
}

}  // namespace headrace::transport
