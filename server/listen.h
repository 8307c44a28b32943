// Binds the sockets that clients connect to. A failure comes with the line for the user, which
// names the option. Main thread, before anything else runs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace headrace::server {

// A listening unix socket; its file goes with the object, unless somebody replaced it.
class UnixListener {
 public:
  // A file that nobody listens on is replaced; a live one is refused.
  static Result<UnixListener> Listen(const std::string& path, uint32_t mode, std::string* message);
  UnixListener() = default;
  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&& other) noexcept;
  ~UnixListener();

  Fd TakeFd() { return std::move(fd_); }
  void RemoveFile();  // now, not only at the end

 private:
  Fd fd_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// "127.0.0.1:50055", "[::1]:50055", "localhost:0". `port`: the one that was bound.
Result<Fd> ListenTcp(const std::string& address, uint16_t* port, std::string* message);

}  // namespace headrace::server
