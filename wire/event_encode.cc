#include <bit>
#include <limits>

#include "base/endian.h"
#include "wire/event.h"
#include "wire/msgpack.h"

namespace headrace::wire {
namespace {

// Writes events one after another. Fields stand in the order in which vLLM writes them.
class EventWriter {
 public:
  EventWriter(const EventForm& form, std::string* out) : form_(form), out_(out), to_(out) {}

  void Batch(const EventBatch& batch);

 private:
  void Map(const Event& event);
  void StoredMap(const Event& event);
  void RemovedMap(const Event& event);
  void Array(const Event& event);
  void StoredArray(const Event& event);
  void PodsOfArray(const Event& event);
  void RemovedArray(const Event& event);

  void Hashes(const Event& event);
  void Parent(const Event& event);
  void Words(std::span<const uint32_t> words);
  void LoraId(const Event& event) { event.lora_id ? to_.Int(*event.lora_id) : to_.Nil(); }
  void Group(const Event& event) { event.group < 0 ? to_.Nil() : to_.Int(event.group); }
  void TextOrNil(std::string_view text) { text.empty() ? to_.Nil() : to_.Str(text); }
  void Raw(std::span<const uint8_t> bytes) {
    out_->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  // A field of a map that is left out when it has its default.
  void TextField(std::string_view name, std::string_view text);
  void CountField(std::string_view name, uint64_t value);

  const EventForm& form_;
  std::string* out_;
  MsgpackWriter to_;
};

uint32_t CountOf(size_t size) {
  HR_CHECK(size <= std::numeric_limits<uint32_t>::max());
  return static_cast<uint32_t>(size);
}

void EventWriter::Hashes(const Event& event) {
  to_.Array(CountOf(event.hashes.size()));
  if (form_.int_hashes) {
    for (const uint64_t hash : event.hashes) to_.Uint(hash);
    return;
  }
  const size_t width = event.hash_bytes;
  HR_CHECK(event.full_hashes.size() == width * event.hashes.size());
  HR_CHECK(width > 0 || event.hashes.empty());
  for (size_t i = 0; i < event.hashes.size(); ++i) {
    to_.Bin(event.full_hashes.subspan(i * width, width));
  }
}

void EventWriter::Parent(const Event& event) {
  if (!event.parent) return to_.Nil();
  if (form_.int_hashes || event.full_parent.empty()) return to_.Uint(*event.parent);
  to_.Bin(event.full_parent);
}

void EventWriter::Words(std::span<const uint32_t> words) {
  to_.Array(CountOf(words.size()));
  for (const uint32_t word : words) to_.Uint(word);
}

void EventWriter::TextField(std::string_view name, std::string_view text) {
  if (text.empty()) return;
  to_.Str(name);
  to_.Str(text);
}

void EventWriter::CountField(std::string_view name, uint64_t value) {
  to_.Str(name);
  to_.Uint(value);
}

void EventWriter::StoredMap(const Event& event) {
  constexpr uint32_t kAlways = 8;  // vLLM has defaults only from extra_keys on
  to_.Map(kAlways + uint32_t{!event.extra_keys.empty()} + uint32_t{event.group >= 0} +
          uint32_t{!event.spec_kind.empty()} + uint32_t{event.sliding_window > 0} +
          uint32_t{!event.locality.empty()} + uint32_t{!event.ownership.empty()} +
          uint32_t{!event.session_id.empty()} + uint32_t{!event.pods.empty()} +
          uint32_t{!event.pods_model.empty()});
  TextField("type", "BlockStored");
  to_.Str("block_hashes");
  Hashes(event);
  to_.Str("parent_block_hash");
  Parent(event);
  to_.Str("token_ids");
  Words(event.tokens);
  CountField("block_size", event.block_size);
  to_.Str("lora_id");
  LoraId(event);
  to_.Str("medium");
  TextOrNil(event.medium);
  to_.Str("lora_name");
  TextOrNil(event.lora_name);
  if (!event.extra_keys.empty()) to_.Str("extra_keys");
  Raw(event.extra_keys);
  if (event.group >= 0) CountField("group_idx", static_cast<uint64_t>(event.group));
  TextField("kv_cache_spec_kind", event.spec_kind);
  if (event.sliding_window > 0) CountField("kv_cache_spec_sliding_window", event.sliding_window);
  TextField("locality", event.locality);
  TextField("ownership", event.ownership);
  TextField("session_id", event.session_id);
  if (!event.pods.empty()) to_.Str("pods");
  Raw(event.pods);
  TextField("pods_model", event.pods_model);
}

void EventWriter::RemovedMap(const Event& event) {
  constexpr uint32_t kAlways = 3;
  to_.Map(kAlways + uint32_t{event.group >= 0} + uint32_t{!event.locality.empty()} +
          uint32_t{!event.ownership.empty()} + uint32_t{!event.remaining_copies.empty()} +
          uint32_t{!event.reason.empty()});
  TextField("type", "BlockRemoved");
  to_.Str("block_hashes");
  Hashes(event);
  to_.Str("medium");
  TextOrNil(event.medium);
  if (event.group >= 0) CountField("group_idx", static_cast<uint64_t>(event.group));
  TextField("locality", event.locality);
  TextField("ownership", event.ownership);
  if (!event.remaining_copies.empty()) {
    to_.Str("remaining_copy_counts");
    Words(event.remaining_copies);
  }
  TextField("reason", event.reason);
}

void EventWriter::Map(const Event& event) {
  switch (event.type) {
    case EventType::kStored:
      return StoredMap(event);
    case EventType::kRemoved:
      return RemovedMap(event);
    case EventType::kCleared:
      to_.Map(1);
      TextField("type", "AllBlocksCleared");
  }
}

// The oldest readers want exactly the elements up to the medium: the others come only as far as
// one of them says something.
uint32_t StoredLength(const Event& event) {
  if (!event.pods_model.empty()) return 17;
  if (!event.pods.empty()) return 16;
  if (event.sliding_window > 0) return 12;
  if (!event.spec_kind.empty()) return 11;
  if (event.group >= 0) return 10;
  if (!event.extra_keys.empty()) return 9;
  return event.lora_name.empty() ? 7 : 8;
}

void EventWriter::StoredArray(const Event& event) {
  const uint32_t count = StoredLength(event);
  to_.Array(count);
  to_.Str("BlockStored");
  Hashes(event);
  Parent(event);
  Words(event.tokens);
  to_.Uint(event.block_size);
  LoraId(event);
  TextOrNil(event.medium);
  if (count >= 8) TextOrNil(event.lora_name);
  if (count >= 9) event.extra_keys.empty() ? to_.Nil() : Raw(event.extra_keys);
  if (count >= 10) Group(event);
  if (count >= 11) TextOrNil(event.spec_kind);
  if (count >= 12) event.sliding_window == 0 ? to_.Nil() : to_.Uint(event.sliding_window);
  if (count >= 16) PodsOfArray(event);
}

// Behind positions that the array form leaves to others.
void EventWriter::PodsOfArray(const Event& event) {
  for (int position = 12; position < 15; ++position) to_.Nil();
  event.pods.empty() ? to_.Nil() : Raw(event.pods);
  if (!event.pods_model.empty()) to_.Str(event.pods_model);
}

void EventWriter::RemovedArray(const Event& event) {
  to_.Array(event.group >= 0 ? 4 : 3);
  to_.Str("BlockRemoved");
  Hashes(event);
  TextOrNil(event.medium);
  if (event.group >= 0) to_.Int(event.group);
}

void EventWriter::Array(const Event& event) {
  switch (event.type) {
    case EventType::kStored:
      return StoredArray(event);
    case EventType::kRemoved:
      return RemovedArray(event);
    case EventType::kCleared:
      to_.Array(1);
      to_.Str("AllBlocksCleared");
  }
}

void EventWriter::Batch(const EventBatch& batch) {
  to_.Array(3);
  out_->push_back(static_cast<char>(0xcb));
  AppendBigEndian(std::bit_cast<uint64_t>(batch.timestamp), out_);
  to_.Array(CountOf(batch.events.size()));
  for (const Event& event : batch.events) form_.array ? Array(event) : Map(event);
  batch.rank < 0 ? to_.Nil() : to_.Uint(static_cast<uint64_t>(batch.rank));
}

}  // namespace

void EncodeEventBatch(const EventBatch& batch, const EventForm& form, std::string* out) {
  EventWriter(form, out).Batch(batch);
}

std::string PackEventPods(std::span<const std::string> names) {
  HR_CHECK(names.size() <= EventDecoder::kMaxPods);
  std::string packed;
  MsgpackWriter to(&packed);
  to.Array(static_cast<uint32_t>(names.size()));
  for (const std::string& name : names) {
    HR_CHECK(!name.empty() && name.size() <= EventDecoder::kMaxPodBytes);
    to.Str(name);
  }
  return packed;
}

std::string EncodeSequence(uint64_t sequence) {
  return BigEndian(sequence);
}

}  // namespace headrace::wire
