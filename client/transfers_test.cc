#include "client/transfers.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "wire/copy.h"

namespace headrace::client {
namespace {

using wire::Gate;
using wire::MessageType;

constexpr Time kStart = Time(seconds(100));
constexpr Time kDeadline = kStart + seconds(30);

// A page of gates as a mover sees it, and transfers that use it.
class TransfersWithGates : public ::testing::Test {
 protected:
  void SetUp() override {
    gates_ = *GatePage::Create(kWords);
    void* memory = ::mmap(nullptr, kWords * 4, PROT_READ | PROT_WRITE, MAP_SHARED, gates_->fd(), 0);
    ASSERT_NE(memory, MAP_FAILED);
    words_ = static_cast<uint32_t*>(memory);
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    link_ = std::make_shared<Link>(Fd(pair[0]));
    server_ = Fd(pair[1]);
  }
  void TearDown() override { ::munmap(words_, kWords * 4); }

  Transfers::Started Start(MessageType type) { return *transfers_.Start(type, kDeadline, gates_); }
  std::vector<Completion> Take() {
    std::vector<Completion> out;
    transfers_.Take(SIZE_MAX, &out);
    return out;
  }
  std::vector<Completion> Check(Time now) {
    transfers_.Check(now, &revoked_);
    return Take();
  }
  bool Reply(MessageType type, Submission submission, Errc code = Errc::kOk) {
    wire::ReplyFrame reply{.type = type, .id = submission, .code = code};
    if (type == MessageType::kLoad) reply.body = wire::LoadReply{3, 300};
    if (type == MessageType::kSave) reply.body = wire::SaveReply{1, 2, 3, 4};
    return transfers_.OnReply(reply);
  }

  static constexpr uint32_t kWords = 4;
  std::shared_ptr<GatePage> gates_;
  uint32_t* words_ = nullptr;
  std::shared_ptr<Link> link_;
  Fd server_;
  Transfers transfers_{kWords};
  std::vector<Submission> revoked_;
};

TEST_F(TransfersWithGates, CompletesOnceByTheReply) {
  const auto load = Start(MessageType::kLoad);
  const auto save = Start(MessageType::kSave);
  EXPECT_NE(load.gate, save.gate);
  EXPECT_TRUE(Reply(MessageType::kLoad, load.submission));
  EXPECT_FALSE(Reply(MessageType::kLoad, load.submission));
  EXPECT_TRUE(Reply(MessageType::kSave, save.submission));
  const auto done = Take();
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].loaded, 3u);
  EXPECT_EQ(done[0].bytes, 300u);
  EXPECT_EQ(done[1].stored + done[1].deduped + done[1].refused + done[1].failed, 10u);
  EXPECT_EQ(transfers_.unfinished(), 0u);
}

TEST_F(TransfersWithGates, RefusesAReplyOfAnotherType) {
  const auto load = Start(MessageType::kLoad);
  EXPECT_FALSE(Reply(MessageType::kSave, load.submission));
  EXPECT_TRUE(Take().empty());
}

TEST_F(TransfersWithGates, IsFullWhenEveryGateIsTaken) {
  std::vector<Submission> all;
  for (uint32_t i = 0; i < kWords; ++i) all.push_back(Start(MessageType::kSave).submission);
  EXPECT_EQ(transfers_.Start(MessageType::kSave, kDeadline, gates_).error().code, Errc::kLimit);
  transfers_.Undo(all[2]);
  EXPECT_TRUE(transfers_.Start(MessageType::kSave, kDeadline, gates_).has_value());
}

TEST_F(TransfersWithGates, ReturnsARevokedLoadOnlyWhenNoWriterIsInside) {
  const auto load = Start(MessageType::kLoad);
  words_[load.gate] += 1;  // the mover enters a chunk
  EXPECT_TRUE(transfers_.Revoke(load.submission, Errc::kCancelled, kStart));
  EXPECT_FALSE(transfers_.Revoke(load.submission, Errc::kCancelled, kStart));
  EXPECT_EQ(words_[load.gate], Gate::kRevoked | 1);
  EXPECT_TRUE(Check(kStart + seconds(10)).empty());
  EXPECT_LE(transfers_.next_check(), kStart);
  words_[load.gate] -= 1;
  const auto done = Check(kStart + seconds(10));
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].code, Errc::kCancelled);
}

TEST_F(TransfersWithGates, KeepsTheGateOfARevokedLoadUntilItsReply) {
  const auto load = Start(MessageType::kLoad);
  for (uint32_t i = 1; i < kWords; ++i) Start(MessageType::kSave);
  transfers_.Revoke(load.submission, Errc::kCancelled, kStart);
  ASSERT_EQ(Check(kStart).size(), 1u);
  // Its mover may look at the word later: nobody else may have it.
  EXPECT_FALSE(transfers_.Start(MessageType::kLoad, kDeadline, gates_).has_value());
  EXPECT_EQ(words_[load.gate], Gate::kRevoked);
  EXPECT_TRUE(Reply(MessageType::kLoad, load.submission, Errc::kCancelled));
  EXPECT_TRUE(Take().empty());  // it was completed before
  const auto next = transfers_.Start(MessageType::kLoad, kDeadline, gates_);
  ASSERT_TRUE(next.has_value());
  EXPECT_EQ(next->gate, load.gate);
  EXPECT_NE(next->submission, load.submission);
  EXPECT_EQ(words_[load.gate], 0u);
}

