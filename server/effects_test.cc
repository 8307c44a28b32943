#include "server/effects.h"

#include <gtest/gtest.h>

#include "server/test_doubles.h"

namespace headrace::server {
namespace {

struct Sink final : EffectSink {
  void OnReply(const engine::Reply& reply) override { replies.push_back(reply.request); }
  void OnMoved(SessionId session, wire::Direction direction, uint64_t bytes) override {
    moved.push_back({session, bytes});
    last_direction = direction;
  }
  void OnGone(SessionId session) override { gone.push_back(session); }

  std::vector<RequestId> replies;
  std::vector<std::pair<SessionId, uint64_t>> moved;
  std::vector<SessionId> gone;
  wire::Direction last_direction{};
};

wire::Register OneBuffer() {
  wire::Register spec;
  spec.name_space = "n";
  spec.block_tokens = 16;
  spec.buffers = {{.kind = wire::BufferKind::kDescriptor, .bytes = 1 << 20}};
  wire::GroupSpec group;
  group.layout = {
      .num_blocks = 16, .segment_bytes = 4096, .block_stride = 4096, .layer_offsets = {0, 1 << 16}};
  spec.groups = {group};
  return spec;
}

struct Fixture {
  Fixture() {
    std::vector<Fd> descriptors;
    descriptors.emplace_back(::dup(0));
    std::string why;
    auto ids = buffers.Add(session, OneBuffer(), descriptors, &why);
    HR_CHECK(ids && ids->size() == 1);
    buffer = ids->front();
  }
  void Copy(wire::Ticket ticket) {
    effects.copies.push_back({.ticket = ticket, .buffer = buffer, .blocks = {{0, 0, 1}}});
    carrier.Carry(&effects);
  }

  SocketPair sockets;
  Session session{42, std::move(sockets.server), Peer{.local = true, .uid = 1, .pid = 1}, {}};
  FakeMover mover;
  BufferBook buffers{&mover};
  Sink sink;
  EffectCarrier carrier{&mover, &buffers, &sink};
  engine::Effects effects;
  wire::BufferId buffer = 0;
};

TEST(EffectCarrier, CarriesEverythingAndClears) {
  Fixture f;
  f.effects.replies.push_back({.session = 42, .request = 5});
  f.effects.copies.push_back({.ticket = 1, .buffer = f.buffer});
  f.effects.cancels.push_back({.ticket = 77});
  f.effects.gone.push_back({.session = 42});
  f.effects.events = {engine::BlockStored{}, engine::BlockRemoved{}, engine::BlockStored{},
                      engine::BlockRemoved{}, engine::BlockStored{}};
  f.carrier.Carry(&f.effects);
  EXPECT_EQ(f.sink.replies, std::vector<RequestId>{5});
  EXPECT_EQ(f.mover.submitted, std::vector<wire::Ticket>{1});
  EXPECT_EQ(f.mover.cancelled, std::vector<wire::Ticket>{77});
  EXPECT_EQ(f.sink.gone, std::vector<SessionId>{42});
  EXPECT_EQ(f.carrier.counters().stored, 3u);
  EXPECT_EQ(f.carrier.counters().removed, 2u);
  EXPECT_TRUE(f.effects.replies.empty() && f.effects.copies.empty() && f.effects.gone.empty());
}

TEST(EffectCarrier, HoldsCopiesBackInOrderWhileTheRingIsFull) {
  Fixture f;
  f.mover.room = 1;
  for (wire::Ticket ticket : {1, 2, 3}) f.Copy(ticket);
  EXPECT_EQ(f.mover.submitted, std::vector<wire::Ticket>{1});
  EXPECT_EQ(f.carrier.jobs_held(), 2u);
  f.mover.room = 2;
  f.carrier.Retry();
  f.Copy(4);  // may not overtake 3
  EXPECT_EQ(f.mover.submitted, (std::vector<wire::Ticket>{1, 2}));
  f.mover.room = 9;
  f.carrier.Retry();
  EXPECT_EQ(f.mover.submitted, (std::vector<wire::Ticket>{1, 2, 3, 4}));
  EXPECT_TRUE(f.carrier.TakeEnded().empty());
}

TEST(EffectCarrier, EndsACancelledCopyThatTheMoverNeverSaw) {
  Fixture f;
  f.mover.room = 0;
  f.Copy(1);
  f.Copy(2);
  f.effects.cancels.push_back({.ticket = 1});
  f.carrier.Carry(&f.effects);
  const auto ended = f.carrier.TakeEnded();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].ticket, 1u);
  EXPECT_EQ(ended[0].code, Errc::kCancelled);
  EXPECT_TRUE(f.mover.cancelled.empty());
  f.mover.room = 9;
  f.carrier.Retry();
  EXPECT_EQ(f.mover.submitted, std::vector<wire::Ticket>{2});
}

TEST(EffectCarrier, EndsACopyThatTheMoverRefuses) {
  Fixture f;
  f.mover.refuse = true;
  f.Copy(1);
  const auto ended = f.carrier.TakeEnded();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].code, Errc::kIo);
  EXPECT_TRUE(f.carrier.idle());
}

TEST(EffectCarrier, CountsMovedBytesForTheOwnerOfTheBuffer) {
  Fixture f;
  f.effects.copies.push_back(
      {.ticket = 1, .direction = wire::Direction::kLoad, .buffer = f.buffer});
  f.carrier.Carry(&f.effects);
  EXPECT_FALSE(f.carrier.idle());
  EXPECT_TRUE(f.carrier.OnCompletion({.ticket = 1, .bytes = 8192}));
  ASSERT_EQ(f.sink.moved.size(), 1u);
  EXPECT_EQ(f.sink.moved[0], (std::pair<SessionId, uint64_t>{42, 8192}));
  EXPECT_EQ(f.sink.last_direction, wire::Direction::kLoad);
  EXPECT_TRUE(f.carrier.idle());
}

TEST(EffectCarrier, DoesNotPassOnASecondAnswerToATicket) {
  Fixture f;
  f.Copy(1);
  EXPECT_TRUE(f.carrier.OnCompletion({.ticket = 1}));
  EXPECT_FALSE(f.carrier.OnCompletion({.ticket = 1}));
}

TEST(EffectCarrier, UnmapsDroppedBuffersOnce) {
  Fixture f;
  f.effects.dropped_buffers.push_back({f.buffer});
  f.effects.dropped_buffers.push_back({f.buffer});
  f.carrier.Carry(&f.effects);
  EXPECT_EQ(f.mover.dropped, std::vector<wire::BufferId>{f.buffer});
  EXPECT_EQ(f.buffers.size(), 0u);
}

}  // namespace
}  // namespace headrace::server
