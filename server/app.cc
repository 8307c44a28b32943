#include "server/app.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/log.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/stop_signals.h"
#include "base/version.h"
#include "engine/eviction_policy.h"
#include "net/address.h"
#include "server/core.h"
#include "server/core_thread.h"
#include "server/device.h"
#include "server/event_feed.h"
#include "server/event_publisher.h"
#include "server/growth.h"
#include "server/heir.h"
#include "server/http_api.h"
#include "server/index_part.h"
#include "server/listen.h"
#include "server/pool.h"
#include "server/rpc_metrics.h"
#include "server/status.h"

namespace headrace::server {
namespace {

constexpr const char* kMoverProgram = "headrace-mover";
// Longer than nearly all turns of the core, far shorter than what others get (3 ms).
constexpr Duration kCoreTurn = microseconds(100);
constexpr uint64_t kLargePool = 256ull << 20;  // takes the kernel long to unmap

uint64_t RandomWord() {
  uint64_t word = 0;
  while (word == 0) {
    const ssize_t got = ::getrandom(&word, sizeof(word), 0);
    HR_CHECK(got == sizeof(word));  // 8 bytes are never cut short
  }
  return word;
}

// Each session takes a descriptor, each buffer up to two: the soft limit is often only 1024.
void RaiseOpenFiles() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) HR_WARN("the limit of open files cannot be raised");
}

// As told, or beside this program, or where a build tree has it.
std::string MoverProgram(const ServerOptions& options) {
  if (!options.mover_program.empty()) return options.mover_program;
  char path[4096];
  const ssize_t length = ::readlink("/proc/self/exe", path, sizeof(path) - 1);
  const std::string program(path, static_cast<size_t>(std::max<ssize_t>(length, 0)));
  const std::string folder = program.substr(0, program.rfind('/') + 1);
  const std::string beside = folder + kMoverProgram;
  const std::string built = folder + "../transport/" + kMoverProgram;
  return ::access(beside.c_str(), X_OK) != 0 && ::access(built.c_str(), X_OK) == 0 ? built : beside;
}

// "127.0.0.1:0" with the port that was bound.
std::string WithPort(const std::string& address, uint16_t port) {
  return address.substr(0, address.rfind(':') + 1) + std::to_string(port);
}

tl::unexpected<Error> Refuse(std::string* message, std::string text, const Error& error) {
  *message = std::move(text);
  if (error.os != 0) *message += fmt::format(" ({})", std::strerror(error.os));
  return Fail(error);
}

// What is bound before anything else, so that a second server is refused at once.
struct Sockets {
  UnixListener local;
  Fd remote;
  uint16_t port = 0;
  std::unique_ptr<net::HttpServer> http;
};

Result<Sockets> Bind(const ServerOptions& options, std::string* message) {
  Sockets sockets;
  HR_TRY(sockets.local,
         UnixListener::Listen(options.socket_path, options.socket_permission, message));
  HR_TRY(sockets.remote, ListenTcp(options.addr, &sockets.port, message));
  auto http = net::HttpServer::Listen(options.http_addr, options.http);
  if (!http) {
    const bool in_use = http.error().os == EADDRINUSE;
    return Refuse(message,
                  in_use ? fmt::format("--http-addr: {} is in use by another program; name "
                                       "another port",
                                       options.http_addr)
                         : fmt::format("--http-addr: {}: {}; write for example 127.0.0.1:9091",
                                       options.http_addr, http.error().what),
                  in_use ? Error{Errc::kIo, 0, "address in use"} : http.error());
  }
  sockets.http = std::move(*http);
  return sockets;
}

Result<std::unique_ptr<transport::Mover>> MakeMover(const ServerOptions& options, const Pool& pool,
                                                    std::string* message) {
  transport::MoverOptions mover_options;
  mover_options.threads = options.copy.mover_threads;
  mover_options.ring_blocks = options.copy.mover_ring_blocks;
  mover_options.chunk_bytes = options.copy.mover_chunk_bytes;
  if (options.mover == "process") mover_options.program = MoverProgram(options);
  auto mover = transport::CreateMover(mover_options);
  if (!mover) {
    return Refuse(message, fmt::format("--mover {}: {}", options.mover, mover.error().what),
                  mover.error());
  }
  for (const auto& region : pool.regions) {
    const Status added = (*mover)->AddRegion(region);
    if (!added) {
      return Refuse(message, fmt::format("--pool-size: {}", added.error().what), added.error());
    }
  }
  return std::move(*mover);
}

Result<std::unique_ptr<engine::Engine>> MakeEngine(const ServerOptions& options, const Pool& pool,
                                                   std::string* message) {
  engine::Engine::Config config;
  config.limits = options.engine;
  config.seed = RandomWord();
  auto engine = engine::Engine::Create(pool.meta, std::move(config));
  if (!engine) {
    return Refuse(message, fmt::format("--pool-size: {}", engine.error().what), engine.error());
  }
  return std::move(*engine);
}

