// KV cache events as engines and servers publish them over ZMQ: one msgpack batch a message,
//   [timestamp, [event...], data_parallel_rank]
// where an event is a map (vLLM since mid 2026) or an array whose fields stand in a fixed order
// (older vLLM, SGLang). docs/events.md draws the bytes and lists what is accepted. One bad event
// costs itself, never its neighbours. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace headrace::wire {

enum class EventType : uint8_t { kStored, kRemoved, kCleared };

// One event. Views point into the payload or into the decoder, until its next Decode.
struct Event {
  EventType type = EventType::kCleared;
  // Block hashes, first block first; maybe none. Of a hash given as bytes: its last 8 bytes,
  // big-endian. Of a negative integer: its two's complement.
  std::span<const uint64_t> hashes;
  // The hashes as bytes, `hash_bytes` each, when the wire had bytes of one length; else empty, 0.
  std::span<const uint8_t> full_hashes;
  uint8_t hash_bytes = 0;

  // kStored
  std::optional<uint64_t> parent;        // absent: the first block follows nothing; never 0
  std::span<const uint8_t> full_parent;  // the parent as bytes, when the wire had bytes; else empty
  std::span<const uint32_t> tokens;      // of all blocks, or empty: the hashes alone
  uint32_t block_size = 0;               // tokens a block; 0 when the event does not say
  std::optional<int64_t> lora_id;
  std::string_view lora_name;
  // msgpack: an array, one entry a block (nil or an array), but maybe of another length; or empty.
  std::span<const uint8_t> extra_keys;
  std::string_view spec_kind;   // "full_attention", "sliding_window", ...; "" is unknown
  uint32_t sliding_window = 0;  // tokens
  std::string_view session_id;  // "" when the event names none
  // Headrace's own: what the topic holds counts for these pods, and only these (ReadEventPods);
  // empty: the event does not say. And the model as those pods' own topics call it, or "".
  std::span<const uint8_t> pods;
  std::string_view pods_model;

  // kStored and kRemoved
  std::string_view medium;     // "GPU", "CPU", ...; "" when the event names none
  int32_t group = -1;          // KV group, -1 when the event names none
  std::string_view locality;   // "LOCAL", "REMOTE", or ""
  std::string_view ownership;  // as the engine writes it, or ""
  // kRemoved
  std::string_view reason;                     // Headrace's own: "evicted", "cleared", ...
  std::span<const uint32_t> remaining_copies;  // one a hash, or empty
};

struct EventBatch {
  double timestamp = 0;  // seconds since 1970, by the publisher's clock
  int32_t rank = -1;     // data-parallel rank, -1 when the batch names none
  std::span<const Event> events;
  uint32_t bad = 0;      // events of a known type, or of none, that did not parse: skipped
  uint32_t unknown = 0;  // events of a type that nobody knows here: skipped
};

// Decodes batches one after the other into memory that it keeps: no allocation once it is warm.
// One thread at a time.
class EventDecoder {
 public:
  static constexpr size_t kMaxBatchBytes = 64u << 20;
  static constexpr size_t kMaxEvents = 1u << 18;  // in one batch
  static constexpr size_t kMaxHashes = 1u << 20;  // in one event
  static constexpr size_t kMaxTokens = 1u << 24;  // in one event
  static constexpr size_t kMaxPods = 4096;        // in one event
  static constexpr size_t kMaxPodBytes = 256;     // of a pod's name, of pods_model

  EventDecoder();
  ~EventDecoder();
  EventDecoder(EventDecoder&&) noexcept;
  EventDecoder& operator=(EventDecoder&&) noexcept;

  // Fails with kInvalid when the batch itself is not one. Bytes after it are ignored.
  Status Decode(std::span<const uint8_t> payload, EventBatch* batch);
  // For people: the same, and (index in the batch, reason) of every event that was skipped.
  Status Decode(std::span<const uint8_t> payload, EventBatch* batch,
                std::vector<std::pair<size_t, std::string>>* skipped);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The form that a batch is written in.
struct EventForm {
  // Positional arrays instead of maps. They have no place for reason, remaining_copies, locality,
  // ownership and session_id.
  bool array = false;
  bool int_hashes = true;  // low 64 bits instead of bytes; bytes need Event::full_hashes
};

// Appends one batch to `out`. Fields with their default are left out where the form allows it. A
// parent is written as bytes when the hashes are and full_parent is there, else as an integer.
// REQUIRES: each event's full_hashes are there when !form.int_hashes.
void EncodeEventBatch(const EventBatch& batch, const EventForm& form, std::string* out);

// The names in an event's `pods`, as views of it.
void ReadEventPods(std::span<const uint8_t> pods, std::vector<std::string_view>* names);
// What Event::pods holds for these names. REQUIRES: at most kMaxPods, of 1 to kMaxPodBytes bytes.
std::string PackEventPods(std::span<const std::string> names);

// The 8 big-endian bytes of a message's second frame; nullopt for another length.
std::optional<uint64_t> DecodeSequence(std::span<const uint8_t> frame);
std::string EncodeSequence(uint64_t sequence);

}  // namespace headrace::wire
