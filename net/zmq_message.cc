// What of net/zmq.h needs no libzmq.
#include "net/zmq.h"

namespace headrace::net {

std::span<const uint8_t> ZmqMessage::operator[](size_t index) const {
  return ZmqBytes(text(index));
}

std::string_view ZmqMessage::text(size_t index) const {
  HR_CHECK(index < ends_.size());
  const size_t begin = index == 0 ? 0 : ends_[index - 1];
  return std::string_view(bytes_).substr(begin, ends_[index] - begin);
}

void ZmqMessage::Clear() {
  bytes_.clear();
  ends_.clear();
  truncated_ = false;
}

void ZmqMessage::Add(std::span<const uint8_t> frame) {
  HR_CHECK(ends_.size() < kMaxFrames);
  bytes_.append(reinterpret_cast<const char*>(frame.data()), frame.size());
  ends_.push_back(bytes_.size());
}

std::span<const uint8_t> ZmqBytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

Status ZmqSend(ZmqSocket* socket, std::initializer_list<std::span<const uint8_t>> frames) {
  return socket->Send({frames.begin(), frames.size()});
}

}  // namespace headrace::net
