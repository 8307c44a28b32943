#include "wire/event_reader.h"

#include <algorithm>
#include <limits>
#include <optional>

namespace headrace::wire {

using enum EventReader::Field;

namespace {

using Field = EventReader::Field;

constexpr uint32_t Bit(Field field) {
  return uint32_t{1} << field;
}
constexpr uint32_t kRemovedFields = Bit(kType) | Bit(kHashes) | Bit(kMedium) | Bit(kGroup) |
                                    Bit(kLocality) | Bit(kOwnership) | Bit(kCopies) | Bit(kReason);
constexpr uint32_t kStoredFields = (Bit(kFieldCount) - 1) & ~(Bit(kCopies) | Bit(kReason));

// Where the fields of an event in the array form stand, the tag being 0. `required` elements must
// be there. From `firm` on other engines put fields of their own, so what does not fit is passed.
struct Positions {
  std::span<const Field> order;
  uint32_t required = 1;
  uint32_t firm = 1;
};
constexpr Field kStoredOrder[] = {kType,     kHashes,    kParent,    kTokens, kBlockSize, kLoraId,
                                  kMedium,   kLoraName,  kExtraKeys, kGroup,  kSpecKind,  kWindow,
                                  kLocality, kOwnership, kSessionId, kPods,   kPodsModel};
constexpr Field kRemovedOrder[] = {kType, kHashes, kMedium, kGroup, kLocality, kOwnership};
constexpr Positions kStoredPositions = {kStoredOrder, 5, kLocality};
constexpr Positions kRemovedPositions = {kRemovedOrder, 2, 4};

constexpr const char* kMustBeText = "a text or nil";
constexpr const char* kMustBeCount = "an integer from 0 to 4294967295, or nil";

bool IsPodText(std::string_view text) {
  return !text.empty() && text.size() <= EventDecoder::kMaxPodBytes;
}

std::optional<EventType> TypeOf(std::string_view tag) {
  if (tag == "BlockStored") return EventType::kStored;
  if (tag == "BlockRemoved") return EventType::kRemoved;
  if (tag == "AllBlocksCleared") return EventType::kCleared;
  return std::nullopt;
}

}  // namespace

const std::array<EventReader::Rule, kFieldCount> EventReader::kRules = {{
    {"type", &EventReader::ReadType, "a text"},
    {"block_hashes", &EventReader::ReadHashes,
     "an array of at most 1048576 hashes: integers, or 1 to 32 bytes each"},
    {"parent_block_hash", &EventReader::ReadParent, "an integer, 1 to 32 bytes, or nil"},
    {"token_ids", &EventReader::ReadTokens,
     "an array of at most 16777216 integers from 0 to 4294967295, or nil"},
    {"block_size", &EventReader::ReadCount<&Event::block_size>, kMustBeCount},
    {"lora_id", &EventReader::ReadLoraId, "an integer of 64 bits or nil"},
    {"medium", &EventReader::ReadText<&Event::medium>, kMustBeText},
    {"lora_name", &EventReader::ReadText<&Event::lora_name>, kMustBeText},
    {"extra_keys", &EventReader::ReadExtraKeys, "an array of arrays and nils, or nil"},
    {"group_idx", &EventReader::ReadGroup, "an integer from 0 to 2147483647, or nil"},
    {"kv_cache_spec_kind", &EventReader::ReadText<&Event::spec_kind>, kMustBeText},
    {"kv_cache_spec_sliding_window", &EventReader::ReadCount<&Event::sliding_window>, kMustBeCount},
    {"locality", &EventReader::ReadText<&Event::locality>, kMustBeText},
    {"ownership", &EventReader::ReadText<&Event::ownership>, kMustBeText},
    {"session_id", &EventReader::ReadText<&Event::session_id>, kMustBeText},
    {"pods", &EventReader::ReadPods, "an array of at most 4096 texts of 1 to 256 bytes, or nil"},
    {"pods_model", &EventReader::ReadPodsModel, "a text of 1 to 256 bytes, or nil"},
    {"remaining_copy_counts", &EventReader::ReadCopies,
     "an array of integers from 0 to 4294967295, or nil"},
    {"reason", &EventReader::ReadText<&Event::reason>, kMustBeText},
}};

bool EventReader::ReadHashes() {
  uint32_t count = 0;
  if (!in_->Array(&count) || count > EventDecoder::kMaxHashes) return false;
  uint64_t* const hashes = pools_.hashes.Room(count);
  uint8_t* const full = pools_.full.Room(in_->remaining());
  size_t filled = 0;  // bytes of full
  size_t width = 0;   // of each hash as long as all have the same
  for (uint32_t i = 0; i < count; ++i) {
    std::span<const uint8_t> bytes;
    if (!in_->Hash(&hashes[i], &bytes)) return false;
    if (i == 0) width = bytes.size();
    if (bytes.size() != width) width = 0;
    if (width == 0) continue;
    std::copy(bytes.begin(), bytes.end(), full + filled);
    filled += width;
  }
  if (width == 0) filled = 0;
  pools_.hashes.Take(count);
  pools_.full.Take(filled);
  event_.hashes = {hashes, count};
  event_.full_hashes = {full, filled};
  event_.hash_bytes = static_cast<uint8_t>(width);
  return true;
}

bool EventReader::ReadParent() {
  uint64_t low = 0;
  if (!in_->Hash(&low, &event_.full_parent)) return false;
  if (low == 0) {
    event_.parent.reset();
    event_.full_parent = {};
  } else {
    event_.parent = low;
  }
  return true;
}

bool EventReader::ReadWords(size_t most, std::span<const uint32_t>* out) {
  uint32_t count = 0;
  if (!in_->Array(&count) || count > most) return false;
  uint32_t* const words = pools_.words.Room(count);
  if (!in_->Tokens(count, words)) return false;
  pools_.words.Take(count);
  *out = {words, count};
  return true;
}

bool EventReader::ReadTokens() {
  return ReadWords(EventDecoder::kMaxTokens, &event_.tokens);
}

bool EventReader::ReadCopies() {
  return ReadWords(EventDecoder::kMaxHashes, &event_.remaining_copies);
}

template <uint32_t Event::* member>
bool EventReader::ReadCount() {
  uint64_t value = 0;
  if (!in_->Uint(std::numeric_limits<uint32_t>::max(), &value)) return false;
  event_.*member = static_cast<uint32_t>(value);
  return true;
}

bool EventReader::ReadLoraId() {
  int64_t value = 0;
  if (!in_->Int(&value)) return false;
  event_.lora_id = value;
  return true;
}

bool EventReader::ReadGroup() {
  uint64_t value = 0;
  if (!in_->Uint(std::numeric_limits<int32_t>::max(), &value)) return false;
  event_.group = static_cast<int32_t>(value);
  return true;
}

bool EventReader::ReadExtraKeys() {
  const uint8_t* const start = in_->at();
  uint32_t count = 0;
  if (!in_->Array(&count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    if (in_->Nil()) continue;
    const uint8_t* const entry = in_->at();
    uint32_t ignored = 0;
    if (!in_->Array(&ignored)) return false;
    in_->Rewind(entry);
    if (!in_->Skip()) return false;
  }
  event_.extra_keys = {start, in_->at()};
  return true;
}

bool EventReader::ReadPods() {
  const uint8_t* const start = in_->at();
  uint32_t count = 0;
  if (!in_->Array(&count) || count > EventDecoder::kMaxPods) return false;
  for (uint32_t i = 0; i < count; ++i) {
    std::string_view name;
    if (!in_->Text(&name) || !IsPodText(name)) return false;
  }
  event_.pods = {start, in_->at()};
  return true;
}

bool EventReader::ReadPodsModel() {
  std::string_view name;
  if (!in_->Text(&name) || !IsPodText(name)) return false;
  event_.pods_model = name;
  return true;
}

// Passes one value. False when there is none: then what follows cannot be found either.
bool EventReader::ReadField(Field field, bool firm) {
  const uint8_t* const start = in_->at();
  seen_ |= Bit(field);
  if (in_->Nil()) return true;
  if ((this->*kRules[field].read)()) return true;
  if (firm) wrong_ |= Bit(field);
  in_->Rewind(start);
  return in_->Skip();
}

// The field whose name comes next, or kFieldCount. Engines write their fields in the order of
// kRules, so that the search begins behind the last one.
EventReader::Field EventReader::NextField(Field last) {
  for (size_t step = 1; step <= kFieldCount; ++step) {
    const size_t field = (last + step) % kFieldCount;
    if (in_->Pass(kRules[field].name)) return static_cast<Field>(field);
  }
  return kFieldCount;
}

// One key and its value of a map.
bool EventReader::ReadEntry(Field* last) {
  Field field = NextField(*last);
  if (field == kFieldCount) {
    std::string_view name;
    if (!in_->Text(&name)) return in_->Skip() && in_->Skip();
    const auto rule = std::find_if(kRules.begin(), kRules.end(),
                                   [&](const Rule& known) { return known.name == name; });
    if (rule == kRules.end()) return in_->Skip();
    field = static_cast<Field>(rule - kRules.begin());
  }
  *last = field;
  return ReadField(field, true);
}

EventVerdict EventReader::ReadMap(uint32_t count) {
  Field last = kReason;
  for (uint32_t i = 0; i < count; ++i) {
    if (!ReadEntry(&last)) return Bad("ends within a value");
  }
  return Judge();
}

bool EventReader::ReadPositions(uint32_t count, std::span<const Field> order, uint32_t firm) {
  for (uint32_t at = 1; at < count; ++at) {
    const bool good = at < order.size() ? ReadField(order[at], at < firm) : in_->Skip();
    if (!good) return false;
  }
  return true;
}

EventVerdict EventReader::ReadArray(uint32_t count) {
  if (count == 0) return Bad("an empty array");
  if (!ReadField(kType, true)) return Bad("ends within a value");
  const std::optional<EventType> type = TypeOf(type_);
  Positions positions;
  if (type == EventType::kStored) positions = kStoredPositions;
  if (type == EventType::kRemoved) positions = kRemovedPositions;
  if (count < positions.required) return Bad("too few elements");
  if (!ReadPositions(count, positions.order, positions.firm)) return Bad("ends within a value");
  return Judge();
}

// An event that was packed on its own, as llm-d's storage connector does.
EventVerdict EventReader::ReadWrapped(std::span<const uint8_t> bytes) {
  EventCursor inside(bytes);
  in_ = &inside;
  uint32_t count = 0;
  EventVerdict verdict = EventVerdict::kBad;
  if (inside.Array(&count)) {
    verdict = ReadArray(count);
  } else if (inside.Map(&count)) {
    verdict = ReadMap(count);
  } else {
    return Bad("neither a map nor an array");
  }
  if (verdict == EventVerdict::kGood && inside.remaining() > 0)
    return Bad("bytes behind the event");
  return verdict;
}

EventVerdict EventReader::Read(EventCursor* in) {
  in_ = in;
  uint32_t count = 0;
  std::span<const uint8_t> wrapped;
  if (in->Map(&count)) return ReadMap(count);
  if (in->Array(&count)) return ReadArray(count);
  if (in->Bin(&wrapped)) return ReadWrapped(wrapped);
  return Bad("neither a map nor an array");
}

// What the fields that were read make together.
EventVerdict EventReader::Judge() {
  if (type_.data() == nullptr) return EventVerdict::kBad;
  const std::optional<EventType> type = TypeOf(type_);
  if (!type) {
    wrong_ = 0;
    return EventVerdict::kUnknown;
  }
  if (*type == EventType::kCleared) {
    event_ = Event{};
    return EventVerdict::kGood;
  }
  event_.type = *type;
  if ((seen_ & Bit(kHashes)) == 0) return Bad("no block_hashes");
  if (*type == EventType::kStored) {
    wrong_ &= kStoredFields;
    event_.reason = {};
    event_.remaining_copies = {};
    return wrong_ == 0 ? EventVerdict::kGood : EventVerdict::kBad;
  }
  wrong_ &= kRemovedFields;
  const size_t copies = event_.remaining_copies.size();
  if (copies != 0 && copies != event_.hashes.size()) {
    return Bad("remaining_copy_counts: must be as many as block_hashes");
  }
  if ((seen_ & ~kRemovedFields) != 0) {
    event_ = Event{.type = event_.type,
                   .hashes = event_.hashes,
                   .full_hashes = event_.full_hashes,
                   .hash_bytes = event_.hash_bytes,
                   .medium = event_.medium,
                   .group = event_.group,
                   .locality = event_.locality,
                   .ownership = event_.ownership,
                   .reason = event_.reason,
                   .remaining_copies = event_.remaining_copies};
  }
  return wrong_ == 0 ? EventVerdict::kGood : EventVerdict::kBad;
}

std::string EventReader::Reason() const {
  if (fault_ != nullptr) return fault_;
  if (wrong_ != 0) {
    const Rule& rule = kRules[static_cast<size_t>(std::countr_zero(wrong_))];
    return std::string(rule.name) + ": must be " + rule.must;
  }
  if (type_.data() == nullptr) return "no type";
  constexpr size_t kMostShown = 64;
  return "unknown type: " + std::string(type_.substr(0, kMostShown));
}

}  // namespace headrace::wire
