#include "server/requests.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "server/test_doubles.h"

namespace headrace::server {
namespace {

constexpr uint64_t kEpoch = 0xabcdef0123456789;

// Stands for the core, the table's owner and the client.
struct Fixture final : SessionHost, RequestHost {
  Fixture() {
    table.Add(std::move(sockets.server), Peer{.local = true, .uid = 5, .pid = 6});
    session = table.Find(1);
    HR_CHECK(session != nullptr);
  }

  void OnFrame(Session& from, std::span<const uint8_t> payload) override {
    router.Handle(from, payload);
  }
  void OnBadStream(Session& from, const Error& error) override { router.OnBadStream(from, error); }
  void OnClosing(Session& from) override { closing.insert(from.id()); }

  void Apply(const engine::Command& command) override {
    commands.push_back(command.index());
    if (const auto* query = std::get_if<engine::Query>(&command)) last_request = query->request;
    if (const auto* save = std::get_if<engine::Save>(&command)) last_request = save->request;
    if (std::holds_alternative<engine::OpenSession>(command) && open_error.code != Errc::kOk) {
      router.OnReply({.session = 1, .type = wire::MessageType::kHello, .error = open_error});
    }
    const auto* join = std::get_if<engine::Register>(&command);
    if (join == nullptr) return;
    engine::Reply reply{.session = join->session,
                        .request = join->request,
                        .type = wire::MessageType::kRegister,
                        .error = join_error,
                        .body = wire::EmptyReply{}};
    if (join_error.code == Errc::kOk) reply.body = wire::RegisterReply{3, 11};
    router.OnReply(reply);
  }
  bool draining() const override { return is_draining; }
  std::string StatusJson() override { return "{\"status\":1}"; }

  // Sends one request and returns the replies that came back.
  std::vector<wire::ReplyFrame> Ask(uint64_t id, wire::Request body) {
    return Take(Encoded(id, std::move(body)));
  }
  std::vector<wire::ReplyFrame> Take(const std::string& bytes) {
    if (!bytes.empty()) sockets.Send(bytes);
    loop.Fire(loop.watched.empty() ? -1 : loop.watched.begin()->first, EPOLLIN);
    table.Flush();
    received = sockets.Received();
    std::vector<wire::ReplyFrame> replies;
    for (size_t at = 0; at < received.size();) {
      uint32_t length = 0;
      std::memcpy(&length, received.data() + at, 4);
      const auto* data = reinterpret_cast<const uint8_t*>(received.data()) + at + 4;
      auto reply = wire::DecodeReply({data, length});
      HR_CHECK(reply.has_value());
      replies.push_back(*reply);
      at += 4 + length;
    }
    return replies;
  }
  void SayHello() { ASSERT_EQ(Ask(1, wire::Hello{.instance = "i"}).size(), 1u); }
  uint64_t Applied(size_t index) const {
    return static_cast<uint64_t>(std::count(commands.begin(), commands.end(), index));
  }
  template <typename T>
  static constexpr size_t IndexOf() {
    return engine::Command(T{}).index();
  }

  SocketPair sockets;
  FakeLoop loop;
  FakeMover mover;
  BufferBook buffers{&mover};
  std::unique_ptr<Metrics> metrics = Metrics::Create();
  RpcMetrics rpc{metrics.get()};
  PodBoard pods;
  SessionTable table{&loop, SessionLimits{}, this};
  RequestRouter router{
      {.epoch = kEpoch, .max_frame = 4096, .max_sessions = 1, .max_lease = seconds(60)},
      {.host = this, .sessions = &table, .buffers = &buffers, .rpc = &rpc, .pods = &pods}};
  Session* session = nullptr;
  std::vector<size_t> commands;
  RequestId last_request = 0;
  std::set<SessionId> closing;
  Error open_error{Errc::kOk, 0, ""};
  Error join_error{Errc::kOk, 0, ""};
  bool is_draining = false;
  std::string received;
};

TEST(RequestRouter, AnswersHelloWithTheEpochAndTheSharedCapabilities) {
  Fixture f;
  const auto replies =
      f.Ask(9, wire::Hello{.instance = "i", .capabilities = wire::kCapGates | 256});
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].id, 9u);
  EXPECT_EQ(replies[0].epoch, kEpoch);
  const auto& hello = std::get<wire::HelloReply>(replies[0].body);
  EXPECT_EQ(hello.capabilities, uint64_t{wire::kCapGates});
  EXPECT_EQ(hello.max_frame, 4096u);
  EXPECT_EQ(hello.lease_ms, 60'000);
  EXPECT_EQ(f.Applied(Fixture::IndexOf<engine::OpenSession>()), 1u);
}

TEST(RequestRouter, PutsOutAConnectionThatBeginsOtherwise) {
  Fixture f;
  const auto replies = f.Ask(2, wire::Ping{});
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].code, Errc::kInvalid);
  EXPECT_EQ(f.table.size(), 0u);
  EXPECT_TRUE(f.commands.empty());
}

