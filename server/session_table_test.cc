#include "server/session_table.h"

#include <gtest/gtest.h>

#include <memory>

#include "server/test_doubles.h"

namespace headrace::server {
namespace {

// Says hello for every session at its first frame; closes as the core would: by a later Remove.
struct Host final : SessionHost {
  void OnFrame(Session& session, std::span<const uint8_t> payload) override {
    session.state = Session::State::kOpen;
    frames.emplace_back(payload.begin(), payload.end());
    if (answer) table->Queue(session, {.type = wire::MessageType::kPing, .id = 1, .epoch = 9});
    if (frames.back() == "out") table->PutOut(session);
  }
  void OnBadStream(Session& session, const Error& error) override {
    bad.push_back(error);
    table->Queue(session, {.id = 0, .code = error.code, .text = error.what});
  }
  void OnClosing(Session& session) override { closing.push_back(session.id()); }

  SessionTable* table = nullptr;
  bool answer = false;
  std::vector<std::string> frames;
  std::vector<Error> bad;
  std::vector<SessionId> closing;
};

struct Fixture {
  explicit Fixture(SessionLimits limits = {}) : table(&loop, limits, &host) {
    host.table = &table;
    Connect();
  }
  void Connect() {
    pairs.push_back(std::make_unique<SocketPair>());
    server_fd = pairs.back()->server.get();
    table.Add(std::move(pairs.back()->server), Peer{});
  }
  SocketPair& client() { return *pairs.back(); }
  void Readable() { loop.Fire(server_fd, EPOLLIN); }

  FakeLoop loop;
  Host host;
  SessionTable table;
  std::vector<std::unique_ptr<SocketPair>> pairs;
  int server_fd = -1;
};

TEST(SessionTable, AnswersInTheTurnInWhichTheFrameCame) {
  Fixture f;
  f.host.answer = true;
  f.client().Send(RawFrame(2));
  f.Readable();
  EXPECT_EQ(f.host.frames.size(), 1u);
  EXPECT_FALSE(f.client().Received().empty());
}

TEST(SessionTable, ServesAFewFramesOfASessionInATurn) {
  Fixture f({.frames_per_turn = 3});
  std::string frames;
  for (int i = 0; i < 7; ++i) frames += RawFrame(1);
  f.client().Send(frames);
  f.Readable();
  EXPECT_EQ(f.host.frames.size(), 3u);
  EXPECT_TRUE(f.table.ServeReady());
  EXPECT_EQ(f.host.frames.size(), 6u);
  EXPECT_FALSE(f.table.ServeReady());
  EXPECT_EQ(f.host.frames.size(), 7u);
}

TEST(SessionTable, ServesWhatCameBeforeTheHangUp) {
  Fixture f({.frames_per_turn = 1});
  f.client().Send(RawFrame(1) + RawFrame(1));
  f.client().client.Reset();
  f.Readable();
  f.Readable();
  EXPECT_TRUE(f.host.closing.empty());
  while (f.table.ServeReady()) {
  }
  f.Readable();
  EXPECT_EQ(f.host.frames.size(), 2u);
  EXPECT_EQ(f.host.closing.size(), 1u);
}

TEST(SessionTable, KeepsTheSocketOpenUntilTheHostRemovesTheSession) {
  Fixture f;
  f.client().Send(RawFrame(3, 'o').replace(4, 3, "out"));
  f.Readable();
  ASSERT_EQ(f.host.closing.size(), 1u);
  f.table.Flush();
  EXPECT_FALSE(f.client().HungUp());
  EXPECT_EQ(f.table.Find(f.host.closing[0]), nullptr);
  f.table.Remove(f.host.closing[0]);
  f.table.Flush();
  EXPECT_TRUE(f.client().HungUp());
  EXPECT_EQ(f.table.size(), 0u);
}

TEST(SessionTable, SaysWhyBeforeItPutsOutABrokenStream) {
  Fixture f;
  f.client().Send(RawFrame(1));
  f.Readable();
  f.client().Send("\xff\xff\xff\x7f");
  f.Readable();
  ASSERT_EQ(f.host.bad.size(), 1u);
  EXPECT_EQ(f.host.bad[0].code, Errc::kLimit);
  EXPECT_EQ(f.host.closing.size(), 1u);
  EXPECT_NE(f.client().Received().find("frame"), std::string::npos);
  EXPECT_EQ(f.table.counters().bad_streams, 1u);
}

TEST(SessionTable, PutsOutAClientThatDoesNotRead) {
  Fixture f({.max_output_bytes = 100'000});
  f.client().Send(RawFrame(1));
  f.Readable();
  Session* session = f.table.Find(1);
  ASSERT_NE(session, nullptr);
  const std::string json(50'000, 'j');
  for (int i = 0; i < 40 && f.host.closing.empty(); ++i) {
    f.table.Queue(*session,
                  {.type = wire::MessageType::kStatus, .id = 1, .body = wire::StatusReply{json}});
    f.table.Flush();
  }
  EXPECT_EQ(f.host.closing.size(), 1u);
  EXPECT_EQ(f.table.counters().overflowed, 1u);
}

TEST(SessionTable, SendsTheRestWhenThereIsRoom) {
  Fixture f;
  f.client().Send(RawFrame(1));
  f.Readable();
  Session* session = f.table.Find(1);
  ASSERT_NE(session, nullptr);
  const std::string json(2'000'000, 'j');
  f.table.Queue(*session,
                {.type = wire::MessageType::kStatus, .id = 1, .body = wire::StatusReply{json}});
  f.table.Flush();
  EXPECT_TRUE(session->wants_write);
  std::string all;
  for (int i = 0; i < 100 && session->unsent_bytes() > 0; ++i) {
    all += f.client().Received();
    f.loop.Fire(f.server_fd, EPOLLOUT);
  }
  all += f.client().Received();
  EXPECT_GT(all.size(), json.size());
  EXPECT_FALSE(session->wants_write);
}

TEST(SessionTable, ClosesAConnectionThatSaysNothing) {
  Fixture f({.hello_timeout = seconds(5)});
  f.loop.Advance(seconds(4));
  EXPECT_EQ(f.table.size(), 1u);
  f.loop.Advance(seconds(2));
  EXPECT_EQ(f.table.size(), 0u);
  EXPECT_TRUE(f.client().HungUp());
  EXPECT_TRUE(f.host.closing.empty());  // the core never knew it
  EXPECT_EQ(f.table.counters().hello_timeouts, 1u);
}

TEST(SessionTable, RefusesConnectionsOverItsLimit) {
  Fixture f({.max_connections = 1});
  f.Connect();
  EXPECT_TRUE(f.client().HungUp());
  EXPECT_EQ(f.table.size(), 1u);
  EXPECT_EQ(f.table.counters().refused, 1u);
}

TEST(Session, KnowsHowLongARequestRuns) {
  SocketPair sockets;
  Session session(1, std::move(sockets.server), Peer{}, SessionLimits{});
  EXPECT_TRUE(session.Begin(7, FromWire(100)));
  EXPECT_TRUE(session.Begin(8, FromWire(200)));
  EXPECT_FALSE(session.Begin(7, FromWire(300)));
  EXPECT_EQ(session.running(), 2u);
  EXPECT_EQ(session.End(7), FromWire(100));
  EXPECT_EQ(session.End(7), std::nullopt);
  EXPECT_TRUE(session.Begin(7, FromWire(400)));
}

}  // namespace
}  // namespace headrace::server
