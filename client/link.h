// One stream socket to a server and the bytes that wait on both sides of it. Knows frames, not
// their meaning. Never blocks. Guarded by its client's lock, except fd() for poll(2).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace headrace::client {

class Link {
 public:
  // More waiting than this, and nothing is taken any more: the server does not read.
  static constexpr size_t kMaxQueuedBytes = 1u << 20;

  // Fails with kUnavailable when nobody listens or the server's backlog is full.
  static Result<std::shared_ptr<Link>> Connect(const std::string& path);
  explicit Link(Fd fd);

  int fd() const { return fd_.get(); }
  // Bytes wait for room in the socket: poll for POLLOUT too.
  bool queued() const { return sent_ < queue_.size(); }

  // Sends whole frames, or keeps what does not fit for Flush. kLimit: too much waits already, and
  // nothing of `frames` was taken; kUnavailable: hung up.
  Status Send(std::string_view frames);
  // The same with descriptors. REQUIRES: nothing is queued, so that they go with their frame.
  Status SendWithDescriptors(std::string_view frames, std::span<const int> descriptors);
  Status Flush();

  // Reads what is there, at most one buffer full; true when there may be more.
  // After the peer's hang-up: false, and hung_up() holds.
  bool Receive();
  bool hung_up() const { return hung_up_; }
  // The payload of the next whole frame, valid until Receive; empty data() when there is none.
  // Fails with kLimit on a length over wire::kMaxFrameBytes.
  Result<std::span<const uint8_t>> NextFrame();

  // Tells the server that nothing more comes; its hang-up can still be awaited by PeerGone.
  void EndSending();
  // Every copy of the other end is closed.
  bool PeerGone() const;

 private:
  Status SendOrQueue(std::string_view bytes);

  Fd fd_;
  std::string queue_;
  size_t sent_ = 0;  // of queue_
  std::vector<uint8_t> input_;
  size_t begin_ = 0, end_ = 0;  // bytes of input_ that were not handed out
  bool hung_up_ = false;
};

}  // namespace headrace::client
