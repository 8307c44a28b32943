#include "wire/event.h"

#include <limits>

#include "wire/event_cursor.h"
#include "wire/event_reader.h"

namespace headrace::wire {
namespace {

bool ReadTimestamp(EventCursor* in, EventBatch* batch) {
  return in->Nil() || in->Number(&batch->timestamp);
}

bool ReadRank(EventCursor* in, EventBatch* batch) {
  if (in->Nil()) return true;
  uint64_t rank = 0;
  if (!in->Uint(std::numeric_limits<int32_t>::max(), &rank)) return false;
  batch->rank = static_cast<int32_t>(rank);
  return true;
}

}  // namespace

struct EventDecoder::State {
  using Skipped = std::vector<std::pair<size_t, std::string>>;

  void Clear(size_t payload_bytes);
  bool ReadBatch(EventCursor* in, EventBatch* batch);
  bool ReadBatchMap(EventCursor* in, uint32_t count, EventBatch* batch);
  bool ReadEvents(EventCursor* in, EventBatch* batch);
  bool ReadEvent(EventCursor* in, EventBatch* batch, size_t index);

  EventPools pools;
  std::vector<Event> events;
  Skipped* skipped = nullptr;
};

EventDecoder::EventDecoder() : state_(std::make_unique<State>()) {}
EventDecoder::~EventDecoder() = default;
EventDecoder::EventDecoder(EventDecoder&&) noexcept = default;
EventDecoder& EventDecoder::operator=(EventDecoder&&) noexcept = default;

void EventDecoder::State::Clear(size_t payload_bytes) {
  events.clear();
  pools.hashes.Clear(payload_bytes);
  pools.full.Clear(payload_bytes);
  pools.words.Clear(payload_bytes);
}

bool EventDecoder::State::ReadEvent(EventCursor* in, EventBatch* batch, size_t index) {
  const uint8_t* const start = in->at();
  EventReader reader(&pools, &events.emplace_back());
  const EventVerdict verdict = reader.Read(in);
  if (verdict == EventVerdict::kGood) return true;

  ++(verdict == EventVerdict::kBad ? batch->bad : batch->unknown);
  if (skipped != nullptr) skipped->emplace_back(index, reader.Reason());
  events.pop_back();
  in->Rewind(start);
  return in->Skip();
}

bool EventDecoder::State::ReadEvents(EventCursor* in, EventBatch* batch) {
  events.clear();
  batch->bad = 0;
  batch->unknown = 0;
  if (skipped != nullptr) skipped->clear();
  if (in->Nil()) return true;
  uint32_t count = 0;
  if (!in->Array(&count) || count > kMaxEvents) return false;
  for (uint32_t i = 0; i < count; ++i) {
    if (!ReadEvent(in, batch, i)) return false;
  }
  return true;
}

bool EventDecoder::State::ReadBatchMap(EventCursor* in, uint32_t count, EventBatch* batch) {
  bool has_events = false;
  for (uint32_t i = 0; i < count; ++i) {
    std::string_view name;
    bool good = false;
    if (!in->Text(&name)) {
      good = in->Skip() && in->Skip();
    } else if (name == "ts") {
      good = ReadTimestamp(in, batch);
    } else if (name == "events") {
      has_events = true;
      good = ReadEvents(in, batch);
    } else if (name == "data_parallel_rank" || name == "attn_dp_rank") {
      good = ReadRank(in, batch);
    } else {
      good = in->Skip();
    }
    if (!good) return false;
  }
  return has_events;
}

bool EventDecoder::State::ReadBatch(EventCursor* in, EventBatch* batch) {
  uint32_t count = 0;
  if (in->Map(&count)) return ReadBatchMap(in, count, batch);
  if (!in->Array(&count) || count < 2) return false;
  return ReadTimestamp(in, batch) && ReadEvents(in, batch) && (count == 2 || ReadRank(in, batch));
}

Status EventDecoder::Decode(std::span<const uint8_t> payload, EventBatch* batch) {
  return Decode(payload, batch, nullptr);
}

Status EventDecoder::Decode(std::span<const uint8_t> payload, EventBatch* batch,
                            std::vector<std::pair<size_t, std::string>>* skipped) {
  *batch = {};
  if (payload.size() > kMaxBatchBytes) return Fail(Errc::kInvalid, "event batch: over 64 MiB");
  state_->Clear(payload.size());
  state_->skipped = skipped;
  EventCursor in(payload);
  if (!state_->ReadBatch(&in, batch)) {
    *batch = {};
    return Fail(Errc::kInvalid, "event batch: not [timestamp, [event...], rank]");
  }
  batch->events = state_->events;
  return {};
}

void ReadEventPods(std::span<const uint8_t> pods, std::vector<std::string_view>* names) {
  names->clear();
  EventCursor in(pods);
  uint32_t count = 0;
  if (!in.Array(&count)) return;
  std::string_view name;
  while (names->size() < count && in.Text(&name)) names->push_back(name);
}

std::optional<uint64_t> DecodeSequence(std::span<const uint8_t> frame) {
  if (frame.size() != sizeof(uint64_t)) return std::nullopt;
  uint64_t sequence = 0;
  for (const uint8_t byte : frame) sequence = sequence << 8 | byte;
  return sequence;
}

}  // namespace headrace::wire
