#include "base/stop_signals.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>

#include <memory>

namespace headrace {
namespace {

bool Readable(int fd) {
  pollfd ready{fd, POLLIN, 0};
  return ::poll(&ready, 1, 0) == 1;
}

TEST(StopSignals, BecomeReadable) {
  auto signals = StopSignals::Catch();
  ASSERT_TRUE(signals);
  EXPECT_FALSE(Readable(signals->fd()));
  for (const int signal : {SIGTERM, SIGINT}) {
    ::raise(signal);
    EXPECT_TRUE(Readable(signals->fd()));
    signals->Drain();
    EXPECT_FALSE(Readable(signals->fd()));
  }
}

TEST(StopSignals, DoNotBlockWhenManyCome) {
  auto signals = StopSignals::Catch();
  ASSERT_TRUE(signals);
  for (int i = 0; i < 100'000; ++i) ::raise(SIGTERM);
  EXPECT_TRUE(Readable(signals->fd()));
  signals->Drain();
  EXPECT_FALSE(Readable(signals->fd()));
}

TEST(StopSignals, DoNotEndTheProcessWithOthers) {
  const auto signals = StopSignals::Catch();
  ASSERT_TRUE(signals);
  ::raise(SIGPIPE);
  ::raise(SIGHUP);
  EXPECT_FALSE(Readable(signals->fd()));
}

}  // namespace
}  // namespace headrace
