// ValidateLayout and ForEachRun against the model that looks at every segment; and any 64-bit
// fields at all, where nothing may wrap.
#include <cstring>

#include "wire/layout_model.h"
#include "wire/segments.h"

using namespace headrace;
using wire::Layout;

namespace {

// Takes integers from the input; zeros when it is used up.
struct Input {
  const uint8_t* data;
  size_t size;

  template <typename T>
  T Take() {
    T value{};
    const size_t bytes = size < sizeof(T) ? size : sizeof(T);
    if (bytes > 0) std::memcpy(&value, data, bytes);
    data += bytes;
    size -= bytes;
    return value;
  }
};

template <typename T>
Layout TakeLayout(Input* in) {
  Layout layout{.num_blocks = in->Take<T>(),
                .segment_bytes = in->Take<T>(),
                .block_stride = in->Take<T>(),
                .part_stride = in->Take<T>(),
                .parts = in->Take<uint8_t>() % 4u};
  const size_t layers = in->Take<uint8_t>() % 8;
  for (size_t i = 0; i < layers; ++i) layout.layer_offsets.push_back(in->Take<T>());
  return layout;
}

void CheckRuns(const Layout& layout) {
  const uint64_t block = layout.num_blocks - 1;
  std::vector<uint64_t> bytes;
  ForEachRun(layout, block, [&](uint64_t buffer, uint64_t slot, uint64_t run_bytes) {
    HR_CHECK(slot == bytes.size());
    for (uint64_t i = 0; i < run_bytes; ++i) bytes.push_back(buffer + i);
  });
  HR_CHECK(bytes == wire::ModelBytes(layout, block));
}

// What the model can follow: fields that ValidateLayout takes, and few enough blocks.
bool InRange(const Layout& layout) {
  return layout.num_blocks >= 1 && layout.num_blocks <= 256 && layout.segment_bytes >= 1 &&
         layout.segment_bytes <= UINT32_MAX && (layout.parts == 1 || layout.parts == 2) &&
         !layout.layer_offsets.empty();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in{data, size};
  const bool small = in.Take<uint8_t>() % 4 != 0;
  Layout layout = small ? TakeLayout<uint8_t>(&in) : TakeLayout<uint64_t>(&in);
  if (small) layout.num_blocks %= 24;  // the model looks at each
  const uint64_t buffer_bytes = small ? in.Take<uint16_t>() : in.Take<uint64_t>();
  const bool valid = ValidateLayout(layout, buffer_bytes).has_value();
  if (InRange(layout)) HR_CHECK(valid == wire::ModelValid(layout, buffer_bytes));
  if (valid && layout.segment_bytes <= 256) CheckRuns(layout);
  return 0;
}
