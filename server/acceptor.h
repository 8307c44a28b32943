// Takes new connections from the unix and TCP listeners and names the peer.
// Loop-bound. When the process has no descriptors left it pauses instead of spinning.
#pragma once

#include <functional>
#include <vector>

#include "base/fd.h"
#include "base/loop.h"
#include "base/result.h"
#include "server/session.h"

namespace headrace::server {

class Acceptor {
 public:
  using Arrived = std::function<void(Fd, Peer)>;
  Acceptor(Loop* loop, Arrived arrived);
  ~Acceptor();

  // `local`: the listener is a unix socket.
  Status Add(Fd listener, bool local);
  void Close();  // no more connections; those in the backlog are refused

  uint64_t pauses() const { return pauses_; }

 private:
  struct Listener {
    Fd fd;
    bool local = false;
    uint64_t resume_timer = 0;
  };
  Status Watch(size_t index);
  void Accept(size_t index);
  void Pause(size_t index);

  Loop* const loop_;
  const Arrived arrived_;
  std::vector<Listener> listeners_;
  uint64_t pauses_ = 0;
};

}  // namespace headrace::server
