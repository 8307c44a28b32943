#include "server/session.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace headrace::server {
namespace {

constexpr size_t kKeepOutput = 256u << 10;  // a larger buffer is given back when it is empty

}  // namespace

Session::Session(SessionId id, Fd fd, Peer peer, const SessionLimits& limits)
    : id_(id),
      fd_(std::move(fd)),
      peer_(peer),
      reader_(static_cast<uint32_t>(limits.max_frame_bytes), wire::kMaxBuffers + 1) {
  HR_CHECK(fd_.valid());
}

void Session::Queue(const wire::ReplyFrame& frame) {
  wire::EncodeReply(frame, &out_);
}

Session::Flushed Session::Flush() {
  while (out_begin_ < out_.size()) {
    const ssize_t sent = ::send(fd_.get(), out_.data() + out_begin_, out_.size() - out_begin_,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK ? Flushed::kSome : Flushed::kBroken;
    }
    out_begin_ += static_cast<size_t>(sent);
    HR_DCHECK(out_begin_ <= out_.size());
    // Moves what is left to the front once the sent part is the larger one: amortized linear.
    if (out_begin_ > kKeepOutput && out_begin_ > out_.size() / 2) {
      out_.erase(0, out_begin_);
      out_begin_ = 0;
    }
  }
  out_.clear();
  out_begin_ = 0;
  if (out_.capacity() > kKeepOutput) out_.shrink_to_fit();
  return Flushed::kAll;
}

bool Session::Begin(RequestId request, Time start) {
  if (current_) {
    running_.emplace(current_->request, current_->start);
    current_.reset();
  }
  if (running_.contains(request)) return false;
  current_ = Running{request, start};
  return true;
}

std::optional<Time> Session::End(RequestId request) {
  if (current_ && current_->request == request) {
    const Time start = current_->start;
    current_.reset();
    return start;
  }
  const auto found = running_.find(request);
  if (found == running_.end()) return std::nullopt;
  const Time start = found->second;
  running_.erase(found);
  return start;
}

}  // namespace headrace::server