TEST(RequestRouter, RefusesASecondHello) {
  Fixture f;
  f.SayHello();
  EXPECT_EQ(f.Ask(2, wire::Hello{})[0].code, Errc::kInvalid);
  EXPECT_EQ(f.Ask(3, wire::Ping{})[0].code, Errc::kOk);
}

TEST(RequestRouter, RefusesSessionsOverTheLimit) {
  Fixture f;
  f.SayHello();
  SocketPair second;
  const int fd = second.server.get();
  f.table.Add(std::move(second.server), Peer{});
  second.Send(Encoded(1, wire::Hello{}));
  f.loop.Fire(fd, EPOLLIN);
  f.table.Flush();
  EXPECT_NE(second.Received().find("max-sessions"), std::string::npos);
  EXPECT_TRUE(second.HungUp());
  EXPECT_EQ(f.router.counters().limit_sessions, 1u);
}

TEST(RequestRouter, PutsOutASessionThatTheCoreRefuses) {
  Fixture f;
  f.open_error = {Errc::kLimit, 0, "too many instances"};
  const auto replies = f.Ask(4, wire::Hello{.instance = "i"});
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].id, 4u);
  EXPECT_EQ(replies[0].code, Errc::kLimit);
  EXPECT_EQ(replies[0].text, "too many instances");
  EXPECT_EQ(f.table.size(), 0u);
  EXPECT_EQ(f.router.open_sessions(), 0u);
  EXPECT_TRUE(f.closing.empty());
}

TEST(RequestRouter, NamesTheFieldOfAMalformedRequestAndGoesOn) {
  Fixture f;
  f.SayHello();
  // [4, 77, "x"]: a query whose registration is a text.
  const std::string bad = std::string("\x05\x00\x00\x00", 4) + "\x93\x04\x4d\xa1x";
  const auto replies = f.Take(bad);
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].id, 77u);
  EXPECT_EQ(replies[0].code, Errc::kInvalid);
  EXPECT_NE(replies[0].text.find("registration"), std::string_view::npos);
  EXPECT_EQ(f.router.counters().malformed, 1u);
  EXPECT_EQ(f.Ask(3, wire::Ping{})[0].code, Errc::kOk);
}

TEST(RequestRouter, PutsOutAStreamThatIsNoProtocol) {
  Fixture f;
  f.SayHello();
  const auto replies = f.Take(RawFrame(6, '\xc1'));
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].id, 0u);
  EXPECT_EQ(f.closing.size(), 1u);
}

TEST(RequestRouter, AnswersARequestOnceTheCoreDoes) {
  Fixture f;
  f.SayHello();
  EXPECT_TRUE(f.Ask(5, wire::Save{}).empty());
  EXPECT_EQ(f.last_request, 5u);
  EXPECT_EQ(f.session->running(), 1u);
  f.router.OnReply({.session = 1,
                    .request = 5,
                    .type = wire::MessageType::kSave,
                    .body = wire::SaveReply{.stored = 4}});
  const auto replies = f.Take("");
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(std::get<wire::SaveReply>(replies[0].body).stored, 4u);
  EXPECT_EQ(f.session->running(), 0u);
}

TEST(RequestRouter, RefusesANumberThatIsStillRunning) {
  Fixture f;
  f.SayHello();
  EXPECT_TRUE(f.Ask(5, wire::Save{}).empty());
  const auto replies = f.Ask(5, wire::Save{});
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].code, Errc::kInvalid);
  EXPECT_EQ(f.session->running(), 1u);
  EXPECT_EQ(f.Applied(Fixture::IndexOf<engine::Save>()), 1u);
}

TEST(RequestRouter, KeepsSilentRequestsApartAndUnanswered) {
  Fixture f;
  f.SayHello();
  EXPECT_TRUE(f.Ask(0, wire::Save{}).empty());
  const RequestId first = f.last_request;
  EXPECT_TRUE(f.Ask(0, wire::Save{}).empty());
  EXPECT_NE(f.last_request, first);
  f.router.OnReply({.session = 1, .request = first, .type = wire::MessageType::kSave});
  EXPECT_TRUE(f.Take("").empty());
}

