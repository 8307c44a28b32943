#include "tests/seeds/memory.h"

#include <cstring>

#include "base/random.h"
namespace headrace::seeds {
namespace {

constexpr uint8_t kCanary = 0xEE;

uint64_t KeyNumber(const ContentKey& key) {
  uint64_t number = key.group * 131 + key.rank * 7919;
  for (char letter : key.name_space) number = MixBits(number + static_cast<uint8_t>(letter) + 1);
  for (size_t i = 0; i < key.hash.bytes.size(); i += 8) {
    uint64_t word;
    std::memcpy(&word, &key.hash.bytes[i], 8);
    number = MixBits(number ^ word);
  }
  return number;
}

// Calls f(byte offset in the buffer, number of the segment) for each segment of the block.
template <typename F>
void ForEachSegment(const wire::Layout& layout, uint32_t block, F&& f) {
  for (uint32_t part = 0; part < layout.parts; ++part) {
    for (uint32_t layer = 0; layer < layout.num_layers(); ++layer) {
      f(layout.SegmentOffset(layer, block, part), part * layout.num_layers() + layer);
    }
  }
}

std::vector<uint8_t> SegmentBytes(uint64_t number, uint32_t segment, uint64_t bytes) {
  std::vector<uint8_t> out(bytes);
  for (uint64_t i = 0; i < bytes; ++i) {
    out[i] = static_cast<uint8_t>(MixBits(number + segment * 1000003 + i / 8) >> (8 * (i % 8)));
  }
  return out;
}

}  // namespace

void FillBlock(const wire::Layout& layout, uint32_t block, const ContentKey& key,
               std::vector<uint8_t>* buffer) {
  const uint64_t number = KeyNumber(key);
  ForEachSegment(layout, block, [&](uint64_t offset, uint32_t segment) {
    const auto bytes = SegmentBytes(number, segment, layout.segment_bytes);
    std::memcpy(buffer->data() + offset, bytes.data(), bytes.size());
  });
}

bool BlockHolds(const wire::Layout& layout, uint32_t block, const ContentKey& key,
                const std::vector<uint8_t>& buffer) {
  const uint64_t number = KeyNumber(key);
  bool holds = true;
  ForEachSegment(layout, block, [&](uint64_t offset, uint32_t segment) {
    const auto bytes = SegmentBytes(number, segment, layout.segment_bytes);
    holds = holds && std::memcmp(buffer.data() + offset, bytes.data(), bytes.size()) == 0;
  });
  return holds;
}

void FillCanary(const wire::Layout& layout, uint32_t block, std::vector<uint8_t>* buffer) {
  ForEachSegment(layout, block, [&](uint64_t offset, uint32_t) {
    std::memset(buffer->data() + offset, kCanary, layout.segment_bytes);
  });
}

bool CanaryStands(const wire::Layout& layout, uint32_t block, const std::vector<uint8_t>& buffer) {
  bool stands = true;
  ForEachSegment(layout, block, [&](uint64_t offset, uint32_t) {
    for (uint64_t i = 0; i < layout.segment_bytes; ++i)
      stands = stands && buffer[offset + i] == kCanary;
  });
  return stands;
}

}  // namespace headrace::seeds
