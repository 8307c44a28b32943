// Python's pickle, protocol 5, byte by byte as CPython's C pickler writes it, as much of it as
// block hashes need: None, integers, bytes, str and tuples of them. CPython writes an object that
// it has met before as a reference to it, and knows objects by identity; here equal texts are one
// object and everything else is new, see docs/hashes.md. Owns nothing; one thread at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace::wire {

class PickleWriter {
 public:
  // Replaces *out. REQUIRES: `out` and every text outlive the writer.
  explicit PickleWriter(std::string* out);

  void None();
  void Int(int64_t value);
  void Bytes(std::span<const uint8_t> bytes);  // REQUIRES: shorter than 4 GiB
  void Text(std::string_view text);            // REQUIRES: UTF-8 shorter than 4 GiB
  // A tuple: OpenTuple(n), its n values, CloseTuple(n).
  void OpenTuple(size_t count);
  void CloseTuple(size_t count);
  void Uints(std::span<const uint32_t> values);  // a tuple of them
  void Finish();                                 // nothing may follow

 private:
  static constexpr size_t kNoFrame = static_cast<size_t>(-1);

  // Output is cut into frames, each with its length before it. A frame ends before the first value
  // that begins when it is long enough; a body that is as long by itself stands in no frame.
  void BeginValue();
  void Put(std::string_view bytes);
  void PutSized(std::string_view head, std::string_view body);
  void OpenFrame();
  void CloseFrame();
  size_t FrameBytes() const;
  void Memoize();

  std::string* out_;
  size_t frame_ = kNoFrame;  // where the open frame's head begins
  uint32_t memo_size_ = 0;
  std::vector<std::pair<std::string_view, uint32_t>> texts_;  // in the memo, and where
};

}  // namespace headrace::wire
