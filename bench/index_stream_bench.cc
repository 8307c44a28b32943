#include "bench/index_stream_bench.h"

#include <fmt/format.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "bench/index_world.h"
#include "bench/report.h"
#include "indexer/memory_index.h"
#include "indexer/subscriber.h"
#include "net/zmq.h"
#include "wire/event.h"

namespace headrace::bench {
namespace {

constexpr uint64_t kPods = 8;
constexpr uint64_t kAllEvents = 200'000;
constexpr uint64_t kQuickEvents = 8'000;
constexpr uint64_t kBlocks = 16;  // of an event
constexpr uint64_t kTokens = 256;
constexpr uint64_t kParts = 4;  // events that chain: a request
constexpr Duration kSilence = seconds(20);

using Ports = std::array<int, kPods>;

uint64_t Mix(uint64_t x) {
  return MixBits(x + 0x9e3779b97f4a7c15);
}

// A quarter of the requests is common to all pods.
uint64_t ContentOf(uint64_t pod, uint64_t request) {
  return request % 4 == 0 ? request : (uint64_t{1} << 40) + request * kPods + pod;
}
uint64_t HashOf(uint64_t content, uint64_t block) {
  return Mix((content << 8 ^ 0x5bd1e995) + block) | 1;
}

// Events of all pods in turn; the same ones each time.
class Publisher {
 public:
  explicit Publisher(uint64_t events) : events_(events) {
    auto zmq = net::CreateZmqContext();
    HR_CHECK(zmq.has_value());
    zmq_ = std::move(*zmq);
    net::ZmqOptions options;
    options.send_limit = 0;  // what the reader does not take yet waits here
    options.linger = seconds(600);
    for (auto& socket : sockets_) {
      auto opened = zmq_->Open(net::ZmqType::kXpub, options);
      HR_CHECK(opened.has_value());
      socket = std::move(*opened);
      HR_CHECK(socket->Bind("tcp://127.0.0.1:0").has_value());
    }
  }
  Ports ports() const {
    Ports ports{};
    for (size_t pod = 0; pod < kPods; ++pod) {
      const std::string endpoint = sockets_[pod]->endpoint();
      ports[pod] = std::stoi(endpoint.substr(endpoint.rfind(':') + 1));
    }
    return ports;
  }
  void AwaitReaders() {
    net::ZmqMessage message;
    for (auto& socket : sockets_) {
      for (;;) {
        const auto got = socket->Receive(&message);
        HR_CHECK(got.has_value());
        if (*got) break;
        usleep(1000);
      }
    }
  }
  void Send() {
    for (uint64_t event = 0; event < events_; ++event) {
      const uint64_t pod = event % kPods;
      const uint64_t step = event / kPods;
      Encode(pod, step / kParts, step % kParts);
      const std::string topic = fmt::format("kv@10.0.{}.{}:8000@bench/model", pod / 256, pod % 256);
      HR_CHECK(net::ZmqSend(sockets_[pod].get(),
                            {net::ZmqBytes(topic), net::ZmqBytes(wire::EncodeSequence(step)),
                             net::ZmqBytes(payload_)})
                   .has_value());
    }
  }

 private:
  void Encode(uint64_t pod, uint64_t request, uint64_t part) {
    const uint64_t content = ContentOf(pod, request);
    for (uint64_t i = 0; i < kTokens; ++i) {
      tokens_[i] = static_cast<uint32_t>(Mix(content * 4096 + part * kTokens + i) % 128000);
    }
    for (uint64_t i = 0; i < kBlocks; ++i) hashes_[i] = HashOf(content, part * kBlocks + i);
    std::optional<uint64_t> parent;
    if (part > 0) parent = HashOf(content, part * kBlocks - 1);
    EncodeStored({parent, hashes_, tokens_}, {.array = true}, &payload_);
  }

  const uint64_t events_;
  std::unique_ptr<net::ZmqContext> zmq_;
  std::array<std::unique_ptr<net::ZmqSocket>, kPods> sockets_;
  std::array<uint64_t, kBlocks> hashes_{};
  std::array<uint32_t, kTokens> tokens_{};
  std::string payload_;
};

double ProcessCpuMicros() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Streamed {
  double cpu_micros = 0, wall_seconds = 0, grown_bytes = 0;
  uint64_t events = 0, gaps = 0, blocks = 0;
};

// The reading end: a subscriber a pod, one index.
class Reader {
 public:
  Reader() {
    auto loop = Loop::Create();
    auto zmq = net::CreateZmqContext();
    auto index = indexer::MemoryIndex::Create({.seed = 31});
    auto keys = indexer::IngestKeys::Create({.algo = wire::HashAlgo::kXxh64});
    HR_CHECK(loop.has_value() && zmq.has_value() && index.has_value() && keys.has_value());
    loop_ = std::move(*loop);
    zmq_ = std::move(*zmq);
    index_ = std::move(*index);
    keys_ = std::move(*keys);
    pods_ = std::make_unique<indexer::PodTable>(index_.get());
    indexer::Digest::Parts parts;
    parts.index = index_.get();
    parts.pods = pods_.get();
    parts.keys = keys_.get();
    parts.tiers = &tiers_;
    digest_ = std::make_unique<indexer::Digest>(parts, indexer::DigestLimits{});
  }

