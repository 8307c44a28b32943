#include "cli/event_tail.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/command_line.h"
#include "wire/event.h"

namespace headrace::cli {
namespace {

using indexer::FollowAction;
using indexer::FollowMessage;

constexpr int kMessagesATurn = 256;
constexpr int kReceiveLimit = 100000;
constexpr uint64_t kEndOfReplay = UINT64_MAX;

}  // namespace

struct EventTail::Stream {
  Stream(std::string name, const indexer::FollowLimits& limits, bool replays)
      : topic(std::move(name)), follower(limits, {.replay = replays, .snapshot = false}) {}

  const std::string topic;
  indexer::StreamFollower follower;
  indexer::FollowActions actions;
  bool shown_any = false;
  uint64_t expected = 0;  // the sequence that is shown next
};

// One question to the replay endpoint: for what a stream lacks or, without a stream, for the names
// of the topics that there are.
struct EventTail::Ask {
  Stream* stream = nullptr;
  uint64_t from = 0;
  uint32_t ticket = 0;
  bool done = false;
  Time silent_since;
  std::unique_ptr<net::ZmqSocket> socket;
  std::unique_ptr<net::ZmqWatch> watch;
};

EventTail::EventTail(Loop* loop, net::ZmqContext* zmq, Config config, Sink sink)
    : loop_(loop), zmq_(zmq), config_(std::move(config)), sink_(std::move(sink)) {
  HR_CHECK(loop_ != nullptr && zmq_ != nullptr);
  HR_CHECK(sink_.message != nullptr && sink_.note != nullptr);
}

Result<std::unique_ptr<EventTail>> EventTail::Create(Loop* loop, net::ZmqContext* zmq,
                                                     Config config, Sink sink) {
  std::unique_ptr<EventTail> tail(new EventTail(loop, zmq, std::move(config), std::move(sink)));
  HR_RETURN_IF_ERROR(tail->Open());
  return tail;
}

EventTail::~EventTail() {
  if (tick_ != 0) loop_->CancelTimer(tick_);
}

Status EventTail::Open() {
  net::ZmqOptions options;
  options.receive_limit = kReceiveLimit;
  options.curve = config_.curve;
  HR_TRY(socket_, zmq_->Open(net::ZmqType::kSub, options));
  HR_RETURN_IF_ERROR(socket_->WatchPeers());
  HR_RETURN_IF_ERROR(socket_->Subscribe(config_.topic_filter));
  HR_TRY(watch_, net::ZmqWatch::Create(loop_, socket_.get(), [this] { OnReadable(); }));
  HR_TRY(peers_, net::ZmqWatch::CreateForPeers(loop_, socket_.get(), [this] { OnPeers(); }));
  HR_RETURN_IF_ERROR(socket_->Connect(config_.endpoint));
  tick_ = loop_->At(loop_->now() + kTick, [this] { OnTick(); });
  return {};
}

void EventTail::OnPeers() {
  net::ZmqPeerEvent event;
  while (socket_->NextPeerEvent(&event)) {
    if (event.kind == net::ZmqPeerEvent::Kind::kRefused && !std::exchange(refused_, true)) {
      sink_.note(fmt::format("{} refuses the handshake: wrong CURVE keys, or keys on one end only",
                             config_.endpoint));
    }
    if (event.kind != net::ZmqPeerEvent::Kind::kConnected) continue;
    for (auto& [topic, stream] : streams_) {
      stream->follower.OnConnected(loop_->now(), &stream->actions);
      Carry(stream.get());
    }
    // A publisher may be silent for long, and have said much before.
    if (!config_.replay_endpoint.empty()) Begin(std::make_unique<Ask>());
  }
}

void EventTail::OnReadable() {
  for (int i = 0; i < kMessagesATurn; ++i) {
    const auto got = socket_->Receive(&message_);
    if (!got || !*got) break;
    TakeLive();
  }
}

void EventTail::TakeLive() {
  const auto sequence = message_.size() == 3 ? wire::DecodeSequence(message_[1]) : std::nullopt;
  if (!sequence || message_.truncated()) {
    sink_.note(fmt::format("{} sent {} frames that are no [topic][sequence][payload]",
                           config_.endpoint, message_.size()));
    return;
  }
  Stream* stream = StreamOf(message_.text(0));
  if (stream == nullptr) return;
  stream->follower.OnLive({*sequence, message_.text(0), message_.text(2)}, loop_->now(),
                          &stream->actions);
  Carry(stream);
}

EventTail::Stream* EventTail::StreamOf(std::string_view topic) {
  const auto known = streams_.find(topic);
  if (known != streams_.end()) return known->second.get();
  if (streams_.size() >= kMaxTopics) {
    if (!std::exchange(crowded_, true)) {
      sink_.note(fmt::format("more than {} topics: the others are not shown", kMaxTopics));
    }
    return nullptr;
  }
  auto made = std::make_unique<Stream>(std::string(topic), config_.follow,
                                       !config_.replay_endpoint.empty());
  Stream* stream = streams_.emplace(std::string(topic), std::move(made)).first->second.get();
  stream->follower.OnConnected(loop_->now(), &stream->actions);
  Carry(stream);
  return stream;
}

void EventTail::Carry(Stream* stream) {
  for (const FollowAction& action : stream->actions.list()) {
    switch (action.kind) {
      case FollowAction::Kind::kApply:
        Show(stream, action.message);
        break;
      case FollowAction::Kind::kNewEpoch:
        sink_.note(fmt::format("{}: the publisher has begun anew, from sequence 0",
                               Quoted(stream->topic)));
        stream->expected = 0;
        break;
      case FollowAction::Kind::kAskReplay: {
        EndOf(stream);
        auto ask = std::make_unique<Ask>();
        ask->stream = stream;
        ask->from = action.from;
        ask->ticket = action.ticket;
        Begin(std::move(ask));
        break;
      }
      case FollowAction::Kind::kAskSnapshot:    // never offered
      case FollowAction::Kind::kMarkUncertain:  // what stays missing is seen when it is passed over
      case FollowAction::Kind::kMarkCertain:
        break;
    }
  }
  stream->actions.Clear();
}

void EventTail::Show(Stream* stream, const FollowMessage& message) {
  const uint64_t from = std::exchange(stream->expected, message.sequence + 1);
  const bool first = !std::exchange(stream->shown_any, true);
  if (message.sequence != from && first && !config_.replay_endpoint.empty()) {
    sink_.note(fmt::format("{}: begins with {}; the messages before are not kept any more",
                           Quoted(stream->topic), message.sequence));
  } else if (message.sequence != from && !first) {
    sink_.note(fmt::format("{}: gap: {} to {} are lost", Quoted(stream->topic), from,
                           message.sequence - 1));
  }
  sink_.message(message);
}

void EventTail::Begin(std::unique_ptr<Ask> ask) {
  ask->silent_since = loop_->now();
  asks_.push_back(std::move(ask));
  const Status status = Send(asks_.back().get());
  if (status) return;
  sink_.note(fmt::format("{} cannot be asked: {}", config_.replay_endpoint, status.error().what));
  End(asks_.back().get());
}

Status EventTail::Send(Ask* ask) {
  net::ZmqOptions options;
  options.receive_limit = kReceiveLimit;
  options.curve = config_.curve;
  HR_TRY(ask->socket, zmq_->Open(net::ZmqType::kDealer, options));
  HR_TRY(ask->watch,
         net::ZmqWatch::Create(loop_, ask->socket.get(), [this, ask] { OnAnswer(ask); }));
  HR_RETURN_IF_ERROR(ask->socket->Connect(config_.replay_endpoint));
  const std::string from = wire::EncodeSequence(ask->from);
  HR_RETURN_IF_ERROR(net::ZmqSend(ask->socket.get(), {net::ZmqBytes(""), net::ZmqBytes(from)}));
  ask->watch->Touched();
  return {};
}

void EventTail::OnAnswer(Ask* ask) {
  for (int i = 0; i < kMessagesATurn && !ask->done; ++i) {
    const auto got = ask->socket->Receive(&answer_);
    if (!got || !*got) break;
    TakeAnswer(ask);
  }
}

void EventTail::TakeAnswer(Ask* ask) {
  ask->silent_since = loop_->now();
  // ["", topic, sequence, payload]; what else there may be ("busy") is asked again later
  const auto sequence = answer_.size() == 4 ? wire::DecodeSequence(answer_[2]) : std::nullopt;
  if (!sequence || answer_.truncated()) return End(ask);
  const std::string_view topic = answer_.text(1);
  Stream* const stream = ask->stream;
  if (*sequence == kEndOfReplay && answer_.text(3).empty()) {
    End(ask);
    if (stream == nullptr) return;
    stream->follower.OnReplayEnd(ask->ticket, loop_->now(), &stream->actions);
    Carry(stream);
  } else if (stream == nullptr) {
    // A topic that is new is asked for by its own follower.
    if (topic.starts_with(config_.topic_filter)) StreamOf(topic);
  } else if (topic == stream->topic) {
    stream->follower.OnReplay(ask->ticket, {*sequence, topic, answer_.text(3)}, loop_->now(),
                              &stream->actions);
    Carry(stream);
  }
}

// Goes later: its own socket may be the one that is being read.
void EventTail::End(Ask* ask) {
  ask->done = true;
}

void EventTail::EndOf(const Stream* stream) {
  for (auto& ask : asks_) {
    if (ask->stream == stream) End(ask.get());
  }
}

void EventTail::OnTick() {
  const Time now = loop_->now();
  for (auto& ask : asks_) {
    if (ask->done || now - ask->silent_since < config_.follow.idle) continue;
    if (!std::exchange(silent_, true)) {
      sink_.note(fmt::format("{} does not answer", config_.replay_endpoint));
    }
    if (ask->stream == nullptr) End(ask.get());  // those of streams are given up by the follower
  }
  for (auto& [topic, stream] : streams_) {
    stream->follower.OnTick(now, &stream->actions);
    Carry(stream.get());
  }
  std::erase_if(asks_, [](const auto& ask) { return ask->done; });
  tick_ = loop_->At(now + kTick, [this] { OnTick(); });
}

}  // namespace headrace::cli
