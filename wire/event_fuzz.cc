// Any bytes are a batch or none. What was decoded is within the payload's means, and stays the same
// when it is encoded and decoded again, in every form.
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/event.h"
#include "wire/event_samples.h"

using namespace headrace;
using wire::Event;
using wire::EventBatch;
using wire::EventDecoder;
using wire::EventForm;

namespace {

void CheckPods(const Event& event) {
  std::vector<std::string_view> names;
  wire::ReadEventPods(event.pods, &names);
  const std::vector<std::string> copies(names.begin(), names.end());
  const std::string packed = wire::PackEventPods(copies);
  std::vector<std::string_view> again;
  wire::ReadEventPods(wire::BytesOf(packed), &again);
  HR_CHECK(again == names);
  HR_CHECK(event.pods_model.size() <= EventDecoder::kMaxPodBytes);
}

void CheckEvent(const Event& event, size_t payload_bytes) {
  HR_CHECK(event.hashes.size() + event.tokens.size() <= payload_bytes);
  HR_CHECK(event.full_hashes.size() == event.hash_bytes * event.hashes.size());
  HR_CHECK(event.hash_bytes <= 32 && event.group >= -1);
  HR_CHECK(!event.parent || *event.parent != 0);
  HR_CHECK(event.full_parent.empty() || event.parent);
  HR_CHECK(event.remaining_copies.empty() || event.remaining_copies.size() == event.hashes.size());
  CheckPods(event);
  if (event.type != wire::EventType::kStored) HR_CHECK(event.pods.empty());
  if (event.type == wire::EventType::kCleared) HR_CHECK(event.hashes.empty());
  if (event.type == wire::EventType::kRemoved) HR_CHECK(event.tokens.empty() && !event.parent);
}

bool HaveBytes(const EventBatch& batch) {
  for (const Event& event : batch.events) {
    if (!event.hashes.empty() && event.hash_bytes == 0) return false;
  }
  return true;
}

void CheckAgain(EventBatch batch, const EventForm& form) {
  batch.bad = 0;
  batch.unknown = 0;
  std::string written;
  EncodeEventBatch(batch, form, &written);
  EventDecoder decoder;
  EventBatch again;
  HR_CHECK(decoder.Decode(wire::BytesOf(written), &again));
  HR_CHECK(again.bad == 0 && again.unknown == 0);
  if (std::isnan(batch.timestamp)) batch.timestamp = again.timestamp = 0;
  HR_CHECK(again.events.size() == batch.events.size());
  HR_CHECK(SameBatch(again, batch, form));
  std::string twice;
  EncodeEventBatch(again, form, &twice);
  if (again.timestamp != 0) HR_CHECK(twice == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  EventDecoder decoder;
  EventBatch batch;
  std::vector<std::pair<size_t, std::string>> skipped;
  const bool good = decoder.Decode({data, size}, &batch, &skipped).has_value();
  if (!good) {
    HR_CHECK(batch.events.empty());
    return 0;
  }
  HR_CHECK(skipped.size() == size_t{batch.bad} + batch.unknown);
  HR_CHECK(batch.events.size() + skipped.size() <= size && batch.rank >= -1);
  for (const Event& event : batch.events) CheckEvent(event, size);
  for (const bool array : {false, true}) {
    CheckAgain(batch, {.array = array});
    if (HaveBytes(batch)) CheckAgain(batch, {.array = array, .int_hashes = false});
  }
  return 0;
}
