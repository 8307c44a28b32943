#include "client/session.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <functional>

namespace headrace::client {
namespace {

using wire::MessageType;

constexpr Time kStart = Time(seconds(100));
constexpr uint64_t kHelloId = 1, kRegisterId = 2;

class SessionWithAPeer : public ::testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    link_ = std::make_shared<Link>(Fd(pair[0]));
    peer_ = Fd(pair[1]);
    buffer_ = Fd(::memfd_create("buffer", MFD_CLOEXEC));
    registration_ = {"model", 0, 2, 16, {{buffer_.get(), 0, 65536}}, {}};
    wire::GroupSpec group;
    group.layout = {16, 4096, 4096, 0, 1, {0}};
    registration_.groups.push_back(group);
  }
  Session Open(uint64_t number = 1) {
    Session session(link_, number, kStart);
    EXPECT_TRUE(session.SendHello(kHelloId, {"test", "instance", ""}).has_value());
    const auto owned = OwnedRegistration::Copy(registration_);
    EXPECT_TRUE(session.SendRegister(kRegisterId, *owned, 8).has_value());
    return session;
  }
  static wire::ReplyFrame Hello(uint64_t capabilities = wire::kCapGates, uint64_t epoch = 5) {
    return {MessageType::kHello, kHelloId, epoch,
            Errc::kOk,           "",       wire::HelloReply{"s", capabilities, 1, 65536, 1000}};
  }
  static wire::ReplyFrame Registered(uint64_t epoch = 5) {
    return {MessageType::kRegister, kRegisterId, epoch, Errc::kOk, "", wire::RegisterReply{1, 9}};
  }

  std::shared_ptr<Link> link_;
  Fd peer_;
  Fd buffer_;
  Registration registration_;
};

TEST_F(SessionWithAPeer, IsRegisteredAfterBothReplies) {
  Session session = Open();
  EXPECT_TRUE(session.registering());
  EXPECT_EQ(*session.OnReply(Hello()), Session::Answer::kTaken);
  EXPECT_TRUE(session.greeted());
  EXPECT_EQ(session.max_frame(), 65536u);
  EXPECT_EQ(*session.OnReply(Registered()), Session::Answer::kTaken);
  EXPECT_TRUE(session.registered());
  EXPECT_EQ(session.registration(), 9u);
  EXPECT_NE(session.gates(), nullptr);
  EXPECT_EQ(*session.OnReply({.type = MessageType::kPing, .id = 3, .epoch = 5}),
            Session::Answer::kNotOurs);
}

TEST_F(SessionWithAPeer, UsesNoGatesThatTheServerDoesNotKnow) {
  Session session = Open();
  ASSERT_TRUE(session.OnReply(Hello(wire::kCapHandles)).has_value());
  EXPECT_EQ(session.gates(), nullptr);
}

TEST_F(SessionWithAPeer, RegistersAgainAfterARefusal) {
  Session session = Open();
  ASSERT_TRUE(session.OnReply(Hello()).has_value());
  wire::ReplyFrame refusal = Registered();
  refusal.code = Errc::kExists;
  refusal.body = wire::EmptyReply{};
  EXPECT_EQ(*session.OnReply(refusal), Session::Answer::kRefused);
  EXPECT_FALSE(session.registering());
}

TEST_F(SessionWithAPeer, TakesNoReplyThatBreaksTheProtocol) {
  const auto code = [this](std::vector<wire::ReplyFrame> replies) {
    Session session = Open();
    Errc last = Errc::kOk;
    for (const wire::ReplyFrame& reply : replies) {
      const auto answer = session.OnReply(reply);
      last = answer ? Errc::kOk : answer.error().code;
    }
    return last;
  };
  EXPECT_EQ(code({Hello(), Registered(6)}), Errc::kCorrupt);  // another epoch
  EXPECT_EQ(code({Hello(), Hello()}), Errc::kCorrupt);
  EXPECT_EQ(code({Registered()}), Errc::kCorrupt);  // before Hello
  EXPECT_EQ(code({Hello(), Registered(), Registered()}), Errc::kCorrupt);
  wire::ReplyFrame wrong_type = Hello();
  wrong_type.type = MessageType::kQuery;
  EXPECT_EQ(code({wrong_type}), Errc::kCorrupt);
  wire::ReplyFrame empty = Hello();
  empty.body = wire::EmptyReply{};
  EXPECT_EQ(code({empty}), Errc::kCorrupt);
}

TEST_F(SessionWithAPeer, NumbersLeasesByServerAndPrefixesByConnection) {
  Session first = Open(1), second = Open(2), other = Open(3);
  ASSERT_TRUE(first.OnReply(Hello()) && second.OnReply(Hello()));
  ASSERT_TRUE(other.OnReply(Hello(wire::kCapGates, 6)).has_value());
  EXPECT_EQ(first.LeaseIn(first.LeaseOut(7)), 7u);
  EXPECT_EQ(first.PrefixIn(first.PrefixOut(7)), 7u);
  EXPECT_EQ(second.LeaseIn(first.LeaseOut(7)), 7u);
  EXPECT_NE(other.LeaseIn(first.LeaseOut(7)), 7u);
  EXPECT_NE(second.PrefixIn(first.PrefixOut(7)), 7u);
  EXPECT_EQ(first.LeaseOut(0), 0u);
  EXPECT_EQ(first.PrefixIn(0), 0u);
}

TEST_F(SessionWithAPeer, ChecksARegistrationBeforeItIsSent) {
  const auto refusal = [this](const std::function<void(Registration*)>& change) {
    Registration wrong = registration_;
    change(&wrong);
    const auto copy = OwnedRegistration::Copy(wrong);
    return std::string(copy ? "" : copy.error().what);
  };
  EXPECT_EQ(refusal([](auto*) {}), "");
  EXPECT_EQ(refusal([](auto* r) { r->name_space = ""; }), "namespace must have 1 to 256 bytes");
  EXPECT_EQ(refusal([](auto* r) { r->name_space.assign(257, 'n'); }),
            "namespace must have 1 to 256 bytes");
  EXPECT_EQ(refusal([](auto* r) { r->world_size = 257; }), "world_size must be 1 to 256");
  EXPECT_EQ(refusal([](auto* r) { r->rank = 2; }), "rank must be below world_size");
  EXPECT_EQ(refusal([](auto* r) { r->block_tokens = 0; }), "block_tokens must not be 0");
  EXPECT_EQ(refusal([](auto* r) { r->groups.clear(); }),
            "buffers and groups: a rank gives both, a scheduler neither");
  EXPECT_EQ(refusal([](auto* r) { r->groups[0].buffer = 1; }),
            "group.buffer must be an index into buffers");
  EXPECT_EQ(refusal([](auto* r) { r->buffers[0].fd = -1; }), "buffer.fd cannot be duplicated");
  EXPECT_NE(refusal([](auto* r) { r->buffers[0].bytes = 65535; }), "");
}

}  // namespace
}  // namespace headrace::client
