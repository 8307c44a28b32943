// Cuts the byte stream of one connection into frames and keeps the descriptors that came along.
// Loop-bound. Never blocks; never holds more than one frame and one read beyond it.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace headrace::server {

class FrameReader {
 public:
  FrameReader(uint32_t max_frame_bytes, size_t max_descriptors);

  enum class ReadResult : uint8_t { kData, kNothing, kHangUp };
  // One recvmsg. Spans from Next are void afterwards. REQUIRES: !HasFrame()
  ReadResult Read(int fd);

  // The payload of the next whole frame; nothing while bytes are missing. Fails with kLimit when
  // the frame is longer than allowed: the stream cannot go on.
  Result<std::optional<std::span<const uint8_t>>> Next();

  // A whole frame is here, so that Next would give it (or the error) without a Read.
  bool HasFrame() const;

  // The descriptors that can belong to the frame last given by Next, in order. Those that no frame
  // takes are closed when the stream has passed them.
  std::vector<Fd> TakeDescriptors();

  // Descriptors that came and that no frame took, up to now.
  uint64_t unwanted_descriptors() const { return closed_ + num_descriptors_; }

 private:
  // Descriptors of one recvmsg that read the stream's bytes [begin, end).
  struct Batch {
    uint64_t begin = 0;
    uint64_t end = 0;
    std::vector<Fd> descriptors;
  };

  void MakeRoom();
  void KeepDescriptors(std::vector<Fd> descriptors, uint64_t begin, uint64_t end);
  void CloseStale();
  uint64_t position() const { return base_ + begin_; }  // in the stream

  const uint32_t max_frame_bytes_;
  const size_t max_descriptors_;
  std::vector<uint8_t> buffer_;
  size_t begin_ = 0;   // of the bytes not yet given out
  size_t end_ = 0;     // of the bytes read
  uint64_t base_ = 0;  // place of buffer_[0] in the stream
  std::deque<Batch> batches_;
  size_t num_descriptors_ = 0;
  uint64_t closed_ = 0;
};

}  // namespace headrace::server