TEST(RequestRouter, RefusesNumbersThatItKeepsForItself) {
  Fixture f;
  f.SayHello();
  EXPECT_EQ(f.Ask(uint64_t{1} << 63, wire::Ping{})[0].code, Errc::kInvalid);
}

TEST(RequestRouter, AnswersWhatNeedsNoCore) {
  Fixture f;
  f.SayHello();
  EXPECT_EQ(f.Ask(2, wire::Release{{1, 2}})[0].code, Errc::kOk);
  EXPECT_EQ(f.Ask(3, wire::Cancel{9})[0].code, Errc::kOk);
  EXPECT_EQ(f.Ask(4, wire::DropHandle{{1}})[0].code, Errc::kOk);
  const auto status = f.Ask(5, wire::StatusRequest{});
  EXPECT_EQ(std::get<wire::StatusReply>(status[0].body).json, "{\"status\":1}");
  EXPECT_TRUE(f.Ask(0, wire::Release{{1}}).empty());
}

TEST(RequestRouter, BeginsNoWorkWhileTheServerShutsDown) {
  Fixture f;
  f.SayHello();
  f.is_draining = true;
  EXPECT_EQ(f.Ask(2, wire::Query{})[0].code, Errc::kUnavailable);
  EXPECT_EQ(f.Ask(3, wire::Load{})[0].code, Errc::kUnavailable);
  EXPECT_EQ(f.Ask(4, wire::Cancel{3})[0].code, Errc::kOk);
  EXPECT_EQ(f.Applied(Fixture::IndexOf<engine::Query>()), 0u);
}

wire::Register RankSpec() {
  wire::Register spec;
  spec.name_space = "weights";
  spec.block_tokens = 16;
  spec.buffers = {{.bytes = 1 << 16}};
  wire::GroupSpec group;
  group.layout = {
      .num_blocks = 16, .segment_bytes = 4096, .block_stride = 4096, .layer_offsets = {0}};
  spec.groups = {group};
  return spec;
}

TEST(RequestRouter, RegistersBuffersThatComeWithTheMessage) {
  Fixture f;
  f.SayHello();
  f.sockets.SendWith(Encoded(7, RankSpec()), {f.sockets.client.get()});
  const auto replies = f.Take("");
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(std::get<wire::RegisterReply>(replies[0].body).registration, 11u);
  EXPECT_EQ(f.buffers.size(), 1u);
  EXPECT_EQ(f.session->name_spaces.at(11), "weights");
}

TEST(RequestRouter, KeepsThePodsOfARegistrationUntilItEnds) {
  Fixture f;
  f.SayHello();
  const wire::Register spec{
      .name_space = "n", .block_tokens = 16, .pods = {"b", "a"}, .pods_model = "m"};
  ASSERT_EQ(f.Ask(2, spec)[0].code, Errc::kOk);
  const auto served = f.pods.Of("n");
  ASSERT_NE(served, nullptr);
  EXPECT_EQ(served->names, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(served->model, "m");
  f.Ask(3, wire::Unregister{11});
  EXPECT_EQ(f.pods.Of("n"), nullptr);
}

TEST(RequestRouter, ShowsNoPodsOfARefusedRegistration) {
  Fixture f;
  f.SayHello();
  f.join_error = {Errc::kExists, 0, "Register.world_size: differs"};
  const wire::Register spec{.name_space = "n", .block_tokens = 16, .pods = {"a"}};
  ASSERT_EQ(f.Ask(2, spec)[0].code, Errc::kExists);
  EXPECT_EQ(f.pods.Of("n"), nullptr);
}

TEST(RequestRouter, NamesWhatIsMissingInARegistration) {
  Fixture f;
  f.SayHello();
  const auto replies = f.Ask(7, RankSpec());
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].code, Errc::kInvalid);
  EXPECT_NE(replies[0].text.find("descriptors"), std::string_view::npos);
  EXPECT_EQ(f.session->running(), 0u);
  EXPECT_EQ(f.Applied(Fixture::IndexOf<engine::Register>()), 0u);
}

TEST(RequestRouter, UnmapsTheBuffersOfARefusedRegistration) {
  Fixture f;
  f.SayHello();
  f.join_error = {Errc::kExists, 0, "Register.world_size: differs"};
  f.sockets.SendWith(Encoded(7, RankSpec()), {f.sockets.client.get()});
  const auto replies = f.Take("");
  ASSERT_EQ(replies.size(), 1u);
  EXPECT_EQ(replies[0].code, Errc::kExists);
  EXPECT_EQ(f.buffers.size(), 0u);
  EXPECT_EQ(f.mover.dropped, f.mover.added);
}

}  // namespace
}  // namespace headrace::server
