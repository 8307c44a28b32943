#include "indexer/subscriber.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "indexer/subscriber_topic.h"

namespace headrace::indexer {
namespace {

constexpr int kMessagesATurn = 256;
constexpr uint64_t kEndOfReplay = UINT64_MAX;

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

struct Subscriber::Stream {
  Stream(std::string name, const FollowLimits& limits, const FollowOffers& offers)
      : topic(std::move(name)), follower(limits, offers) {}

  const std::string topic;
  StreamFollower follower;
  Feed feed;
  FollowActions actions;
  bool doubted = false;  // the pod table knows of its gap
};

// One question to the replay socket: of a stream, or (no stream) of all that there is.
struct Subscriber::Ask {
  Stream* stream = nullptr;
  bool snapshot = false;
  uint64_t from = 0;
  uint32_t ticket = 0;
  bool running = false;
  bool done = false;
  Time silent_since;  // of a question of all that there is
  // Streams that were first heard of in the answers, with the tickets that these answer.
  std::vector<std::pair<Stream*, uint32_t>> found;
  std::unique_ptr<net::ZmqSocket> socket;
  std::unique_ptr<net::ZmqWatch> watch;
};

Subscriber::Subscriber(const Parts& parts, const SubscriberConfig& config)
    : parts_(parts), config_(config) {
  HR_CHECK(parts_.loop != nullptr && parts_.zmq != nullptr && parts_.digest != nullptr);
  HR_CHECK(parts_.pods != nullptr && parts_.slots != nullptr && parts_.wall != nullptr);
}

Result<std::unique_ptr<Subscriber>> Subscriber::Create(const Parts& parts,
                                                       const SubscriberConfig& config) {
  std::unique_ptr<Subscriber> subscriber(new Subscriber(parts, config));
  HR_RETURN_IF_ERROR(subscriber->Open());
  return subscriber;
}

Status Subscriber::Open() {
  net::ZmqOptions options;
  options.receive_limit = 100000;
  options.curve = config_.curve;
  HR_TRY(socket_, parts_.zmq->Open(net::ZmqType::kSub, options));
  HR_RETURN_IF_ERROR(socket_->WatchPeers());
  HR_RETURN_IF_ERROR(socket_->Subscribe(config_.topic_filter));
  HR_TRY(watch_, net::ZmqWatch::Create(parts_.loop, socket_.get(), [this] { OnReadable(); }));
  HR_TRY(peers_, net::ZmqWatch::CreateForPeers(parts_.loop, socket_.get(), [this] { OnPeers(); }));
  HR_RETURN_IF_ERROR(config_.bind ? socket_->Bind(config_.endpoint)
                                  : socket_->Connect(config_.endpoint));
  tick_ = parts_.loop->At(parts_.loop->now() + kTick, [this] { OnTick(); });
  return {};
}

Subscriber::~Subscriber() {
  if (tick_ != 0) parts_.loop->CancelTimer(tick_);
  if (reap_ != 0) parts_.loop->CancelTimer(reap_);
  for (auto& ask : asks_) {
    if (ask->running && !ask->done) parts_.slots->Give();
  }
  for (auto& [topic, stream] : streams_) {
    const Feed& feed = stream->feed;
    if (stream->doubted && parts_.pods->life(feed.pod) == feed.life) {
      parts_.pods->SetUncertain(feed.pod, false);
    }
  }
}

Subscriber::Counters Subscriber::counters() const {
  Counters counters = counters_;
  for (const auto& [topic, stream] : streams_) counters.streams.Add(stream->follower.counters());
  return counters;
}

bool Subscriber::uncertain() const {
  return std::any_of(streams_.begin(), streams_.end(),
                     [](const auto& entry) { return entry.second->follower.uncertain(); });
}

void Subscriber::ForEachStream(const StreamVisit& visit) const {
  for (const auto& [topic, stream] : streams_) {
    if (parts_.pods->life(stream->feed.pod) != stream->feed.life) continue;
    visit(stream->feed.pod, stream->follower.counters(), stream->follower.uncertain());
  }
}

std::vector<PodId> Subscriber::pods() const {
  std::vector<PodId> pods;
  for (const auto& [topic, stream] : streams_) {
    if (parts_.pods->life(stream->feed.pod) == stream->feed.life) pods.push_back(stream->feed.pod);
  }
  std::sort(pods.begin(), pods.end());
  pods.erase(std::unique(pods.begin(), pods.end()), pods.end());
  return pods;
}

void Subscriber::OnPeers() {
  net::ZmqPeerEvent event;
  while (socket_->NextPeerEvent(&event)) {
    if (event.kind == net::ZmqPeerEvent::Kind::kRefused) ++counters_.refused;
    if (event.kind != net::ZmqPeerEvent::Kind::kConnected) continue;
    ++counters_.connects;
    if (config_.bind) continue;  // one of many; each stream's sequence tells
    const Time now = parts_.loop->now();
    if (streams_.empty() && !config_.replay_endpoint.empty()) explore_ = true;
    for (auto& [topic, stream] : streams_) {
      stream->follower.OnConnected(now, &stream->actions);
      Carry(stream.get());
    }
    StartAsks();
  }
}

void Subscriber::OnReadable() {
  TakeAllLive();
  StartAsks();
}

void Subscriber::TakeAllLive() {
  for (int i = 0; i < kMessagesATurn; ++i) {
    const auto got = socket_->Receive(&message_);
    if (!got || !*got) break;
    TakeLive();
  }
}

void Subscriber::TakeLive() {
  ++counters_.messages;
  const auto sequence = message_.size() == 3 ? wire::DecodeSequence(message_[1]) : std::nullopt;
  if (!sequence || message_.truncated()) {
    ++counters_.malformed;
    return;
  }
  Stream* stream = StreamOf(message_.text(0));
  if (stream == nullptr) return;
  stream->follower.OnLive({*sequence, message_.text(0), message_.text(2)}, parts_.loop->now(),
                          &stream->actions);
  Carry(stream);
}

Subscriber::Stream* Subscriber::StreamOf(std::string_view topic) {
  const auto known = streams_.find(topic);
  if (known != streams_.end()) return known->second.get();
  const auto parsed = ParseEventTopic(topic);
  const std::string_view pod = parsed ? parsed->pod : std::string_view(config_.pod);
  std::string_view model = parsed ? parsed->model : std::string_view();
  if (model.empty()) model = config_.model;
  if (pod.empty()) {
    ++counters_.malformed;
    return nullptr;
  }
  if (streams_.size() >= kMaxStreams) {
    ++counters_.refused;
    return nullptr;
  }
  auto feed = parts_.digest->Open(pod, model);
  if (!feed) {
    ++counters_.refused;
    return nullptr;
  }
  return AddStream(topic, std::move(*feed));
}

Subscriber::Stream* Subscriber::AddStream(std::string_view topic, Feed feed) {
  const bool can_ask = !config_.bind && !config_.replay_endpoint.empty();
  auto stream =
      std::make_unique<Stream>(std::string(topic), config_.follow, FollowOffers{can_ask, can_ask});
  stream->feed = std::move(feed);
  Stream* added = streams_.emplace(std::string(topic), std::move(stream)).first->second.get();
  // What it told before is asked for at once, but where it is being answered already.
  const auto exploring = std::find_if(asks_.begin(), asks_.end(), [](const auto& ask) {
    return ask->stream == nullptr && ask->running && !ask->done;
  });
  added->follower.OnConnected(parts_.loop->now(), &added->actions);
  if (exploring != asks_.end()) {
    for (const FollowAction& action : added->actions.list()) {
      if (action.kind != FollowAction::Kind::kAskReplay) continue;
      (*exploring)->found.emplace_back(added, action.ticket);
    }
  }
  Carry(added);
  if (exploring != asks_.end()) EndAskOf(added);
  return added;
}

void Subscriber::Carry(Stream* stream) {
  bool cleared = false;
  for (const FollowAction& action : stream->actions.list()) {
    switch (action.kind) {
      case FollowAction::Kind::kApply:
        ApplyBatch(stream, action.message.payload, &cleared);
        break;
      case FollowAction::Kind::kNewEpoch:
        parts_.digest->NewEpoch(&stream->feed);
        break;
      case FollowAction::Kind::kAskReplay:
      case FollowAction::Kind::kAskSnapshot:
        Want(stream, action);
        break;
      case FollowAction::Kind::kMarkUncertain:
      case FollowAction::Kind::kMarkCertain:
        if (parts_.pods->life(stream->feed.pod) != stream->feed.life) break;
        stream->doubted = action.kind == FollowAction::Kind::kMarkUncertain;
        parts_.pods->SetUncertain(stream->feed.pod, stream->doubted);
        break;
    }
  }
  stream->actions.Clear();
  if (!cleared || stream->feed.members.size() != 1) return;
  stream->follower.OnCleared(&stream->actions);
  Carry(stream);
}

void Subscriber::ApplyBatch(Stream* stream, std::string_view payload, bool* cleared) {
  wire::EventBatch batch;
  if (!decoder_.Decode(Bytes(payload), &batch)) {
    ++counters_.malformed;
    if (parts_.pods->life(stream->feed.pod) == stream->feed.life) {
      ++parts_.pods->counters(stream->feed.pod).bad;
    }
    return;
  }
  if (!parts_.digest->Apply(&stream->feed, batch, parts_.loop->now())) return;
  parts_.pods->counters(stream->feed.pod).lag_seconds = parts_.wall() - batch.timestamp;
  for (const wire::Event& event : batch.events) {
    *cleared = *cleared || event.type == wire::EventType::kCleared;
  }
}

// The stream's newest question is the only one that counts.
void Subscriber::Want(Stream* stream, const FollowAction& action) {
  EndAskOf(stream);
  auto ask = std::make_unique<Ask>();
  ask->stream = stream;
  ask->snapshot = action.kind == FollowAction::Kind::kAskSnapshot;
  ask->from = action.from;
  ask->ticket = action.ticket;
  asks_.push_back(std::move(ask));
}

void Subscriber::EndAskOf(const Stream* stream) {
  for (auto& ask : asks_) {
    if (ask->stream == stream && !ask->done) Finish(ask.get());
  }
}

void Subscriber::StartAsks() {
  if (explore_) {
    explore_ = false;
    asks_.push_back(std::make_unique<Ask>());
    asks_.back()->silent_since = parts_.loop->now();
  }
  for (size_t i = 0; i < asks_.size(); ++i) {
    Ask* ask = asks_[i].get();
    if (ask->running || ask->done) continue;
    if (!parts_.slots->Take()) return;
    ask->running = true;
    if (ask->stream != nullptr) {
      ask->stream->follower.OnWaiting(ask->ticket, parts_.loop->now());
    }
    const Status status = Start(ask);
    if (!status) {  // the follower's time for it runs out, and it asks again
      HR_WARN("events of {}: no question to {}: {}", config_.endpoint, config_.replay_endpoint,
              status.error().what);
      Finish(ask);
    }
  }
}

Status Subscriber::Start(Ask* ask) {
  net::ZmqOptions options;
  options.receive_limit = 100000;
  options.curve = config_.curve;
  HR_TRY(ask->socket, parts_.zmq->Open(net::ZmqType::kDealer, options));
  HR_TRY(ask->watch,
         net::ZmqWatch::Create(parts_.loop, ask->socket.get(), [this, ask] { OnAnswer(ask); }));
  HR_RETURN_IF_ERROR(ask->socket->Connect(config_.replay_endpoint));
  const std::string from = wire::EncodeSequence(ask->from);
  const auto empty = net::ZmqBytes("");
  if (ask->snapshot) {
    HR_RETURN_IF_ERROR(net::ZmqSend(
        ask->socket.get(), {empty, net::ZmqBytes("snapshot"), net::ZmqBytes(ask->stream->topic)}));
  } else if (by_topic_ && ask->stream != nullptr) {
    HR_RETURN_IF_ERROR(net::ZmqSend(
        ask->socket.get(), {empty, net::ZmqBytes(from), net::ZmqBytes(ask->stream->topic)}));
  } else {
    HR_RETURN_IF_ERROR(net::ZmqSend(ask->socket.get(), {empty, net::ZmqBytes(from)}));
  }
  ask->watch->Touched();
  return {};
}

void Subscriber::OnAnswer(Ask* ask) {
  for (int i = 0; i < kMessagesATurn; ++i) {
    const auto got = ask->socket->Receive(&answer_);
    if (!got || !*got) break;
    if (!ask->done) TakeAnswer(ask);
  }
  StartAsks();
}

void Subscriber::TakeAnswer(Ask* ask) {
  const Time now = parts_.loop->now();
  ask->silent_since = now;
  // ["", topic, sequence, payload]
  if (answer_.size() != 4 || answer_.truncated()) {
    ++counters_.malformed;
    return;
  }
  const auto sequence = wire::DecodeSequence(answer_[2]);
  const std::string_view topic = answer_.text(1);
  const std::string_view payload = answer_.text(3);
  if (!sequence) {
    if (answer_.text(2) != "busy") ++counters_.malformed;
    Finish(ask);  // asked again when the follower's patience is over
    return;
  }
  if (ask->snapshot) {
    Stream* stream = ask->stream;
    by_topic_ = true;
    const uint32_t ticket = ask->ticket;
    if (payload.empty()) {
      Finish(ask);
      // Live messages that the answer has overtaken would look like those of another life.
      TakeAllLive();
      watch_->Touched();
      stream->follower.OnSnapshotEnd(ticket, *sequence + 1, now, &stream->actions);
    } else {
      stream->follower.OnSnapshot(ticket, {*sequence, topic, payload}, now, &stream->actions);
    }
    Carry(stream);
  } else if (payload.empty() && *sequence == kEndOfReplay) {
    EndOfReplay(ask);
  } else {
    TakeReplayed(ask, topic, {*sequence, topic, payload});
  }
}

void Subscriber::TakeReplayed(Ask* ask, std::string_view topic, const FollowMessage& message) {
  const Time now = parts_.loop->now();
  Stream* stream = ask->stream;
  uint32_t ticket = ask->ticket;
  if (stream == nullptr) {
    stream = StreamOf(topic);
    const auto found = std::find_if(ask->found.begin(), ask->found.end(),
                                    [&](const auto& entry) { return entry.first == stream; });
    if (found == ask->found.end()) return;
    ticket = found->second;
  } else if (!topic.empty() && topic != stream->topic) {
    return;  // it answers for all its topics
  }
  stream->follower.OnReplay(ticket, message, now, &stream->actions);
  Carry(stream);
}

void Subscriber::EndOfReplay(Ask* ask) {
  const Time now = parts_.loop->now();
  auto ended = std::move(ask->found);
  if (ask->stream != nullptr) ended.emplace_back(ask->stream, ask->ticket);
  Finish(ask);
  for (const auto& [stream, ticket] : ended) {
    stream->follower.OnReplayEnd(ticket, now, &stream->actions);
    Carry(stream);
  }
}

void Subscriber::Finish(Ask* ask) {
  HR_CHECK(!ask->done);
  ask->done = true;
  if (ask->running) parts_.slots->Give();
  // Not here: its own socket may be the one that is being read.
  if (reap_ == 0) reap_ = parts_.loop->At(parts_.loop->now(), [this] { Reap(); });
}

void Subscriber::Reap() {
  reap_ = 0;
  std::erase_if(asks_, [](const auto& ask) { return ask->done; });
  StartAsks();
}

void Subscriber::OnTick() {
  const Time now = parts_.loop->now();
  for (auto& ask : asks_) {
    if (ask->done) continue;
    if (!ask->running && ask->stream != nullptr) {
      ask->stream->follower.OnWaiting(ask->ticket, now);
    } else if (ask->stream == nullptr && now - ask->silent_since >= config_.follow.idle) {
      Finish(ask.get());
    }
  }
  for (auto& [topic, stream] : streams_) {
    stream->follower.OnTick(now, &stream->actions);
    Carry(stream.get());
  }
  StartAsks();
  tick_ = parts_.loop->At(now + kTick, [this] { OnTick(); });
}

}  // namespace headrace::indexer
