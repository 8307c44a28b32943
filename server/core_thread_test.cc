#include "server/core_thread.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <thread>

namespace headrace::server {
namespace {

struct Attr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

Attr Now() {
  Attr attr{};
  EXPECT_EQ(::syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0), 0);
  return attr;
}

// In a thread of its own, because what is asked for cannot be taken back.
template <typename Body>
void InThread(Body body) {
  std::thread(body).join();
}

TEST(CoreThread, AsksForTurnsOfTheGivenLengthAndKeepsItsNiceness) {
  InThread([] {
    ASSERT_EQ(::setpriority(PRIO_PROCESS, 0, 3), 0);
    const Attr before = Now();
    ASSERT_TRUE(AskForShortTurns(microseconds(250)));
    const Attr after = Now();
    EXPECT_EQ(after.policy, before.policy);
    EXPECT_EQ(after.nice, 3);
    // Kernels that know no turns of a thread's own (before 6.12) report 0.
    if (before.runtime != 0) {
      EXPECT_EQ(after.runtime, 250'000U);
    }
  });
}

TEST(CoreThread, DoesNotPassItOnToThreadsMadeLater) {
  InThread([] {
    const Attr before = Now();
    ASSERT_TRUE(AskForShortTurns(microseconds(250)));
    InThread([&before] { EXPECT_EQ(Now().runtime, before.runtime); });
  });
}

}  // namespace
}  // namespace headrace::server
