#include "server/event_feed.h"

#include <utility>

#include "base/log.h"

namespace headrace::server {
namespace {

using Kind = QueuedEvent::Kind;

// Records in one slice of the walk: some 30 us, records cold.
constexpr uint32_t kWalkSlice = 128;
// Entries that a slice may make: one a block, one a namespace before it, and the end's.
constexpr uint64_t kWalkRoom = 2 * kWalkSlice + 2;

// Room in which telling anew begins; less would be full again soon.
uint64_t RoomToStart(const EventQueue& queue) {
  return std::max(queue.capacity() / 2, std::min(queue.capacity(), kWalkRoom));
}

}  // namespace

EventFeed::EventFeed(Parts parts)
    : parts_(std::move(parts)), told_(parts_.namespaces.size()), names_(parts_.namespaces.size()) {
  HR_CHECK(parts_.queue != nullptr && parts_.engine != nullptr && parts_.wake != nullptr);
  HR_CHECK(parts_.queue->capacity() >= kWalkRoom);
}

bool EventFeed::PushEntry(QueuedEvent* entry) {
  return parts_.queue->TryPush(entry);
}

bool EventFeed::TellTopic(engine::NamespaceId name_space) {
  const wire::NamespaceRecord& record = parts_.namespaces[name_space];
  Told& told = told_[name_space];
  // A number gets another name only together with another generation.
  if (told.told && told.generation == record.generation &&
      told.block_tokens == record.block_tokens) {
    return true;
  }
  QueuedEvent entry{.kind = Kind::kTopic,
                    .name_space = name_space,
                    .block_tokens = record.block_tokens,
                    .name = std::string(record.name, record.name_bytes)};
  const bool same =
      told.told && told.block_tokens == record.block_tokens && names_[name_space] == entry.name;
  if (!same) {
    names_[name_space] = entry.name;
    told.told = false;
    if (!PushEntry(&entry)) return false;
  }
  told = {.generation = record.generation, .block_tokens = record.block_tokens, .told = true};
  return true;
}

bool EventFeed::PushOne(engine::BlockEvent* event) {
  QueuedEvent entry;
  if (auto* stored = std::get_if<engine::BlockStored>(event)) {
    entry.kind = Kind::kStored;
    entry.name_space = stored->name_space;
    entry.hash = stored->hash;
    entry.parent = stored->parent;
    entry.depth = stored->depth;
    entry.lora_id = stored->lora_id;
    if (parts_.token_ids) entry.tokens = std::move(stored->tokens);
  } else {
    const auto& removed = std::get<engine::BlockRemoved>(*event);
    entry.kind = Kind::kRemoved;
    entry.name_space = removed.name_space;
    entry.hash = removed.hash;
    entry.reason = removed.reason;
  }
  return TellTopic(entry.name_space) && PushEntry(&entry);
}

void EventFeed::Push(std::vector<engine::BlockEvent>* events) {
  if (events->empty()) return;
  if (state_ == State::kWaiting) {
    dropped_ += events->size();
    return;
  }
  for (size_t i = 0; i < events->size(); ++i) {
    if (!PushOne(&(*events)[i])) {
      Lose(events->size() - i);
      break;
    }
  }
  parts_.wake();
}

void EventFeed::Lose(uint64_t events) {
  if (state_ == State::kFlowing) {
    HR_WARN("event publishing cannot keep up: events are dropped until it can (--events-queue)");
  }
  dropped_ += events;
  ++losses_;
  state_ = State::kWaiting;
}

bool EventFeed::Advance() {
  if (state_ == State::kWaiting && parts_.queue->room() >= RoomToStart(*parts_.queue)) {
    QueuedEvent lost{.kind = Kind::kLost};
    const bool pushed = PushEntry(&lost);
    HR_CHECK(pushed);
    for (Told& told : told_) told.told = false;
    walk_next_ = 0;
    state_ = State::kWalking;
    parts_.wake();
  }
  return state_ == State::kWalking && Walk();
}

bool EventFeed::Walk() {
  if (parts_.queue->room() < kWalkRoom) return false;
  bool told = true;
  walk_next_ = parts_.engine->WalkResident(
      walk_next_, kWalkSlice, [this, &told](const engine::BlockStored& block) {
        QueuedEvent entry{.kind = Kind::kResident,
                          .name_space = block.name_space,
                          .depth = block.depth,
                          .hash = block.hash,
                          .parent = block.parent};
        told = told && TellTopic(block.name_space) && PushEntry(&entry);
      });
  if (told && walk_next_ == engine::kNone) {
    QueuedEvent whole{.kind = Kind::kWhole};
    told = PushEntry(&whole);
    if (told) state_ = State::kFlowing;
  }
  // Room for entries was there; what a full queue can want is room for names.
  if (!told) Lose(0);
  parts_.wake();
  return state_ == State::kWalking;
}

}  // namespace headrace::server