TEST_F(TransfersWithGates, ReportsHowARevokedLoadReallyEnded) {
  const auto load = Start(MessageType::kLoad);
  words_[load.gate] += 1;
  transfers_.Revoke(load.submission, Errc::kCancelled, kStart);
  EXPECT_TRUE(Reply(MessageType::kLoad, load.submission));
  const auto done = Take();
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].code, Errc::kOk);
}

TEST_F(TransfersWithGates, GivesTheBlocksOfARevokedSaveBackAtOnce) {
  const auto save = Start(MessageType::kSave);
  words_[save.gate] += 1;  // a reader: what it takes is never published
  transfers_.Revoke(save.submission, Errc::kCancelled, kStart);
  const auto done = Check(kStart);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].code, Errc::kCancelled);
}

TEST_F(TransfersWithGates, WaitsAMomentForTheReplyOfACommittedSave) {
  const auto save = Start(MessageType::kSave);
  words_[save.gate] |= Gate::kCommitted;
  transfers_.Revoke(save.submission, Errc::kCancelled, kStart);
  EXPECT_TRUE(Check(kStart).empty());
  EXPECT_EQ(Check(kStart + Transfers::kCommittedGrace).size(), 1u);
}

TEST_F(TransfersWithGates, RevokesByItselfWhenTheDeadlinePasses) {
  const auto load = Start(MessageType::kLoad);
  EXPECT_EQ(transfers_.next_check(), kDeadline);
  EXPECT_TRUE(Check(kDeadline - seconds(1)).empty());
  const auto done = Check(kDeadline);
  ASSERT_EQ(done.size(), 1u);
  EXPECT_EQ(done[0].code, Errc::kTimeout);
  EXPECT_EQ(revoked_, std::vector<Submission>{load.submission});
  EXPECT_EQ(words_[load.gate], Gate::kRevoked);
}

TEST_F(TransfersWithGates, WaitsForTheReplyWhereTheServerKnowsNoGates) {
  const auto load = transfers_.Start(MessageType::kLoad, kDeadline, nullptr);
  ASSERT_TRUE(load.has_value());
  EXPECT_EQ(load->gate, wire::kNoGate);
  EXPECT_TRUE(Check(kDeadline).empty());
  EXPECT_TRUE(Check(kDeadline + seconds(60)).empty());
  EXPECT_TRUE(Reply(MessageType::kLoad, load->submission, Errc::kTimeout));
  EXPECT_EQ(Take().size(), 1u);
}

TEST_F(TransfersWithGates, CompletesAllAtTheHangUp) {
  Start(MessageType::kLoad);
  Start(MessageType::kSave);
  const auto finished = Start(MessageType::kLoad);
  transfers_.Revoke(finished.submission, Errc::kCancelled, kStart);
  ASSERT_EQ(Check(kStart).size(), 1u);
  server_.Reset();
  transfers_.OnConnectionEnd(link_, kStart);
  const auto done = Take();
  ASSERT_EQ(done.size(), 2u);
  EXPECT_EQ(done[0].code, Errc::kUnavailable);
  EXPECT_EQ(done[1].code, Errc::kUnavailable);
  for (uint32_t i = 0; i < kWords; ++i) Start(MessageType::kSave);  // every slot is free again
}

TEST_F(TransfersWithGates, GivesAMoverThatDiedInsideAChunkAMomentAfterTheHangUp) {
  const auto load = Start(MessageType::kLoad);
  words_[load.gate] += 1;  // and never leaves
  server_.Reset();
  transfers_.OnConnectionEnd(link_, kStart);
  EXPECT_TRUE(Take().empty());
  EXPECT_TRUE(Check(kStart + Transfers::kHangUpGrace - milliseconds(1)).empty());
  EXPECT_EQ(Check(kStart + Transfers::kHangUpGrace).size(), 1u);
}

TEST_F(TransfersWithGates, WaitsForTheWriterWhenOnlyThisSideEndedTheConnection) {
  const auto load = Start(MessageType::kLoad);
  words_[load.gate] += 1;
  link_->EndSending();
  transfers_.OnConnectionEnd(link_, kStart);
  EXPECT_TRUE(Check(kStart + seconds(60)).empty());
  words_[load.gate] -= 1;
  EXPECT_EQ(Check(kStart + seconds(60)).size(), 1u);
}

TEST_F(TransfersWithGates, WithoutGatesWaitsForTheHangUpAfterThisSideEndedTheConnection) {
  ASSERT_TRUE(transfers_.Start(MessageType::kLoad, kDeadline, nullptr).has_value());
  ASSERT_TRUE(transfers_.Start(MessageType::kSave, kDeadline, nullptr).has_value());
  link_->EndSending();
  transfers_.OnConnectionEnd(link_, kStart);
  EXPECT_TRUE(Check(kStart + seconds(60)).empty());
  server_.Reset();
  EXPECT_EQ(Check(kStart + seconds(60)).size(), 2u);
}

TEST_F(TransfersWithGates, HandsCompletionsOutInPortions) {
  for (uint32_t i = 0; i < kWords; ++i) Start(MessageType::kSave);
  server_.Reset();
  transfers_.OnConnectionEnd(link_, kStart);
  std::vector<Completion> out;
  EXPECT_EQ(transfers_.Take(3, &out), 3u);
  EXPECT_TRUE(transfers_.has_completions());
  EXPECT_EQ(transfers_.Take(3, &out), 1u);
  EXPECT_FALSE(transfers_.has_completions());
}

}  // namespace
}  // namespace headrace::client
