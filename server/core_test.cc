// The real core behind real frames, with a mover and a loop in the test's hands.
#include "server/core.h"

#include <gtest/gtest.h>
#include <sys/un.h>

#include <memory>

#include "engine/eviction_policy.h"
#include "server/listen.h"
#include "server/pool.h"
#include "server/test_doubles.h"

namespace headrace::server {
namespace {

constexpr uint64_t kEpoch = 77;
constexpr uint32_t kBlocks = 64;

ServerOptions SmallOptions(const std::string& folder) {
  ServerOptions options;
  options.pool_bytes = 4 << 20;
  options.page_bytes = 1 << 20;
  options.region_bytes = 4 << 20;
  options.lock_memory = "off";
  options.socket_path = folder + "/s";
  return options;
}

struct Fixture {
  Fixture() {
    char name[] = "/tmp/headrace-core-XXXXXX";
    HR_CHECK(::mkdtemp(name) != nullptr);
    folder = name;
    options = SmallOptions(folder);
    std::string message;
    auto made = CreatePool(options, kEpoch, &message);
    HR_CHECK(made.has_value());
    pool = std::move(*made);
    engine::Engine::Config config;
    config.limits = options.engine;
    config.seed = 1;
    engine = std::move(*engine::Engine::Create(pool.meta, std::move(config)));
    core = std::make_unique<Core>(options, kEpoch,
                                  Core::Parts{.loop = &loop,
                                              .engine = engine.get(),
                                              .mover = &mover,
                                              .rpc = &rpc,
                                              .board = &board,
                                              .status_json = [](const Snapshot&) { return "{}"; }});
    auto listener = UnixListener::Listen(options.socket_path, 0600, &message);
    HR_CHECK(listener.has_value());
    local = std::move(*listener);
    uint16_t port = 0;
    auto tcp = ListenTcp("127.0.0.1:0", &port, &message);
    HR_CHECK(tcp.has_value());
    HR_CHECK(core->Start(local.TakeFd(), std::move(*tcp)).has_value());
    core->AddPages(0, static_cast<uint32_t>(pool.pages.size()));
  }
  ~Fixture() {
    core.reset();
    local.RemoveFile();
    ::rmdir(folder.c_str());
  }

  // Everything that is readable, then the idle work: one turn of the loop.
  void Turn() {
    std::vector<int> fds;
    for (const auto& [fd, watcher] : loop.watched) fds.push_back(fd);
    for (const int fd : fds) {
      pollfd ready{fd, POLLIN, 0};
      if (fd >= 0 && ::poll(&ready, 1, 0) > 0) loop.Fire(fd, EPOLLIN);
    }
    for (int i = 0; i < 1000 && loop.idle(); ++i) {
    }
  }
  void MoverIsReadable() {
    loop.Fire(mover.event_fd(), EPOLLIN);
    for (int i = 0; i < 1000 && loop.idle(); ++i) {
    }
  }
  // Ends every job that the mover has.
  void FinishJobs(Errc code) {
    for (const wire::Ticket ticket : std::exchange(mover.submitted, {})) {
      mover.done.push_back({ticket, code == Errc::kOk ? uint64_t{4096} : 0, code});
    }
    MoverIsReadable();
  }

  Fd Connect() {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strcpy(to.sun_path, options.socket_path.c_str());
    HR_CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
    Turn();
    return fd;
  }
  wire::ReplyFrame Reply(const SocketPair& client) {
    Turn();
    received = client.Received();
    HR_CHECK(received.size() > 4);
    const auto* data = reinterpret_cast<const uint8_t*>(received.data()) + 4;
    return *wire::DecodeReply({data, received.size() - 4});
  }
  // A client that said hello and registered a buffer.
  SocketPair Rank() {
    SocketPair client;
    client.client = Connect();
    client.Send(Encoded(1, wire::Hello{.instance = "i"}));
    HR_CHECK(Reply(client).code == Errc::kOk);
    wire::Register spec{.name_space = "n", .block_tokens = 16};
    spec.buffers = {{.bytes = kBlocks * 4096}};
    wire::GroupSpec group;
    group.layout = {
        .num_blocks = kBlocks, .segment_bytes = 4096, .block_stride = 4096, .layer_offsets = {0}};
    spec.groups = {group};
    client.SendWith(Encoded(2, spec), {client.client.get()});
    HR_CHECK(Reply(client).code == Errc::kOk);
    return client;
  }
  void Save(const SocketPair& client, uint64_t id) {
    wire::Save save{.registration = 1};
    wire::SaveChain chain;
    chain.hashes = wire::HashList(hash.data(), 32, 1);
    chain.blocks = {3};
    save.chains = {chain};
    client.Send(Encoded(id, save));
    Turn();
  }

