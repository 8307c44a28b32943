#include "sim/kv_replay.h"

#include <utility>

#include "wire/event.h"

namespace headrace::sim {
namespace {

constexpr Duration kPatience = seconds(10);  // with a peer that takes nothing
constexpr uint64_t kEnd = UINT64_MAX;
constexpr std::string_view kBusyWord = "busy";

}  // namespace

Result<KvReplayRequest> ParseKvReplayRequest(const net::ZmqMessage& message) {
  if (message.size() != 3 || message.truncated()) {
    return Fail(Errc::kInvalid, "a request has 2 frames");
  }
  if (!message.text(1).empty()) return Fail(Errc::kInvalid, "the first frame must be empty");
  const auto start = wire::DecodeSequence(message[2]);
  if (!start) return Fail(Errc::kInvalid, "the second frame is no sequence of 8 bytes");
  return KvReplayRequest{.peer = std::string(message.text(0)), .start = *start};
}

// What was out when the request came.
class KvReplay::Missed final : public net::Answers {
 public:
  Missed(KvReplay* replay, uint64_t start)
      : replay_(replay),
        next_(start),
        last_(replay->kept_.empty() ? 0 : replay->kept_.back().sequence) {}

  bool Next(Message* message) override {
    const KvReplay::Message* const kept = replay_->Find(next_);
    if (kept == nullptr || kept->sequence > last_) {
      sequence_ = wire::EncodeSequence(kEnd);
      *message = {.sequence = sequence_, .last = true};
      return true;
    }
    at_ = kept->sequence;
    sequence_ = wire::EncodeSequence(at_);
    *message = {.topic = replay_->topic_, .sequence = sequence_, .payload = kept->payload};
    return true;
  }
  void Sent() override { next_ = at_ + 1; }
  void Ended(bool whole) override {
    ++(whole ? replay_->counts_.answered : replay_->counts_.abandoned);
  }

 private:
  KvReplay* const replay_;
  uint64_t next_;
  const uint64_t last_;
  uint64_t at_ = 0;
  std::string sequence_;
};

KvReplay::KvReplay(net::ZmqSocket* socket, std::string topic, size_t messages)
    : socket_(socket), topic_(std::move(topic)), messages_(messages) {
  if (socket_ != nullptr) desk_ = std::make_unique<net::AnswerDesk>(socket_, kPatience);
}

void KvReplay::Keep(uint64_t sequence, std::string payload) {
  if (desk_ == nullptr || messages_ == 0) return;
  HR_CHECK(kept_.empty() || kept_.back().sequence + 1 == sequence);
  kept_.push_back({.sequence = sequence, .payload = std::move(payload)});
  if (kept_.size() > messages_) kept_.pop_front();
}

const KvReplay::Message* KvReplay::Find(uint64_t sequence) const {
  if (kept_.empty() || sequence > kept_.back().sequence) return nullptr;
  const uint64_t first = kept_.front().sequence;
  return &kept_[sequence <= first ? 0 : sequence - first];
}

void KvReplay::Receive(Time now) {
  HR_CHECK(desk_ != nullptr);
  const auto received = socket_->Receive(&message_);
  if (!received || !*received) return;
  auto request = ParseKvReplayRequest(message_);
  if (!request) {
    ++counts_.malformed;
    return;
  }
  if (desk_->waiting() >= kMaxRequests) {
    ++counts_.refused;
    return desk_->Refuse(request->peer, {.sequence = kBusyWord});
  }
  desk_->Add(std::move(request->peer), std::make_unique<Missed>(this, request->start), now);
}

net::AnswerDesk::Progress KvReplay::Advance(Time now) {
  return desk_ == nullptr ? net::AnswerDesk::Progress::kIdle : desk_->Advance(now);
}

}  // namespace headrace::sim