ServerInfo Describe(const ServerOptions& options, const Pool& pool, const transport::Mover& mover,
                    const Sockets& sockets) {
  return {.version = Version(),
          .built = BuiltWith(),
          .epoch = pool.meta.header().server_epoch,
          .started = MonotonicNow(),
          .pid = ::getpid(),
          .device = options.devices[0],
          .host_id = options.host_id,
          .mover = mover.Describe(),
          .socket = options.socket_path,
          .addr = WithPort(options.addr, sockets.port),
          .http_addr = WithPort(options.http_addr, sockets.http->port()),
          .pages = pool.PagesKind(),
          .locked = pool.lock};
}

// The parts, in the order in which they are made; destroyed from the last to the first.
struct Server {
  std::unique_ptr<Loop> loop;
  Pool pool;
  std::unique_ptr<Metrics> metrics;
  std::unique_ptr<RpcMetrics> rpc;
  SnapshotBoard board;
  ServerInfo info;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<transport::Mover> mover;
  std::unique_ptr<PoolGrowth> growth;
  PodBoard pods;
  std::unique_ptr<EventQueue> event_queue;  // this and the next two: null without events
  std::unique_ptr<EventPublisher> publisher;
  std::unique_ptr<EventFeed> events;
  std::unique_ptr<IndexPart> index;  // null without an index
  std::unique_ptr<Core> core;
  Sockets sockets;
};

std::string MachineName() {
  char name[256] = {};
  return ::gethostname(name, sizeof(name) - 1) == 0 && name[0] != 0 ? name : "localhost";
}

Status MakeEvents(const ServerOptions& options, Server* server, std::string* message) {
  if (!options.events.on()) return {};
  const EventLimits& limits = options.event_limits;
  server->event_queue = std::make_unique<EventQueue>(limits.queue_events, limits.queue_bytes);
  std::string node = options.events.topic_node;
  if (node.empty()) node = DefaultTopicNode(server->info.addr, MachineName());
  HR_TRY(server->publisher, EventPublisher::Create({.options = options.events,
                                                    .limits = limits,
                                                    .node = std::move(node),
                                                    .max_topics = options.engine.max_namespaces,
                                                    .seed = RandomWord(),
                                                    .queue = server->event_queue.get(),
                                                    .pods = &server->pods},
                                                   message));
  server->events = std::make_unique<EventFeed>(
      EventFeed::Parts{.queue = server->event_queue.get(),
                       .engine = server->engine.get(),
                       .namespaces = server->pool.meta.namespaces(),
                       .wake = [publisher = server->publisher.get()] { publisher->Wake(); },
                       .token_ids = options.events.token_ids});
  return {};
}

EventTotals TotalsOf(const Server& server) {
  const EventNumbers numbers = server.publisher->numbers();
  return {.queue_depth = server.event_queue->size(),
          .published = numbers.stream.stored + numbers.stream.removed,
          .messages = numbers.stream.messages,
          .unsent = numbers.unsent,
          .gaps = numbers.stream.gaps,
          .kept_bytes = numbers.stream.kept_bytes,
          .forgotten = numbers.stream.forgotten,
          .resident = numbers.stream.resident,
          .replays = numbers.desk.replays,
          .snapshots = numbers.desk.snapshots,
          .refused = numbers.desk.refused,
          .malformed = numbers.desk.malformed,
          .abandoned = numbers.desk.abandoned,
          .clients_refused = numbers.clients_refused};
}

void ExportSequences(Server* server) {
  if (server->publisher == nullptr) return;
  server->metrics->OnScrape([metrics = server->metrics.get(), from = server->publisher.get()] {
    for (const auto& [topic, sequence] : from->numbers().last_sequences) {
      metrics
          ->GetGauge("headrace_events_last_sequence", "Of the last message of a topic",
                     {{"topic", topic}})
          ->Set(static_cast<double>(sequence));
    }
  });
}

