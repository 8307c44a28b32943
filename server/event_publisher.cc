#include "server/event_publisher.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "wire/event.h"

namespace headrace::server {
namespace {

constexpr Duration kPeerPause = milliseconds(2);  // until a peer that is full is tried again
constexpr Duration kLinger = milliseconds(100);   // for the last messages
constexpr int64_t kMaxRequestFrame = 4096;

tl::unexpected<Error> Refuse(std::string* message, const char* option, const std::string& value,
                             const Error& error) {
  *message = fmt::format("{}: {}: {}", option, value, error.what);
  if (error.os != 0) *message += fmt::format(" ({})", std::strerror(error.os));
  return Fail(error);
}

}  // namespace

EventPublisher::EventPublisher(const Config& config, std::unique_ptr<Loop> loop, Fd wake)
    : config_(config),
      loop_(std::move(loop)),
      wake_(std::move(wake)),
      stream_({.node = config.node,
               .form = config.options.wire_form(),
               .limits = config.limits,
               .max_topics = config.max_topics,
               .seed = config.seed,
               .pods =
                   [board = config.pods](std::string_view name_space) {
                     return board == nullptr ? nullptr : board->Of(name_space);
                   },
               .send = [this](const std::string& topic, uint64_t sequence,
                              const std::string& payload) { Send(topic, sequence, payload); }}) {
  HR_CHECK(config_.queue != nullptr);
}

EventPublisher::~EventPublisher() {
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
  }
  router_watch_.reset();
  loop_->Unwatch(wake_.get());
}

Result<std::unique_ptr<EventPublisher>> EventPublisher::Create(const Config& config,
                                                               std::string* message) {
  HR_TRY(auto loop, Loop::Create());
  Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return Fail(Errc::kIo, "cannot create an eventfd", errno);
  std::unique_ptr<EventPublisher> publisher(
      new EventPublisher(config, std::move(loop), std::move(wake)));
  HR_RETURN_IF_ERROR(publisher->Open(message));
  return publisher;
}

Status EventPublisher::Open(std::string* message) {
  const EventOptions& options = config_.options;
  HR_TRY(const EventKeys keys, ReadEventKeys(options, message));
  auto context = net::CreateZmqContext();
  if (!context) return Refuse(message, "--events-endpoint", options.endpoint, context.error());
  context_ = std::move(*context);
  if (!keys.clients.empty()) {
    const Status allowed = context_->AllowClients(keys.clients);
    if (!allowed) {
      return Refuse(message, "--events-curve-clients-file", options.curve_clients_file,
                    allowed.error());
    }
  }
  net::ZmqOptions socket_options{.send_limit = static_cast<int>(config_.limits.subscriber_queue),
                                 .max_frame_bytes = kMaxRequestFrame,
                                 .linger = kLinger,
                                 .curve = keys.curve};
  auto pub = context_->Open(net::ZmqType::kPub, socket_options);
  if (!pub) return Refuse(message, "--events-endpoint", options.endpoint, pub.error());
  pub_ = std::move(*pub);
  const Status joined =
      options.dial ? pub_->Connect(options.endpoint) : pub_->Bind(options.endpoint);
  if (!joined) return Refuse(message, "--events-endpoint", options.endpoint, joined.error());
  endpoint_ = pub_->endpoint();
  if (options.replay_endpoint.empty()) return {};
  // Answers wait with the desk, which knows when they are too old, not in the socket.
  socket_options.send_limit = 256;
  auto router = context_->Open(net::ZmqType::kRouter, socket_options);
  const char* const name = "--events-replay-endpoint";
  if (!router) return Refuse(message, name, options.replay_endpoint, router.error());
  router_ = std::move(*router);
  const Status bound = router_->Bind(options.replay_endpoint);
  if (!bound) return Refuse(message, name, options.replay_endpoint, bound.error());
  replay_endpoint_ = router_->endpoint();
  desk_ = std::make_unique<EventDesk>(router_.get(), &stream_, config_.limits);
  return {};
}

