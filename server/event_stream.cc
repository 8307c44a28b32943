#include "server/event_stream.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/result.h"
#include "wire/event.h"

namespace headrace::server {
namespace {

using Kind = QueuedEvent::Kind;

// A message's token ids, whatever its blocks: readers bound them too.
constexpr size_t kMaxBatchTokens = 1u << 20;
constexpr const char* kReasonLost = "unknown";  // it went while events were dropped

// '@' parts a topic: in a namespace's name it stands as %40, and % as %25.
std::string EscapeModel(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == '@') {
      out += "%40";
    } else if (c == '%') {
      out += "%25";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

struct EventStream::Topic {
  std::string name;
  std::string name_space;
  uint32_t block_tokens = 0;
  std::shared_ptr<const ServedPods> pods;
  std::string model;  // the first that `pods` named: hashes do not change their model
  uint64_t next_sequence = 0;
  bool published = false;    // in this life
  bool beat = false;         // had a message since the last Beat
  uint32_t name_spaces = 0;  // that have it now
  uint64_t bound = 0;        // when it last got one
  EventBatch batch;
  std::deque<KeptMessage> kept;
  ResidentSet residents;
  std::weak_ptr<const EventSnapshot> snapshot;  // the last one, while somebody reads it

  Topic(std::string topic, uint64_t first, uint64_t seed)
      : name(std::move(topic)), next_sequence(first), residents(seed) {}
  bool has_pods() const { return pods != nullptr && (!pods->names.empty() || !model.empty()); }
  void AddPods(EventBatch* to) const {
    static const ServedPods kNobody{.names = {}, .model = "", .packed = wire::PackEventPods({})};
    to->AddPods(pods == nullptr ? kNobody : *pods, model, block_tokens);
  }
  uint64_t last() const { return published ? next_sequence - 1 : kNoSequence; }
};

EventStream::EventStream(Config config) : config_(std::move(config)) {
  HR_CHECK(config_.send != nullptr && config_.max_topics > 0);
  HR_CHECK(config_.limits.batch_blocks > 0 && config_.limits.buffer_steps > 0);
}

EventStream::~EventStream() = default;

EventStream::Topic* EventStream::Find(std::string_view name) const {
  const auto found = topics_.find(name);
  return found == topics_.end() ? nullptr : found->second.get();
}

EventStream::Topic* EventStream::FindOrMake(const std::string& name) {
  if (Topic* known = Find(name)) return known;
  auto topic = std::make_unique<Topic>(name, first_sequence_, config_.seed);
  if (retelling_) topic->residents.BeginRetelling();
  return topics_.emplace(name, std::move(topic)).first->second.get();
}

void EventStream::Bind(const QueuedEvent& event, double timestamp) {
  if (by_name_space_.size() <= event.name_space) by_name_space_.resize(event.name_space + 1);
  Topic*& bound = by_name_space_[event.name_space];
  Topic* const topic = FindOrMake("kv@" + config_.node + "@" + EscapeModel(event.name));
  topic->block_tokens = event.block_tokens;
  topic->name_space = event.name;
  UpdatePods(topic, timestamp);  // before its first block
  if (bound == topic) return;
  if (bound != nullptr) --bound->name_spaces;
  bound = topic;
  ++topic->name_spaces;
  topic->bound = ++binds_;
  DropRetired(timestamp);
}

void EventStream::UpdatePods(double timestamp) {
  for (const auto& [name, topic] : topics_) UpdatePods(topic.get(), timestamp);
}

void EventStream::UpdatePods(Topic* topic, double timestamp) {
  if (config_.pods == nullptr) return;
  std::shared_ptr<const ServedPods> now = config_.pods(topic->name_space);
  if (now == topic->pods) return;
  topic->pods = std::move(now);
  if (topic->model.empty() && topic->pods != nullptr) topic->model = topic->pods->model;
  TellPods(topic, timestamp);
}

void EventStream::TellPods(Topic* topic, double timestamp) {
  if (!topic->batch.empty()) Send(topic, timestamp);
  topic->AddPods(&topic->batch);
  Send(topic, timestamp);
}

void EventStream::DropRetired(double timestamp) {
  while (topics_.size() > config_.max_topics) {
    Topic* oldest = nullptr;
    for (const auto& [name, topic] : topics_) {
      if (topic->name_spaces != 0) continue;
      if (oldest == nullptr || topic->bound < oldest->bound) oldest = topic.get();
    }
    if (oldest == nullptr) return;
    if (!oldest->batch.empty()) Send(oldest, timestamp);
    counts_.resident -= oldest->residents.size();
    while (!oldest->kept.empty()) Forget(oldest);
    // A reader that remembers the name sees a gap, not an old sequence.
    first_sequence_ = std::max(first_sequence_, oldest->next_sequence + 1);
    topics_.erase(std::string(oldest->name));
  }
}

EventStream::Topic* EventStream::TopicOf(const QueuedEvent& event) const {
  HR_CHECK(event.name_space < by_name_space_.size());
  Topic* const topic = by_name_space_[event.name_space];
  HR_CHECK(topic != nullptr);  // its name comes before its blocks
  return topic;
}

void EventStream::Store(const QueuedEvent& event, double timestamp) {
  Topic* const topic = TopicOf(event);
  const ResidentSet::Block block{.hash = event.hash,
                                 .parent = event.parent,
                                 .depth = event.depth,
                                 .lora_id = event.lora_id,
                                 .tokens = event.tokens};
  const size_t before = topic->residents.size();
  const bool tell = topic->residents.Add(block);
  counts_.resident += topic->residents.size() - before;
  if (!tell) return;
  topic->batch.AddStored(block, topic->block_tokens);
  ++counts_.stored;
  SendIfLong(topic, timestamp);
}

void EventStream::Take(const QueuedEvent& event, double timestamp) {
  switch (event.kind) {
    case Kind::kTopic:
      return Bind(event, timestamp);
    case Kind::kStored:
    case Kind::kResident:
      return Store(event, timestamp);
    case Kind::kRemoved: {
      Topic* const topic = TopicOf(event);
      const size_t before = topic->residents.size();
      const bool tell = topic->residents.Remove(event.hash);
      counts_.resident -= before - topic->residents.size();
      if (!tell) return;
      topic->batch.AddRemoved(event.hash, ReasonName(event.reason));
      ++counts_.removed;
      return SendIfLong(topic, timestamp);
    }
    case Kind::kLost:
      return BeginRetelling(timestamp);
    case Kind::kWhole:
      return EndRetelling(timestamp);
  }
}

void EventStream::BeginRetelling(double timestamp) {
  Flush(timestamp);
  retelling_ = true;
  for (const auto& [name, topic] : topics_) {
    topic->residents.BeginRetelling();
    // One sequence is left out, and a message says so at once. What is before the gap leads nobody
    // over it.
    while (!topic->kept.empty()) Forget(topic.get());
    ++topic->next_sequence;
    ++counts_.gaps;
    if (topic->has_pods()) topic->AddPods(&topic->batch);
    Send(topic.get(), timestamp);
  }
}

void EventStream::EndRetelling(double timestamp) {
  if (!retelling_) return;
  retelling_ = false;
  for (const auto& entry : topics_) {
    Topic* const topic = entry.second.get();
    std::vector<ResidentSet::Block> added;
    const size_t before = topic->residents.size();
    const auto difference = topic->residents.EndRetelling(
        [&added](const ResidentSet::Block& block) { added.push_back(block); });
    counts_.resident -= before - topic->residents.size();
    for (const wire::BlockHash& hash : difference.gone) {
      topic->batch.AddRemoved(hash, kReasonLost);
      ++counts_.removed;
      SendIfLong(topic, timestamp);
    }
    for (const ResidentSet::Block& block : added) {
      topic->batch.AddStored(block, topic->block_tokens);
      ++counts_.stored;
      SendIfLong(topic, timestamp);
    }
  }
  Flush(timestamp);
}

void EventStream::SendIfLong(Topic* topic, double timestamp) {
  if (topic->batch.blocks() >= config_.limits.batch_blocks ||
      topic->batch.tokens() >= kMaxBatchTokens) {
    Send(topic, timestamp);
  }
}

void EventStream::Send(Topic* topic, double timestamp) {
  std::string payload = topic->batch.Encode(timestamp, config_.form);
  config_.send(topic->name, topic->next_sequence, payload);
  ++counts_.messages;
  Keep(topic, std::move(payload));
  ++topic->next_sequence;
  topic->published = topic->beat = true;
}

void EventStream::Keep(Topic* topic, std::string payload) {
  counts_.kept_bytes += payload.size();
  topic->kept.push_back({.sequence = topic->next_sequence,
                         .order = counts_.messages,
                         .payload = std::make_shared<const std::string>(std::move(payload))});
  if (topic->kept.size() > config_.limits.buffer_steps) Forget(topic);
  while (counts_.kept_bytes > config_.limits.buffer_bytes) ForgetOldest();
}

void EventStream::ForgetOldest() {
  Topic* oldest = nullptr;
  for (const auto& [name, topic] : topics_) {
    if (topic->kept.empty()) continue;
    if (oldest == nullptr || topic->kept.front().order < oldest->kept.front().order) {
      oldest = topic.get();
    }
  }
  HR_CHECK(oldest != nullptr);  // what is kept belongs to a topic
  Forget(oldest);
  ++counts_.forgotten;
}

void EventStream::Forget(Topic* topic) {
  HR_CHECK(!topic->kept.empty());
  counts_.kept_bytes -= topic->kept.front().payload->size();
  topic->kept.pop_front();
}

void EventStream::Flush(double timestamp) {
  for (const auto& [name, topic] : topics_) {
    if (!topic->batch.empty()) Send(topic.get(), timestamp);
  }
}

void EventStream::Beat(double timestamp) {
  for (const auto& [name, topic] : topics_) {
    if (topic->has_pods()) {
      TellPods(topic.get(), timestamp);
    } else if (!topic->beat && topic->published) {
      Send(topic.get(), timestamp);
    }
    topic->beat = false;
  }
}

std::vector<std::string> EventStream::topics() const {
  std::vector<std::string> names;
  names.reserve(topics_.size());
  for (const auto& [name, topic] : topics_) names.push_back(name);
  return names;
}

uint64_t EventStream::last_sequence(std::string_view name) const {
  const Topic* const topic = Find(name);
  return topic == nullptr ? kNoSequence : topic->last();
}

uint64_t EventStream::resident(std::string_view name) const {
  const Topic* const topic = Find(name);
  return topic == nullptr ? 0 : topic->residents.size();
}

const KeptMessage* EventStream::Kept(std::string_view name, uint64_t from) const {
  const Topic* const topic = Find(name);
  if (topic == nullptr) return nullptr;
  const auto found = std::lower_bound(
      topic->kept.begin(), topic->kept.end(), from,
      [](const KeptMessage& message, uint64_t sequence) { return message.sequence < sequence; });
  return found == topic->kept.end() ? nullptr : &*found;
}

std::shared_ptr<const EventSnapshot> EventStream::Snapshot(std::string_view name,
                                                           double timestamp) {
  HR_CHECK(whole());
  Topic* const topic = Find(name);
  if (topic == nullptr) return std::make_shared<const EventSnapshot>();
  if (!topic->batch.empty()) Send(topic, timestamp);
  if (auto last = topic->snapshot.lock(); last != nullptr && last->sequence == topic->last()) {
    return last;
  }
  auto snapshot = std::make_shared<EventSnapshot>();
  snapshot->sequence = topic->last();
  EventBatch batch;
  const auto take = [&] { snapshot->payloads.push_back(batch.Encode(timestamp, config_.form)); };
  topic->AddPods(&batch);
  topic->residents.ForEach([&](const ResidentSet::Block& block) {
    batch.AddStored(block, topic->block_tokens);
    if (batch.blocks() >= config_.limits.batch_blocks || batch.tokens() >= kMaxBatchTokens) take();
  });
  if (!batch.empty()) take();
  topic->snapshot = snapshot;
  return snapshot;
}

}  // namespace headrace::server
