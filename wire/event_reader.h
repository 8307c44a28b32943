// Reads one KV event, map or array, in a single pass over its bytes. Internal to the codec.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "wire/event.h"
#include "wire/event_cursor.h"

namespace headrace::wire {

// Memory for the values of one batch. It never moves while a batch is decoded, so that spans of it
// stay good: no batch has more values than bytes. What a bad event took is not given back.
template <typename T>
class EventPool {
 public:
  void Clear(size_t at_least) {
    size_ = 0;
    if (at_least <= capacity_) return;
    capacity_ = std::bit_ceil(at_least);
    data_ = std::make_unique_for_overwrite<T[]>(capacity_);
  }
  // Where the next `count` values may be written, of which those stay that are taken then.
  T* Room(size_t count) {
    HR_CHECK(count <= capacity_ - size_);
    return data_.get() + size_;
  }
  void Take(size_t count) {
    HR_CHECK(count <= capacity_ - size_);
    size_ += count;
  }

 private:
  std::unique_ptr<T[]> data_;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

struct EventPools {
  EventPool<uint64_t> hashes;
  EventPool<uint8_t> full;
  EventPool<uint32_t> words;  // tokens and counts
};

enum class EventVerdict : uint8_t { kGood, kBad, kUnknown };

// Reads one event into `*event`, which had its defaults. After kBad the input stands anywhere.
class EventReader {
 public:
  // Of all types, in the order in which engines write them.
  enum Field : uint8_t {
    kType,
    kHashes,
    kParent,
    kTokens,
    kBlockSize,
    kLoraId,
    kMedium,
    kLoraName,
    kExtraKeys,
    kGroup,
    kSpecKind,
    kWindow,
    kLocality,
    kOwnership,
    kSessionId,
    kPods,
    kPodsModel,
    kCopies,
    kReason,
    kFieldCount,
  };

  EventReader(EventPools* pools, Event* event) : pools_(*pools), event_(*event) {}

  EventVerdict Read(EventCursor* in);
  std::string Reason() const;  // REQUIRES: Read did not return kGood

 private:
  using FieldReader = bool (EventReader::*)();
  struct Rule {
    std::string_view name;
    FieldReader read;
    const char* must;  // what the value must be
  };
  static const std::array<Rule, kFieldCount> kRules;

  EventVerdict ReadWrapped(std::span<const uint8_t> bytes);
  EventVerdict ReadMap(uint32_t count);
  EventVerdict ReadArray(uint32_t count);
  bool ReadPositions(uint32_t count, std::span<const Field> order, uint32_t firm);
  bool ReadField(Field field, bool firm);
  Field NextField(Field last);
  bool ReadEntry(Field* last);
  EventVerdict Judge();
  EventVerdict Bad(const char* fault) {
    fault_ = fault;
    return EventVerdict::kBad;
  }

  bool ReadType() { return in_->Text(&type_); }
  bool ReadHashes();
  bool ReadParent();
  bool ReadTokens();
  bool ReadWords(size_t most, std::span<const uint32_t>* out);
  bool ReadLoraId();
  bool ReadExtraKeys();
  bool ReadGroup();
  bool ReadCopies();
  bool ReadPods();
  bool ReadPodsModel();
  template <std::string_view Event::* member>
  bool ReadText() {
    return in_->Text(&(event_.*member));
  }
  template <uint32_t Event::* member>
  bool ReadCount();

  EventPools& pools_;
  Event& event_;
  EventCursor* in_ = nullptr;
  std::string_view type_;
  uint32_t seen_ = 0;   // fields, by bit
  uint32_t wrong_ = 0;  // those whose value was of no use
  const char* fault_ = nullptr;
};

}  // namespace headrace::wire