Status EventPublisher::Start() {
  HR_CHECK(!thread_.joinable());
  HR_RETURN_IF_ERROR(loop_->Watch(wake_.get(), EPOLLIN, [this](uint32_t) { OnWake(); }));
  if (router_ != nullptr) {
    HR_TRY(router_watch_, net::ZmqWatch::Create(loop_.get(), router_.get(), [this] {
             desk_->Receive(loop_->now());
             Pump();
           }));
  }
  if (config_.limits.heartbeat > Duration::zero()) {
    loop_->At(MonotonicNow() + config_.limits.heartbeat, [this] { Beat(); });
  }
  thread_ = std::thread([this] { loop_->Run(); });
  return {};
}

void EventPublisher::Wake() {
  if (!asleep_.exchange(false)) return;
  const uint64_t one = 1;
  const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
  static_cast<void>(written);  // a full counter means that it is awake
}

void EventPublisher::OnWake() {
  uint64_t count = 0;
  const ssize_t read = ::read(wake_.get(), &count, sizeof(count));
  static_cast<void>(read);
  if (draining_soon_) return;
  draining_soon_ = true;
  loop_->At(loop_->now() + config_.limits.window, [this] { Drain(); });
}

void EventPublisher::Drain() {
  draining_soon_ = false;
  const double timestamp = UnixSeconds();
  TakePods(timestamp);
  // As many as a full queue holds: requests have their turn in between.
  for (uint64_t taken = 0; taken < config_.queue->capacity(); ++taken) {
    if (!config_.queue->TryPop(&event_)) break;
    stream_.Take(event_, timestamp);
  }
  stream_.Flush(timestamp);
  Show();
  // What was pushed before this store is seen below; after it, Wake writes.
  asleep_.exchange(true);
  const bool pods = config_.pods != nullptr && config_.pods->version() != pods_version_;
  if (config_.queue->size() > 0 || pods) Wake();
  Pump();
}

void EventPublisher::TakePods(double timestamp) {
  if (config_.pods == nullptr) return;
  const uint64_t version = config_.pods->version();
  if (version == pods_version_) return;
  pods_version_ = version;
  stream_.UpdatePods(timestamp);
}

void EventPublisher::Beat() {
  stream_.Beat(UnixSeconds());
  Show();
  loop_->At(loop_->now() + config_.limits.heartbeat, [this] { Beat(); });
}

void EventPublisher::Pump() {
  if (desk_ == nullptr || pumping_soon_) return;
  const auto progress = desk_->Advance(loop_->now(), UnixSeconds());
  router_watch_->Touched();
  Show();
  if (progress == EventDesk::Progress::kIdle) return;
  pumping_soon_ = true;
  const auto again = [this] {
    pumping_soon_ = false;
    Pump();
  };
  if (progress == EventDesk::Progress::kMore) {
    loop_->Post(again);
  } else {
    loop_->At(loop_->now() + kPeerPause, again);
  }
}

void EventPublisher::Send(const std::string& topic, uint64_t sequence, const std::string& payload) {
  const Status sent =
      net::ZmqSend(pub_.get(), {net::ZmqBytes(topic), net::ZmqBytes(wire::EncodeSequence(sequence)),
                                net::ZmqBytes(payload)});
  if (!sent) ++unsent_;
}

void EventPublisher::Show() {
  std::vector<std::pair<std::string, uint64_t>> last;
  for (std::string& topic : stream_.topics()) {
    const uint64_t sequence = stream_.last_sequence(topic);
    if (sequence != kNoSequence) last.emplace_back(std::move(topic), sequence);
  }
  const std::lock_guard lock(numbers_mutex_);
  numbers_.stream = stream_.counts();
  if (desk_ != nullptr) numbers_.desk = desk_->counts();
  numbers_.unsent = unsent_;
  numbers_.last_sequences = std::move(last);
}

EventNumbers EventPublisher::numbers() const {
  const std::lock_guard lock(numbers_mutex_);
  EventNumbers numbers = numbers_;
  numbers.clients_refused = context_->clients_refused();
  return numbers;
}

}  // namespace headrace::server
