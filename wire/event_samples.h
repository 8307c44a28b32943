// Events for tests of the codec: one of each type with every field set, and what "the same" means
// after a form that has no place for some of them.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "wire/event.h"

namespace headrace::wire {

inline std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// The bytes of a literal, zeros and all.
template <size_t N>
std::string Raw(const char (&text)[N]) {
  return {text, N - 1};
}

inline std::string TextOf(std::span<const uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

// The last 8 bytes of each, big-endian.
inline std::vector<uint64_t> LowOf(std::span<const uint8_t> bytes, size_t width) {
  std::vector<uint64_t> low;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i % width == 0) low.push_back(0);
    low.back() = low.back() << 8 | bytes[i];
  }
  return low;
}

// Owns what its batch points to.
class FullEvents {
 public:
  FullEvents() {
    for (size_t i = 0; i < full_.size(); ++i) full_[i] = static_cast<uint8_t>(0x90 + 7 * i);
    low_ = LowOf(full_, kWidth);
    parent_.assign(full_.begin() + 5, full_.begin() + 5 + kWidth);
    const uint32_t some[] = {0, 127, 128, 255, 256, 65535, 65536, 4294967295, 1, 70000};
    for (size_t i = 0; i < 48; ++i) tokens_.push_back(some[(i * i) % std::size(some)]);

    Event stored{
        .type = EventType::kStored, .hashes = low_, .full_hashes = full_, .hash_bytes = kWidth};
    stored.parent = LowOf(parent_, kWidth)[0];
    stored.full_parent = parent_;
    stored.tokens = tokens_;
    stored.block_size = 16;
    stored.lora_id = -5;
    stored.lora_name = "adapter";
    stored.extra_keys = extra_;
    stored.spec_kind = "sliding_window";
    stored.sliding_window = 4096;
    stored.session_id = "s-1";
    stored.medium = "GPU";
    stored.group = 2;
    stored.locality = "REMOTE";
    stored.ownership = "shared";
    Event removed{
        .type = EventType::kRemoved, .hashes = low_, .full_hashes = full_, .hash_bytes = kWidth};
    removed.medium = "cpu";
    removed.group = 0;
    removed.locality = "LOCAL";
    removed.ownership = "own";
    removed.reason = "evicted";
    removed.remaining_copies = copies_;
    events_ = {stored, removed, Event{}};
  }
  FullEvents(const FullEvents&) = delete;

  EventBatch batch() const { return {.timestamp = 1795239762.25, .rank = 1, .events = events_}; }

 private:
  static constexpr uint8_t kWidth = 32;
  std::vector<uint8_t> full_ = std::vector<uint8_t>(size_t{3} * kWidth);
  std::vector<uint8_t> parent_;
  std::vector<uint64_t> low_;
  std::vector<uint32_t> tokens_;
  std::vector<uint32_t> copies_ = {1, 0, 300};
  // [nil, ["img", ["mm", 3]], nil]
  std::vector<uint8_t> extra_ = {0x93, 0xc0, 0x92, 0xa3, 'i', 'm', 'g',
                                 0x92, 0xa2, 'm',  'm',  3,   0xc0};
  std::vector<Event> events_;
};

// What is left of an event after it was written in this form.
inline Event Reduced(Event event, const EventForm& form) {
  if (form.int_hashes) {
    event.full_hashes = event.full_parent = {};
    event.hash_bytes = 0;
  }
  if (form.array) {
    event.locality = event.ownership = event.session_id = event.reason = {};
    event.remaining_copies = {};
  }
  return event;
}

// All of an event, to be compared.
inline auto Contents(const Event& event) {
  const auto list = [](auto span) { return std::vector(span.begin(), span.end()); };
  return std::make_tuple(event.type, list(event.hashes), list(event.full_hashes), event.hash_bytes,
                         event.parent, list(event.full_parent), list(event.tokens),
                         event.block_size, event.lora_id, event.lora_name, list(event.extra_keys),
                         event.spec_kind, event.sliding_window, event.session_id, event.medium,
                         event.group, event.locality, event.ownership, event.reason,
                         list(event.remaining_copies), list(event.pods), event.pods_model);
}

inline bool SameEvent(const Event& got, const Event& event, const EventForm& form) {
  return Contents(got) == Contents(Reduced(event, form));
}

inline bool SameBatch(const EventBatch& got, const EventBatch& batch, const EventForm& form) {
  return got.timestamp == batch.timestamp && got.rank == batch.rank && got.bad == 0 &&
         got.unknown == 0 &&
         std::equal(got.events.begin(), got.events.end(), batch.events.begin(), batch.events.end(),
                    [&](const Event& a, const Event& b) { return SameEvent(a, b, form); });
}

}  // namespace headrace::wire