  std::string folder;
  ServerOptions options;
  FakeLoop loop;
  Pool pool;
  FakeMover mover;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  RpcMetrics rpc{metrics.get()};
  SnapshotBoard board;
  std::unique_ptr<Core> core;
  UnixListener local;
  std::array<uint8_t, 32> hash{9, 9, 9};
  std::string received;
};

TEST(Core, AnswersASaveWhenTheMoverIsDone) {
  Fixture f;
  const SocketPair client = f.Rank();
  f.Save(client, 5);
  EXPECT_EQ(f.mover.submitted.size(), 1u);
  EXPECT_TRUE(client.Received().empty());
  f.FinishJobs(Errc::kOk);
  const auto reply = f.Reply(client);
  EXPECT_EQ(reply.id, 5u);
  EXPECT_EQ(reply.epoch, kEpoch);
  EXPECT_EQ(std::get<wire::SaveReply>(reply.body).stored, 1u);
  f.core->Publish();
  const auto snapshot = f.board.Fresh({});
  ASSERT_EQ(snapshot->session_list.size(), 1u);
  EXPECT_EQ(snapshot->session_list[0].counts.saved_bytes, 4096u);
  EXPECT_EQ(snapshot->carrier.stored, 1u);
}

TEST(Core, KeepsTheSocketOfADeadClientUntilItsCopiesAreFenced) {
  Fixture f;
  SocketPair client = f.Rank();
  f.Save(client, 5);
  const auto tickets = f.mover.submitted;
  client.client.Reset();
  f.Turn();
  EXPECT_EQ(f.mover.cancelled, tickets);
  EXPECT_TRUE(f.mover.dropped.empty());
  f.core->Publish();
  EXPECT_EQ(f.board.Fresh({})->connections, 1u);
  f.FinishJobs(Errc::kCancelled);
  EXPECT_EQ(f.mover.dropped, f.mover.added);
  f.core->Publish();
  EXPECT_EQ(f.board.Fresh({})->connections, 0u);
  EXPECT_EQ(f.engine->stats().sessions, 0u);
}

TEST(Core, LetsCopiesEndBeforeItStops) {
  Fixture f;
  const SocketPair client = f.Rank();
  f.Save(client, 5);
  f.core->Drain();
  f.Turn();
  EXPECT_FALSE(f.loop.stopped);
  EXPECT_TRUE(f.mover.cancelled.empty());
  f.FinishJobs(Errc::kOk);
  EXPECT_FALSE(client.Received().empty());  // the reply to the save
  EXPECT_TRUE(client.HungUp());
  EXPECT_TRUE(f.loop.stopped);
}

TEST(Core, TakesNoConnectionWhileItDrains) {
  Fixture f;
  const SocketPair client = f.Rank();
  f.Save(client, 5);
  f.core->Drain();
  const Fd late(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::strcpy(to.sun_path, f.options.socket_path.c_str());
  EXPECT_NE(::connect(late.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
  client.Send(Encoded(9, wire::Query{.registration = 1}));
  EXPECT_EQ(f.Reply(client).code, Errc::kUnavailable);
}

TEST(Core, ClosesAtOnceWhenAskedTwice) {
  Fixture f;
  const SocketPair client = f.Rank();
  f.Save(client, 5);
  const auto tickets = f.mover.submitted;
  f.core->Drain();
  f.core->Drain();
  f.Turn();
  EXPECT_EQ(f.mover.cancelled, tickets);
  EXPECT_FALSE(f.loop.stopped);  // not fenced yet
  f.FinishJobs(Errc::kCancelled);
  EXPECT_TRUE(f.loop.stopped);
}

TEST(Core, CancelsCopiesThatDoNotEndInTime) {
  Fixture f;
  const SocketPair client = f.Rank();
  f.Save(client, 5);
  const auto tickets = f.mover.submitted;
  f.core->Drain();
  f.Turn();
  f.loop.Advance(f.options.drain.drain_copies);
  f.Turn();
  EXPECT_EQ(f.mover.cancelled, tickets);
  EXPECT_FALSE(f.loop.stopped);
  f.loop.Advance(f.options.drain.drain_fence);  // the mover does not answer
  f.Turn();
  EXPECT_TRUE(f.loop.stopped);
}

TEST(Core, EndsAJobThatTheMoverRefuses) {
  Fixture f;
  const SocketPair client = f.Rank();
  f.mover.refuse = true;
  f.Save(client, 5);
  const auto reply = f.Reply(client);
  EXPECT_EQ(reply.id, 5u);
  EXPECT_EQ(std::get<wire::SaveReply>(reply.body).failed, 1u);
}

TEST(Core, EndsASessionWithAnOversizedFrame) {
  Fixture f;
  const SocketPair client = f.Rank();
  client.Send("\xff\xff\xff\x7f");
  const auto reply = f.Reply(client);
  EXPECT_EQ(reply.code, Errc::kLimit);
  EXPECT_TRUE(client.HungUp());
  EXPECT_EQ(f.engine->stats().sessions, 0u);
}

}  // namespace
}  // namespace headrace::server