  Streamed Run(const Ports& ports, uint64_t events) {
    Streamed streamed;
    const uint64_t before = ResidentBytes();
    const double cpu = ProcessCpuMicros();
    for (const int port : ports) {
      indexer::SubscriberConfig config;
      config.endpoint = fmt::format("tcp://127.0.0.1:{}", port);
      auto subscriber = indexer::Subscriber::Create(
          {loop_.get(), zmq_.get(), digest_.get(), pods_.get(), &slots_, [] { return 2.0; }},
          config);
      HR_CHECK(subscriber.has_value());
      subscribers_.push_back(std::move(*subscriber));
    }
    Look(&streamed, before, events);
    loop_->Run();
    streamed.cpu_micros = ProcessCpuMicros() - cpu;
    streamed.wall_seconds = std::chrono::duration<double>(last_ - first_).count();
    streamed.blocks = index_->stats().blocks;
    for (const auto& subscriber : subscribers_) {
      streamed.gaps += subscriber->counters().malformed + (subscriber->uncertain() ? 1 : 0);
    }
    return streamed;
  }

 private:
  void Look(Streamed* streamed, uint64_t before, uint64_t events) {
    uint64_t messages = 0;
    for (const auto& subscriber : subscribers_) messages += subscriber->counters().messages;
    const Time now = MonotonicNow();
    if (streamed->events == 0) first_ = now;
    if (messages != streamed->events || messages == 0) last_ = now;
    streamed->events = messages;
    const uint64_t resident = ResidentBytes();
    const double grown = resident > before ? static_cast<double>(resident - before) : 0;
    streamed->grown_bytes = std::max(streamed->grown_bytes, grown);
    if (messages >= events || now - last_ > kSilence) {
      loop_->Stop();
      return;
    }
    loop_->At(now + milliseconds(5), [=, this] { Look(streamed, before, events); });
  }

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<net::ZmqContext> zmq_;
  std::unique_ptr<indexer::MemoryIndex> index_;
  std::unique_ptr<indexer::IngestKeys> keys_;
  indexer::TierTable tiers_;
  std::unique_ptr<indexer::PodTable> pods_;
  std::unique_ptr<indexer::Digest> digest_;
  indexer::AskSlots slots_;
  std::vector<std::unique_ptr<indexer::Subscriber>> subscribers_;
  Time first_, last_;
};

// Different blocks that the events name.
uint64_t BlocksOf(uint64_t events) {
  const uint64_t requests = events / kPods / kParts;
  const uint64_t common = (requests + 3) / 4;
  return (common + (requests - common) * kPods) * kParts * kBlocks;
}

}  // namespace

void RunIndexStream(const IndexOptions& options) {
  const uint64_t events = options.quick ? kQuickEvents : kAllEvents;
  Progress(fmt::format("{} events over ZeroMQ", events));
  int ports_pipe[2];
  HR_CHECK(pipe(ports_pipe) == 0);
  const pid_t child = fork();
  HR_CHECK(child >= 0);
  if (child == 0) {
    {
      Publisher publisher(events);
      const Ports ports = publisher.ports();
      HR_CHECK(write(ports_pipe[1], ports.data(), sizeof(ports)) == sizeof(ports));
      publisher.AwaitReaders();
      publisher.Send();
    }  // waits until all is sent
    _exit(0);
  }
  Ports ports{};
  HR_CHECK(read(ports_pipe[0], ports.data(), sizeof(ports)) == sizeof(ports));
  Streamed streamed;
  {
    Reader reader;
    streamed = reader.Run(ports, events);
  }
  int status = 0;
  HR_CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  close(ports_pipe[0]);
  close(ports_pipe[1]);

  const auto count = static_cast<double>(events);
  const uint64_t expected = BlocksOf(events);
  Figure figure{"index.stream", streamed.cpu_micros / count, "us"};
  figure.how = fmt::format(
      "CPU an event of the reading process, all its threads: {} events of 16 blocks and 256 "
      "tokens from 8 pods over ZeroMQ, sent flat out by another process, through the subscriber "
      "into the index (xxh64 keys); {:.0f} events/s on the clock; the process grew by {:.0f} MB "
      "at most, {:.1f} bytes a block of {} blocks",
      events, count / streamed.wall_seconds, streamed.grown_bytes / 1e6,
      streamed.grown_bytes / static_cast<double>(streamed.blocks), streamed.blocks);
  Print(figure);
  const uint64_t missing = events - std::min(events, streamed.events);
  const uint64_t blocks =
      expected > streamed.blocks ? expected - streamed.blocks : streamed.blocks - expected;
  Figure lost{"index.stream.lost", static_cast<double>(missing + blocks + streamed.gaps), "lost"};
  lost.how = fmt::format(
      "events that did not come ({}), blocks too few or too many in the index against the {} that "
      "the events name ({}), malformed messages and streams with a gap ({})",
      missing, expected, blocks, streamed.gaps);
  Print(lost);
}

}  // namespace headrace::bench
