#include "bench/rtt_bench.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>

#include "bench/report.h"
#include "bench/server_process.h"
#include "transport/memory.h"

namespace headrace::bench {
namespace {

constexpr size_t kFrameBytes = 64;  // about what a query of one hash and its answer weigh
constexpr int kTrips = 20000;
constexpr int kBusyTrips = 5000;

double MicrosSince(Time start) {
  return std::chrono::duration<double, std::micro>(MonotonicNow() - start).count();
}

// A process that sends back what it gets, over a raw stream socket with blocking calls: the floor.
class Echo {
 public:
  Echo() {
    int ends[2];
    HR_CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(ends[0]);
      char frame[kFrameBytes];
      while (recv(ends[1], frame, sizeof frame, MSG_WAITALL) == sizeof frame) {
        if (send(ends[1], frame, sizeof frame, 0) != sizeof frame) break;
      }
      _exit(0);
    }
    close(ends[1]);
    fd_ = ends[0];
  }
  ~Echo() {
    close(fd_);
    waitpid(pid_, nullptr, 0);
  }

  double Trip() {
    char frame[kFrameBytes] = {};
    const Time start = MonotonicNow();
    HR_CHECK(send(fd_, frame, sizeof frame, 0) == sizeof frame);
    HR_CHECK(recv(fd_, frame, sizeof frame, MSG_WAITALL) == sizeof frame);
    return MicrosSince(start);
  }

 private:
  pid_t pid_ = -1;
  int fd_ = -1;
};

client::Registration SchedulerOf(const char* name_space) {
  client::Registration registration;
  registration.name_space = name_space;
  registration.block_tokens = 16;
  return registration;
}

double QueryTrip(client::Client* client) {
  uint8_t hash[32] = {1};
  client::QuerySpec query;
  query.hashes = wire::HashList(hash, 32, 1);
  client::QueryResult result;
  const Time start = MonotonicNow();
  client->Query({&query, 1}, {&result, 1});
  const double micros = MicrosSince(start);
  HR_CHECK(result.code == Errc::kOk);
  return micros;
}

void RunBusy(client::Client* client) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&stop] {
      volatile uint64_t work = 0;
      while (!stop.load(std::memory_order_relaxed)) work = work + 1;
    });
  }
  std::vector<double> trips;
  for (int i = 0; i < kBusyTrips; ++i) {
    trips.push_back(QueryTrip(client));
    usleep(200);
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  Print({"engine.rtt.p99_busy", Quantile(trips, 0.99), "us", 1000, 0, 0, kBusyTrips, Spread(trips),
         "query of one hash, 4 threads that compute on the 2 cores; limit is the bar"});
}

constexpr uint32_t kResident = 1u << 20;
constexpr uint32_t kChain = 512;

// Chains of 512 random hashes until a million blocks are resident.
class Filler {
 public:
  explicit Filler(const ServerProcess& server) : client_(server.Connect("bench-fill")) {
    auto region = transport::CreateRegion("bench-fill", 1 << 20, transport::HugePages::kOff);
    HR_CHECK(region.has_value());
    region_ = std::move(*region);
    client::Registration registration = SchedulerOf("bench");
    registration.buffers.push_back({region_.fd.get(), 0, 1 << 20});
    wire::Layout layout;
    layout.num_blocks = kChain;
    layout.segment_bytes = 64;
    layout.block_stride = 64;
    layout.layer_offsets = {0};
    registration.groups.push_back({wire::GroupKind::kFull, 0, 0, layout});
    HR_CHECK(client_->Register(registration, seconds(5)).has_value());
  }

