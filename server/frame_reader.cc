#include "server/frame_reader.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "wire/control.h"

namespace headrace::server {
namespace {

constexpr size_t kFirstBuffer = 16u << 10;
constexpr size_t kKeepBuffer = 1u << 20;  // a larger one is given back when it is empty
constexpr size_t kPrefixBytes = 4;
constexpr size_t kMaxControlDescriptors = 64;  // in one recvmsg; the kernel closes what is beyond

std::vector<Fd> ReadDescriptors(msghdr* message) {
  std::vector<Fd> descriptors;
  for (cmsghdr* control = CMSG_FIRSTHDR(message); control != nullptr;
       control = CMSG_NXTHDR(message, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
      descriptors.emplace_back(fd);
    }
  }
  return descriptors;
}

}  // namespace

FrameReader::FrameReader(uint32_t max_frame_bytes, size_t max_descriptors)
    : max_frame_bytes_(max_frame_bytes), max_descriptors_(max_descriptors), buffer_(kFirstBuffer) {}

void FrameReader::MakeRoom() {
  if (begin_ == end_) {
    base_ += begin_;
    begin_ = end_ = 0;
    if (buffer_.size() > kKeepBuffer) {
      buffer_.resize(kFirstBuffer);
      buffer_.shrink_to_fit();
    }
  }
  if (end_ < buffer_.size()) return;
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    base_ += begin_;
    end_ -= begin_;
    begin_ = 0;
    if (end_ <= buffer_.size() / 2) return;
  }
  // Grows with the bytes that came, not with the length that was promised.
  buffer_.resize(std::min(buffer_.size() * 2, size_t{max_frame_bytes_} + kFirstBuffer));
  HR_CHECK(end_ < buffer_.size());
}

FrameReader::ReadResult FrameReader::Read(int fd) {
  MakeRoom();
  HR_CHECK(begin_ <= end_ && end_ < buffer_.size());
  iovec io{buffer_.data() + end_, buffer_.size() - end_};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxControlDescriptors)> control;
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = -1;
  do {
    got = ::recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    return errno == EAGAIN || errno == EWOULDBLOCK ? ReadResult::kNothing : ReadResult::kHangUp;
  }
  const uint64_t begin = base_ + end_;
  if (message.msg_controllen > 0) {
    KeepDescriptors(ReadDescriptors(&message), begin, begin + static_cast<uint64_t>(got));
  }
  if (got == 0) return ReadResult::kHangUp;
  end_ += static_cast<size_t>(got);
  return ReadResult::kData;
}

void FrameReader::KeepDescriptors(std::vector<Fd> descriptors, uint64_t begin, uint64_t end) {
  HR_CHECK(num_descriptors_ <= max_descriptors_);
  const size_t room = max_descriptors_ - num_descriptors_;
  if (descriptors.size() > room) {
    closed_ += descriptors.size() - room;
    descriptors.resize(room);
  }
  if (descriptors.empty()) return;
  num_descriptors_ += descriptors.size();
  batches_.push_back({begin, end, std::move(descriptors)});
}

void FrameReader::CloseStale() {
  // A descriptor belongs to a frame of which a byte came in the same read.
  while (!batches_.empty() && batches_.front().end <= position()) {
    num_descriptors_ -= batches_.front().descriptors.size();
    closed_ += batches_.front().descriptors.size();
    batches_.pop_front();
  }
}

bool FrameReader::HasFrame() const {
  const auto length = wire::PeekFrame({buffer_.data() + begin_, end_ - begin_}, max_frame_bytes_);
  return !length || (*length != wire::kNoFrame && end_ - begin_ >= kPrefixBytes + *length);
}

Result<std::optional<std::span<const uint8_t>>> FrameReader::Next() {
  CloseStale();
  const std::span<const uint8_t> bytes(buffer_.data() + begin_, end_ - begin_);
  HR_TRY(const uint32_t length, wire::PeekFrame(bytes, max_frame_bytes_));
  if (length == wire::kNoFrame || bytes.size() < kPrefixBytes + length) return std::nullopt;
  begin_ += kPrefixBytes + length;
  HR_DCHECK(begin_ <= end_);
  return bytes.subspan(kPrefixBytes, length);
}

std::vector<Fd> FrameReader::TakeDescriptors() {
  std::vector<Fd> taken;
  while (!batches_.empty() && batches_.front().begin < position()) {
    auto& descriptors = batches_.front().descriptors;
    std::move(descriptors.begin(), descriptors.end(), std::back_inserter(taken));
    batches_.pop_front();
  }
  HR_CHECK(taken.size() <= num_descriptors_);
  num_descriptors_ -= taken.size();
  return taken;
}

}  // namespace headrace::server
