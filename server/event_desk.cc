#include "server/event_desk.h"

#include <algorithm>
#include <string>
#include <utility>

#include "wire/event.h"

namespace headrace::server {
namespace {

constexpr std::string_view kBusyWord = "busy";
constexpr size_t kMaxSnapshots = 4;  // in memory at a time

}  // namespace

// What the stream keeps of one topic or of all, up to what was out when the request came.
class EventDesk::Replay final : public net::Answers {
 public:
  Replay(EventDesk* desk, const EventRequest& request) : desk_(desk) {
    std::vector<std::string> topics = {request.topic};
    if (!request.one_topic) topics = desk_->stream_->topics();
    for (std::string& topic : topics) {
      const uint64_t last = desk_->stream_->last_sequence(topic);
      if (last == kNoSequence || last < request.start) continue;
      parts_.push_back({std::move(topic), request.start, last});
    }
  }

  bool Next(Message* message) override {
    for (; at_ < parts_.size(); ++at_) {
      const Part& part = parts_[at_];
      const KeptMessage* const kept = desk_->stream_->Kept(part.topic, part.next);
      if (kept == nullptr || kept->sequence > part.last) continue;
      sent_ = kept->sequence;
      sequence_ = wire::EncodeSequence(sent_);
      *message = {.topic = part.topic, .sequence = sequence_, .payload = *kept->payload};
      return true;
    }
    sequence_ = wire::EncodeSequence(kNoSequence);
    *message = {.sequence = sequence_, .last = true};
    return true;
  }
  void Sent() override {
    if (at_ < parts_.size()) parts_[at_].next = sent_ + 1;
  }
  void Ended(bool whole) override { ++(whole ? desk_->counts_.replays : desk_->counts_.abandoned); }

 private:
  struct Part {
    std::string topic;
    uint64_t next = 0;
    uint64_t last = 0;  // when the request came
  };
  EventDesk* const desk_;
  std::vector<Part> parts_;
  size_t at_ = 0;
  uint64_t sent_ = 0;
  std::string sequence_;
};

// Everything resident in a topic when its turn comes.
class EventDesk::Snapshot final : public net::Answers {
 public:
  Snapshot(EventDesk* desk, std::string topic) : desk_(desk), topic_(std::move(topic)) {}

  bool Next(Message* message) override {
    if (snapshot_ == nullptr) snapshot_ = desk_->MakeSnapshot(topic_);
    if (snapshot_ == nullptr) return false;
    sequence_ = wire::EncodeSequence(snapshot_->sequence);
    const bool last = at_ == snapshot_->payloads.size();
    *message = {.topic = topic_,
                .sequence = sequence_,
                .payload = last ? std::string_view() : snapshot_->payloads[at_],
                .last = last};
    return true;
  }
  void Sent() override { ++at_; }
  void Ended(bool whole) override {
    ++(whole ? desk_->counts_.snapshots : desk_->counts_.abandoned);
  }

 private:
  EventDesk* const desk_;
  const std::string topic_;
  std::shared_ptr<const EventSnapshot> snapshot_;
  size_t at_ = 0;
  std::string sequence_;
};

EventDesk::EventDesk(net::ZmqSocket* socket, EventStream* stream, const EventLimits& limits)
    : socket_(socket), stream_(stream), limits_(limits), desk_(socket, limits.answer_timeout) {
  HR_CHECK(stream_ != nullptr);
}

void EventDesk::Receive(Time now) {
  const auto received = socket_->Receive(&message_);
  if (!received || !*received) return;
  auto request = ParseEventRequest(message_);
  if (!request) {
    ++counts_.malformed;
    return;
  }
  if (desk_.waiting() < limits_.requests) {
    auto answers = AnswersTo(*request);
    return desk_.Add(std::move(request->peer), std::move(answers), now);
  }
  ++counts_.refused;
  desk_.Refuse(request->peer, {.sequence = kBusyWord});
}

std::unique_ptr<net::Answers> EventDesk::AnswersTo(const EventRequest& request) {
  if (request.kind == EventRequest::Kind::kReplay) return std::make_unique<Replay>(this, request);
  return std::make_unique<Snapshot>(this, request.topic);
}

std::shared_ptr<const EventSnapshot> EventDesk::MakeSnapshot(std::string_view topic) {
  std::erase_if(snapshots_, [](const auto& snapshot) { return snapshot.expired(); });
  if (!stream_->whole() || snapshots_.size() >= kMaxSnapshots) return nullptr;
  auto snapshot = stream_->Snapshot(topic, timestamp_);
  const bool known = std::any_of(snapshots_.begin(), snapshots_.end(),
                                 [&](const auto& other) { return other.lock() == snapshot; });
  if (!known) snapshots_.push_back(snapshot);
  return snapshot;
}

EventDesk::Progress EventDesk::Advance(Time now, double timestamp) {
  timestamp_ = timestamp;
  return desk_.Advance(now);
}

}  // namespace headrace::server