  std::vector<std::vector<uint8_t>> Fill() {
    std::vector<std::vector<uint8_t>> chains;
    std::vector<uint32_t> blocks(kChain);
    for (uint32_t i = 0; i < kChain; ++i) blocks[i] = i;
    for (uint32_t i = 0; i < kResident / kChain; ++i) {
      std::vector<uint8_t> hashes(kChain * 32);
      for (size_t word = 0; word < hashes.size(); word += 8) {
        const uint64_t value = random_();
        std::memcpy(&hashes[word], &value, 8);
      }
      wire::SaveChain chain;
      chain.hashes = wire::HashList(hashes.data(), 32, kChain);
      chain.blocks = blocks;
      auto submission = client_->SubmitSave({&chain, 1});
      HR_CHECK(submission.has_value());
      std::vector<client::Completion> done;
      while (done.empty()) client_->Wait(seconds(10), &done);
      HR_CHECK(done[0].code == Errc::kOk && done[0].stored == kChain);
      chains.push_back(std::move(hashes));
    }
    return chains;
  }

 private:
  std::unique_ptr<client::Client> client_;
  transport::SharedRegion region_;
  std::mt19937_64 random_{7};
};

}  // namespace

void RunRoundTrips(const std::string& server_program) {
  Progress("control round trips");
  Echo echo;  // before threads and the server
  ServerProcess server(server_program, 64ull << 20, {});
  auto client = server.Connect("bench-rtt");
  HR_CHECK(client->Register(SchedulerOf("bench"), seconds(5)).has_value());
  std::vector<double> mine, raw, alone;
  // Alone, the echo's two ends settle on one processor, where it is fastest; in turns with others
  // it may have to wake a sleeping one. The better of its two medians is the reference.
  for (int i = 0; i < kTrips; ++i) alone.push_back(echo.Trip());
  for (int i = 0; i < kTrips; ++i) {
    mine.push_back(QueryTrip(client.get()));
    raw.push_back(echo.Trip());
  }
  const double reference = std::min(Median(raw), Median(alone));
  Print({"engine.rtt.p50", Median(mine), "us", 2 * reference, 0, 0, kTrips, Spread(mine),
         "query of one hash through client and server, in turns with a raw echo of 64 bytes; limit "
         "is twice the echo's median, in turns or alone, whichever is better"});
  RunBusy(client.get());
}

void RunClientQueries(const std::string& server_program) {
  Progress("a million resident blocks (4 GiB pool of 4 KiB slots)");
  ServerProcess server(server_program, 4352ull << 20, {"--min-slot", "4kb"});
  Filler filler(server);
  const auto chains = filler.Fill();
  auto client = server.Connect("bench-query");
  HR_CHECK(client->Register(SchedulerOf("bench"), seconds(5)).has_value());
  std::mt19937_64 random(11);
  std::vector<double> full, handle;
  for (int i = 0; i < 3000; ++i) {
    const auto& chain = chains[random() % chains.size()];
    client::QuerySpec query;
    query.hashes = wire::HashList(chain.data(), 32, kChain);
    query.want_prefix = true;
    client::QueryResult result;
    Time start = MonotonicNow();
    client->Query({&query, 1}, {&result, 1});
    full.push_back(MicrosSince(start));
    HR_CHECK(result.hit_blocks == kChain && result.prefix != 0);
    client::QuerySpec again;
    again.prefix = result.prefix;
    again.prefix_blocks = kChain;
    start = MonotonicNow();
    client::QueryResult second;
    client->Query({&again, 1}, {&second, 1});
    handle.push_back(MicrosSince(start));
    HR_CHECK(second.hit_blocks == kChain);
    client->DropPrefixes({&result.prefix, 1});
  }
  const std::string how = ", 1 M resident blocks in random chains, random chain each time";
  Print({"engine.query512.client", Median(full), "us", 100, 0, 0, 3000, Spread(full),
         "512 hashes of 32 bytes sent and kept" + how + "; limit is the bar"});
  Print({"engine.query512.handle", Median(handle), "us", 40, 0, 0, 3000, Spread(handle),
         "the same prefix by its handle" + how + "; limit is the bar"});
}

}  // namespace headrace::bench
