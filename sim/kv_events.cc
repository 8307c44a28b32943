#include "sim/kv_events.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "net/zmq_endpoint.h"
#include "wire/event.h"

namespace headrace::sim {
namespace {

constexpr Duration kPeerPause = milliseconds(2);  // until a peer that is full is tried again
constexpr Duration kLinger = milliseconds(100);   // for the last messages
constexpr Duration kRedialMost = seconds(1);
constexpr int64_t kMaxRequestFrame = 4096;
constexpr int kSendLimit = 10000;  // messages that wait for one subscriber
constexpr int kBatchesPerTurn = 64;

tl::unexpected<Error> Refuse(std::string* message, const char* flag, const std::string& value,
                             const Error& error) {
  *message = fmt::format("--{}: {}: {}", flag, value, error.what);
  if (error.os != 0) *message += fmt::format(" ({})", std::strerror(error.os));
  return Fail(error);
}

}  // namespace

std::string KvTopic(std::string_view ip, std::optional<uint16_t> port, std::string_view model) {
  if (port) return fmt::format("kv@{}:{}@{}", ip, *port, model);
  return fmt::format("kv@{}@{}", ip, model);
}

Result<std::string> KvEndpointOfRank(const std::string& endpoint, uint32_t rank) {
  HR_TRY(const auto parsed, net::ParseZmqEndpoint(endpoint));
  if (rank == 0) return endpoint;
  if (parsed.scheme != net::ZmqEndpoint::Scheme::kTcp) return fmt::format("{}.{}", endpoint, rank);
  if (parsed.port == 0) return endpoint;  // each rank takes a free one
  const uint64_t port = uint64_t{parsed.port} + rank;
  if (port > UINT16_MAX) return Fail(Errc::kInvalid, "no ports are left for all ranks");
  return fmt::format("{}:{}", endpoint.substr(0, endpoint.rfind(':')), port);
}

KvEvents::KvEvents(const Config& config, std::unique_ptr<Loop> loop, Fd wake)
    : config_(config),
      loop_(std::move(loop)),
      wake_(std::move(wake)),
      queue_(config.batch_events, config.queue_batches) {}

Result<std::unique_ptr<KvEvents>> KvEvents::Create(const Config& config, std::string* message) {
  HR_TRY(auto loop, Loop::Create());
  Fd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.valid()) return Fail(Errc::kIo, "cannot create an eventfd", errno);
  std::unique_ptr<KvEvents> events(new KvEvents(config, std::move(loop), std::move(wake)));
  HR_RETURN_IF_ERROR(events->Open(message));
  return events;
}

Status KvEvents::Open(std::string* message) {
  const char* const flag = "zmq-endpoint";
  auto context = net::CreateZmqContext();
  if (!context) return Refuse(message, flag, config_.endpoint, context.error());
  context_ = std::move(*context);
  auto pub =
      context_->Open(net::ZmqType::kPub,
                     {.send_limit = kSendLimit, .linger = kLinger, .reconnect_max = kRedialMost});
  if (!pub) return Refuse(message, flag, config_.endpoint, pub.error());
  pub_ = std::move(*pub);
  const Status joined =
      config_.bind ? pub_->Bind(config_.endpoint) : pub_->Connect(config_.endpoint);
  if (!joined) return Refuse(message, flag, config_.endpoint, joined.error());
  endpoint_ = pub_->endpoint();
  HR_RETURN_IF_ERROR(OpenReplay(message));
  replay_ = std::make_unique<KvReplay>(router_.get(), config_.topic, config_.replay_messages);
  return {};
}

Status KvEvents::OpenReplay(std::string* message) {
  if (config_.replay_endpoint.empty()) return {};
  const char* const flag = "kv-events-replay-endpoint";
  auto router =
      context_->Open(net::ZmqType::kRouter,
                     {.send_limit = 256, .max_frame_bytes = kMaxRequestFrame, .linger = kLinger});
  if (!router) return Refuse(message, flag, config_.replay_endpoint, router.error());
  router_ = std::move(*router);
  const Status bound = router_->Bind(config_.replay_endpoint);
  if (!bound) return Refuse(message, flag, config_.replay_endpoint, bound.error());
  replay_endpoint_ = router_->endpoint();
  return {};
}

Status KvEvents::Start() {
  HR_CHECK(!thread_.joinable());
  HR_RETURN_IF_ERROR(loop_->Watch(wake_.get(), EPOLLIN, [this](uint32_t) { OnWake(); }));
  if (router_ != nullptr) {
    HR_TRY(router_watch_, net::ZmqWatch::Create(loop_.get(), router_.get(), [this] {
             replay_->Receive(loop_->now());
             Pump();
           }));
  }
  thread_ = std::thread([this] { loop_->Run(); });
  return {};
}

KvEvents::~KvEvents() {
  queue_.Close();
  if (thread_.joinable()) {
    loop_->Stop();
    thread_.join();
    loop_->Unwatch(wake_.get());
    while (queue_.Pop(&batch_) || queue_.PopBegun(&batch_)) Publish();
  }
  router_watch_.reset();
}

void KvEvents::Take(const KvChange& change) {
  if (queue_.Push(change)) Wake();
}

void KvEvents::Wake() {
  const uint64_t one = 1;
  const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
  static_cast<void>(written);  // a full counter means that it is awake
}

void KvEvents::OnWake() {
  uint64_t count = 0;
  const ssize_t read = ::read(wake_.get(), &count, sizeof(count));
  static_cast<void>(read);
  int taken = 0;
  for (; taken < kBatchesPerTurn && queue_.Pop(&batch_); ++taken) Publish();
  if (taken == kBatchesPerTurn) Wake();  // others have their turn in between
  Show();
  if (flushing_soon_ || !queue_.begun()) return;
  flushing_soon_ = true;
  loop_->At(loop_->now() + config_.flush, [this] { FlushBegun(); });
}

void KvEvents::FlushBegun() {
  flushing_soon_ = false;
  if (queue_.PopBegun(&batch_)) Publish();
  Wake();  // for what began meanwhile
}

void KvEvents::Publish() {
  std::string payload = batch_.Encode(UnixSeconds(), config_.form);
  const uint64_t sequence = sequence_++;
  const Status sent = net::ZmqSend(
      pub_.get(), {net::ZmqBytes(config_.topic), net::ZmqBytes(wire::EncodeSequence(sequence)),
                   net::ZmqBytes(payload)});
  if (!sent) ++unsent_count_;
  replay_->Keep(sequence, std::move(payload));
}

void KvEvents::Pump() {
  if (pumping_soon_) return;
  const auto progress = replay_->Advance(loop_->now());
  router_watch_->Touched();
  Show();
  if (progress == net::AnswerDesk::Progress::kIdle) return;
  pumping_soon_ = true;
  const auto again = [this] {
    pumping_soon_ = false;
    Pump();
  };
  if (progress == net::AnswerDesk::Progress::kMore) {
    loop_->Post(again);
  } else {
    loop_->At(loop_->now() + kPeerPause, again);
  }
}

void KvEvents::Show() {
  messages_ = sequence_;
  unsent_ = unsent_count_;
  replays_ = replay_->counts().answered;
  replays_refused_ = replay_->counts().refused;
  replays_abandoned_ = replay_->counts().abandoned;
}

KvEvents::Numbers KvEvents::numbers() const {
  return {.messages = messages_,
          .unsent = unsent_,
          .waits = queue_.waits(),
          .replays = replays_,
          .replays_refused = replays_refused_,
          .replays_abandoned = replays_abandoned_};
}

}  // namespace headrace::sim
