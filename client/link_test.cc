#include "client/link.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "wire/control.h"

namespace headrace::client {
namespace {

std::string Frame(std::string_view payload) {
  const auto length = static_cast<uint32_t>(payload.size());
  std::string frame(sizeof(length), '\0');
  std::memcpy(frame.data(), &length, sizeof(length));
  return frame.append(payload);
}

class LinkToAPeer : public ::testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    link_ = std::make_shared<Link>(Fd(pair[0]));
    peer_ = Fd(pair[1]);
  }
  void Say(std::string_view bytes) {
    ASSERT_EQ(::send(peer_.get(), bytes.data(), bytes.size(), 0), ssize_t(bytes.size()));
  }
  // The next payload, or "none".
  std::string Next() {
    const auto payload = link_->NextFrame();
    if (!payload) return "error";
    if (payload->data() == nullptr) return "none";
    return std::string(payload->begin(), payload->end());
  }
  std::string Drain() {
    std::string all;
    char bytes[65536];
    ssize_t n;
    while ((n = ::recv(peer_.get(), bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
      all.append(bytes, static_cast<size_t>(n));
    }
    return all;
  }

  std::shared_ptr<Link> link_;
  Fd peer_;
};

TEST_F(LinkToAPeer, HandsOutFramesWholeHoweverTheyArrive) {
  const std::string bytes = Frame("first") + Frame("") + Frame("second");
  for (const char byte : bytes.substr(0, bytes.size() - 1)) {
    Say({&byte, 1});
    link_->Receive();
  }
  EXPECT_EQ(Next(), "first");
  EXPECT_EQ(Next(), "");
  EXPECT_EQ(Next(), "none");
  Say("d");
  link_->Receive();
  EXPECT_EQ(Next(), "second");
  EXPECT_EQ(Next(), "none");
}

TEST_F(LinkToAPeer, TakesAFrameThatIsLargerThanItsBuffer) {
  const std::string payload(150'000, 'x');
  const std::string bytes = Frame("small") + Frame(payload);
  for (size_t at = 0; at < bytes.size(); at += 50'000) {
    Say(std::string_view(bytes).substr(at, 50'000));
    while (link_->Receive()) {
    }
  }
  EXPECT_EQ(Next(), "small");
  EXPECT_EQ(Next(), payload);
}

TEST_F(LinkToAPeer, RefusesALengthOverTheLimit) {
  const uint32_t length = wire::kMaxFrameBytes + 1;
  Say({reinterpret_cast<const char*>(&length), sizeof(length)});
  link_->Receive();
  EXPECT_EQ(Next(), "error");
}

TEST_F(LinkToAPeer, HandsOutWhatCameBeforeTheHangUp) {
  Say(Frame("last words"));
  peer_.Reset();
  EXPECT_FALSE(link_->Receive());
  EXPECT_FALSE(link_->hung_up());
  EXPECT_EQ(Next(), "last words");
  EXPECT_FALSE(link_->Receive());
  EXPECT_TRUE(link_->hung_up());
  EXPECT_EQ(link_->Send("x").error().code, Errc::kUnavailable);
}

TEST_F(LinkToAPeer, KeepsWhatDoesNotFitAndSendsItLater) {
  const std::string frame(100'000, 'q');
  size_t taken = 0;
  while (link_->Send(frame)) taken += frame.size();
  EXPECT_TRUE(link_->queued());
  EXPECT_EQ(link_->Send(frame).error().code, Errc::kLimit);
  size_t arrived = 0;
  while (arrived < taken) {
    arrived += Drain().size();
    ASSERT_TRUE(link_->Flush().has_value());
  }
  EXPECT_EQ(arrived, taken);  // and nothing of what was refused
  EXPECT_FALSE(link_->queued());
  EXPECT_TRUE(link_->Send("more").has_value());
  EXPECT_EQ(Drain(), "more");
}

TEST_F(LinkToAPeer, PassesDescriptorsWithTheirFrame) {
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const Fd reader(pipe[0]), writer(pipe[1]);
  const int numbers[] = {writer.get()};
  ASSERT_TRUE(link_->SendWithDescriptors("frame", numbers).has_value());
  char bytes[16];
  iovec io{bytes, sizeof(bytes)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ASSERT_EQ(::recvmsg(peer_.get(), &message, MSG_CMSG_CLOEXEC), 5);
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  ASSERT_NE(header, nullptr);
  int number = -1;
  std::memcpy(&number, CMSG_DATA(header), sizeof(number));
  const Fd received(number);
  ASSERT_EQ(::write(received.get(), "x", 1), 1);
  EXPECT_EQ(::read(reader.get(), bytes, 1), 1);
}

TEST_F(LinkToAPeer, SeesThePeerGoneOnlyWhenEveryCopyIsClosed) {
  Fd copy(::dup(peer_.get()));  // a mover process holds one
  link_->EndSending();
  EXPECT_FALSE(link_->PeerGone());
  peer_.Reset();
  EXPECT_FALSE(link_->PeerGone());
  copy.Reset();
  EXPECT_TRUE(link_->PeerGone());
}

TEST(Link, FailsToConnectWhereNobodyListens) {
  EXPECT_EQ(Link::Connect("/nobody/listens/here").error().code, Errc::kUnavailable);
}

}  // namespace
}  // namespace headrace::client