Status Make(const ServerOptions& options, Server* server, std::string* message) {
  const uint64_t epoch = RandomWord();
  HR_TRY(server->sockets, Bind(options, message));
  auto loop = Loop::Create();
  if (!loop) return Refuse(message, loop.error().what, loop.error());
  server->loop = std::move(*loop);
  HR_TRY(server->pool, CreatePool(options, epoch, message));
  HR_TRY(server->mover, MakeMover(options, server->pool, message));
  HR_TRY(server->engine, MakeEngine(options, server->pool, message));
  server->metrics = Metrics::Create();
  server->rpc = std::make_unique<RpcMetrics>(server->metrics.get());
  server->info = Describe(options, server->pool, *server->mover, server->sockets);
  HR_RETURN_IF_ERROR(MakeEvents(options, server, message));
  if (options.index.on(options.pool_bytes)) {
    HR_TRY(server->index, IndexPart::Create(options.index,
                                            {.seed = RandomWord(),
                                             .max_body_bytes = options.http.max_body_bytes,
                                             .metrics = server->metrics.get()},
                                            message));
  }
  server->growth =
      std::make_unique<PoolGrowth>(&server->pool, [server](uint32_t first, uint32_t count) {
        server->loop->Post([server, first, count] { server->core->AddPages(first, count); });
      });
  server->core = std::make_unique<Core>(
      options, epoch,
      Core::Parts{.loop = server->loop.get(),
                  .engine = server->engine.get(),
                  .mover = server->mover.get(),
                  .rpc = server->rpc.get(),
                  .board = &server->board,
                  .status_json =
                      [server](const Snapshot& snapshot) {
                        return StatusJson(server->info, snapshot, server->growth->progress());
                      },
                  .events = server->events.get(),
                  .event_totals = [server] { return TotalsOf(*server); },
                  .pods = server->events == nullptr ? nullptr : &server->pods,
                  .pods_changed = [server] { server->publisher->Wake(); }});
  return {};
}

// After all that can refuse the start: such a start writes one line.
void LogStart(const ServerOptions& options, const Server& server) {
  for (const auto& option : options.effective) {
    if (option.source == "default") continue;
    HR_INFO("option {} is {} by {}", option.name, option.value, option.source);
  }
  if (!server.pool.warning.empty()) HR_WARN("{}", server.pool.warning);
  for (const std::string& address : {options.addr, options.http_addr}) {
    const auto parsed = net::ParseHostPort(address);
    if (!parsed || net::IsLoopback(parsed->host)) continue;
    HR_WARN("{} is open to whoever reaches it: no token is asked{}", address,
            options.index.token_file.empty() ? "" : " but for the index");
  }
  const ServerInfo& info = server.info;
  HR_INFO("serving on {}, {}, HTTP {}; pool {}, {} pages; {}", info.socket, info.addr,
          info.http_addr, FormatSize(server.pool.total_bytes), info.pages, info.mover);
}

Status Serve(const ServerOptions& options, Server* server, StopSignals* signals,
             std::string* message) {
  Loop* const loop = server->loop.get();
  Core* const core = server->core.get();
  server->board.SetAsk([loop, core] { loop->Post([core] { core->Publish(); }); });
  const HttpSources sources{&server->info, server->growth.get(), &server->board,
                            server->metrics.get()};
  ExportMetrics(options, sources);
  ExportSequences(server);
  AddPages(server->sockets.http.get(), sources);
  if (server->index != nullptr) {
    server->index->AddRoutes(server->sockets.http.get());
    server->index->ExportMetrics();
    server->index->Start();
  }
  Status watched = loop->Watch(signals->fd(), EPOLLIN, [server, signals](uint32_t) {
    signals->Drain();
    server->growth->RequestStop();
    server->sockets.local.RemoveFile();
    server->core->Drain();
  });
  if (watched) {
    watched = core->Start(server->sockets.local.TakeFd(), std::move(server->sockets.remote));
  }
  if (!watched) return Refuse(message, watched.error().what, watched.error());
  if (server->publisher != nullptr) {
    if (const Status started = server->publisher->Start(); !started) {
      return Refuse(message, started.error().what, started.error());
    }
    HR_INFO("events on {}, replay on {}", server->publisher->endpoint(),
            server->publisher->replay_endpoint());
  }
  LogStart(options, *server);
  server->sockets.http->Start();
  server->growth->Start();
  if (const Status asked = AskForShortTurns(kCoreTurn); !asked) {
    HR_WARN("{}: {}; on a busy machine answers come later", asked.error().what,
            std::strerror(asked.error().os));
  }
  loop->Run();
  return {};
}

}  // namespace

Status RunServer(const ServerOptions& options, std::string* message) {
  HR_RETURN_IF_ERROR(SetLogLevel(options.log_level));
  HR_RETURN_IF_ERROR(CheckDevice(options, HasCudaDriver(), message));
  auto signals = StopSignals::Catch();
  if (!signals) return Refuse(message, signals.error().what, signals.error());
  RaiseOpenFiles();
  Server server;
  HR_RETURN_IF_ERROR(Make(options, &server, message));
  const Status served = Serve(options, &server, &*signals, message);
  // Others may still post to the loop until here.
  server.growth->RequestStop();
  server.growth->Join();
  server.sockets.http.reset();
  server.loop->Unwatch(signals->fd());
  if (!served) return served;
  HR_INFO("stopped");
  if (server.pool.total_bytes >= kLargePool) ExitLeavingMemory(0);
  return {};
}

}  // namespace headrace::server
