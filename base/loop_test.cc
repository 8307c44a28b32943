#include "base/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace headrace {
namespace {

struct Pipe {
  Pipe() {
    int fds[2];
    HR_CHECK(pipe2(fds, O_CLOEXEC | O_NONBLOCK) == 0);
    read_end = Fd(fds[0]);
    write_end = Fd(fds[1]);
  }
  void Write() const { HR_CHECK(::write(write_end.get(), "x", 1) == 1); }
  bool Read() const {
    char byte;
    return ::read(read_end.get(), &byte, 1) == 1;
  }
  Fd read_end, write_end;
};

std::unique_ptr<Loop> MakeLoop() {
  auto loop = Loop::Create();
  HR_CHECK(loop);
  return std::move(*loop);
}

TEST(Loop, CallsBackWhenADescriptorIsReadable) {
  auto loop = MakeLoop();
  Pipe pipe;
  uint32_t events = 0;
  ASSERT_TRUE(loop->Watch(pipe.read_end.get(), EPOLLIN, [&](uint32_t seen) {
    events = seen;
    loop->Stop();
  }));
  pipe.Write();
  loop->Run();
  EXPECT_EQ(events, static_cast<uint32_t>(EPOLLIN));
}

TEST(Loop, CallsAgainWhileThereIsMore) {
  auto loop = MakeLoop();
  Pipe pipe;
  int calls = 0;
  ASSERT_TRUE(loop->Watch(pipe.read_end.get(), EPOLLIN, [&](uint32_t) {
    ASSERT_TRUE(pipe.Read());
    if (++calls == 3) loop->Stop();
  }));
  for (int i = 0; i < 3; ++i) pipe.Write();
  loop->Run();
  EXPECT_EQ(calls, 3);
}

TEST(Loop, ReportsAHangUp) {
  auto loop = MakeLoop();
  Pipe pipe;
  uint32_t events = 0;
  ASSERT_TRUE(loop->Watch(pipe.read_end.get(), EPOLLIN, [&](uint32_t seen) {
    events = seen;
    loop->Stop();
  }));
  pipe.write_end.Reset();
  loop->Run();
  EXPECT_NE(events & EPOLLHUP, 0U);
}

TEST(Loop, DropsEventsOfADescriptorThatWasUnwatchedInTheSameTurn) {
  auto loop = MakeLoop();
  Pipe one, two;
  int calls = 0;
  // Whichever comes first takes the other away; both are ready in one turn.
  auto callback = [&](const Pipe& other) {
    return [&](uint32_t) {
      ++calls;
      loop->Unwatch(other.read_end.get());
      loop->Post([&] { loop->Stop(); });
      one.Read();
      two.Read();
    };
  };
  ASSERT_TRUE(loop->Watch(one.read_end.get(), EPOLLIN, callback(two)));
  ASSERT_TRUE(loop->Watch(two.read_end.get(), EPOLLIN, callback(one)));
  one.Write();
  two.Write();
  loop->Run();
  EXPECT_EQ(calls, 1);
}

TEST(Loop, LetsACallbackUnwatchItselfAndLive) {
  auto loop = MakeLoop();
  Pipe pipe;
  auto alive = std::make_shared<int>(5);
  int seen = 0;
  ASSERT_TRUE(loop->Watch(pipe.read_end.get(), EPOLLIN, [&, alive](uint32_t) {
    loop->Unwatch(pipe.read_end.get());
    seen = *alive;  // the callback's own state is still there
    loop->Stop();
  }));
  pipe.Write();
  loop->Run();
  EXPECT_EQ(seen, 5);
  EXPECT_EQ(alive.use_count(), 1);
}

TEST(Loop, DoesNotGiveANewWatchTheEventsOfTheOldOne) {
  auto loop = MakeLoop();
  Pipe one, two;
  int number = two.read_end.get();
  bool new_called = false;
  int calls = 0;
  auto replace = [&](uint32_t) {
    // The other descriptor is closed and its number taken by a pipe with nothing in it.
    ++calls;
    loop->Unwatch(one.read_end.get());
    loop->Unwatch(number);
    ASSERT_EQ(::dup3(Pipe().read_end.get(), number, O_CLOEXEC), number);
    ASSERT_TRUE(loop->Watch(number, EPOLLPRI, [&](uint32_t events) {
      new_called = new_called || (events & EPOLLIN) != 0;
    }));
    loop->Post([&] { loop->Stop(); });
  };
  ASSERT_TRUE(loop->Watch(one.read_end.get(), EPOLLIN, replace));
  ASSERT_TRUE(loop->Watch(number, EPOLLIN, replace));
  one.Write();
  two.Write();
  loop->Run();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(new_called);
}

TEST(Loop, ChangesWhatIsWatched) {
  auto loop = MakeLoop();
  Pipe pipe;
  uint32_t seen = 0;
  int fd = pipe.write_end.get();
  ASSERT_TRUE(loop->Watch(fd, 0, [&](uint32_t events) {
    seen = events;
    loop->Stop();
  }));
  loop->Post([&] { ASSERT_TRUE(loop->Rearm(fd, EPOLLOUT)); });
  loop->Run();
  EXPECT_EQ(seen, static_cast<uint32_t>(EPOLLOUT));
}

TEST(Loop, RefusesWhatCannotBeWatched) {
  auto loop = MakeLoop();
  Pipe pipe;
  int fd = pipe.read_end.get();
  EXPECT_EQ(loop->Watch(-1, EPOLLIN, [](uint32_t) {}).error().os, EBADF);
  ASSERT_TRUE(loop->Watch(fd, EPOLLIN, [](uint32_t) {}));
  EXPECT_EQ(loop->Watch(fd, EPOLLIN, [](uint32_t) {}).error().code, Errc::kExists);
  EXPECT_EQ(loop->Rearm(fd + 1000, EPOLLIN).error().code, Errc::kNotFound);
  loop->Unwatch(fd);
  loop->Unwatch(fd);  // twice is once
  EXPECT_TRUE(loop->Watch(fd, EPOLLIN, [](uint32_t) {}));
}

TEST(Loop, RunsTimersInTheOrderOfTheirTimes) {
  auto loop = MakeLoop();
  std::vector<int> order;
  Time start = loop->now();
  loop->At(start + milliseconds(4), [&] { order.push_back(3), loop->Stop(); });
  loop->At(start + milliseconds(2), [&] { order.push_back(1); });
  loop->At(start + milliseconds(2), [&] { order.push_back(2); });
  loop->At(start - seconds(1), [&] { order.push_back(0); });
  loop->Run();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_GE(loop->now(), start + milliseconds(4));
}

TEST(Loop, DoesNotRunATimerEarly) {
  auto loop = MakeLoop();
  for (int micros : {1, 100, 900, 1700}) {
    Time when = MonotonicNow() + microseconds(micros);
    loop->At(when, [&] { loop->Stop(); });
    loop->Run();
    EXPECT_GE(loop->now(), when);
  }
}

TEST(Loop, DoesNotRunACancelledTimer) {
  auto loop = MakeLoop();
  bool wrong = false;
  Time start = loop->now();
  uint64_t waiting = loop->At(start, [&] { wrong = true; });
  loop->CancelTimer(waiting);
  loop->CancelTimer(waiting);
  uint64_t second = 0;
  loop->At(start, [&] { loop->CancelTimer(second); });  // both due in one turn
  second = loop->At(start, [&] { wrong = true; });
  uint64_t own = 0;
  own = loop->At(start + milliseconds(1), [&] {
    loop->CancelTimer(own);
    loop->Stop();
  });
  loop->Run();
  EXPECT_FALSE(wrong);
}

TEST(Loop, IsNotHeldByTimersThatSetThemselvesForNow) {
  auto loop = MakeLoop();
  int rounds = 0;
  std::function<void()> again = [&] {
    ++rounds;
    loop->At(loop->now(), again);
  };
  again();
  Pipe pipe;
  ASSERT_TRUE(loop->Watch(pipe.read_end.get(), EPOLLIN, [&](uint32_t) { loop->Stop(); }));
  pipe.Write();
  loop->Run();
  EXPECT_LE(rounds, 10);
}

TEST(Loop, RunsPostedWorkInOrderFromAnotherThread) {
  auto loop = MakeLoop();
  constexpr int kCount = 10000;
  std::vector<int> seen;
  std::thread::id runner;
  std::thread poster([&] {
    for (int i = 0; i < kCount; ++i) {
      loop->Post([&, i] {
        runner = std::this_thread::get_id();
        seen.push_back(i);
        if (i + 1 == kCount) loop->Stop();
      });
    }
  });
  loop->Run();
  poster.join();
  ASSERT_EQ(seen.size(), static_cast<size_t>(kCount));
  for (int i = 0; i < kCount; ++i) ASSERT_EQ(seen[static_cast<size_t>(i)], i);
  EXPECT_EQ(runner, std::this_thread::get_id());
}

TEST(Loop, RunsWhatWasPostedBeforeStop) {
  auto loop = MakeLoop();
  bool ran = false;
  loop->Post([&] { ran = true; });
  loop->Stop();
  loop->Run();
  EXPECT_TRUE(ran);
}

TEST(Loop, RunsAgainAfterAStop) {
  auto loop = MakeLoop();
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    loop->Post([&] { ++runs, loop->Stop(); });
    loop->Run();
  }
  EXPECT_EQ(runs, 3);
}

TEST(Loop, PollsWithoutWaitingWhileIdleHasWork) {
  auto loop = MakeLoop();
  int left = 1000;
  loop->SetIdle([&] { return --left > 0; });
  // Only when there is no more to do does the loop wait, and then for this timer.
  loop->At(MonotonicNow() + milliseconds(20), [&] { loop->Stop(); });
  loop->Run();
  EXPECT_LE(left, 0);
}

TEST(Loop, ServesDescriptorsWhileIdleHasWork) {
  auto loop = MakeLoop();
  Pipe pipe;
  int turns = 0;
  loop->SetIdle([&] {
    if (++turns == 10) pipe.Write();
    return true;
  });
  ASSERT_TRUE(loop->Watch(pipe.read_end.get(), EPOLLIN, [&](uint32_t) { loop->Stop(); }));
  loop->Run();
  EXPECT_GE(turns, 10);
}

TEST(Loop, LetsIdleReplaceItself) {
  auto loop = MakeLoop();
  loop->SetIdle([&] {
    loop->SetIdle(nullptr);
    loop->Stop();
    return true;
  });
  loop->Run();
}

Loop* g_signalled = nullptr;

TEST(Loop, StopsFromASignalHandler) {
  auto loop = MakeLoop();
  g_signalled = loop.get();
  struct sigaction action{};
  struct sigaction before{};
  action.sa_handler = [](int) { g_signalled->Stop(); };
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  loop->Post([] { raise(SIGUSR1); });
  loop->Run();
  ASSERT_EQ(sigaction(SIGUSR1, &before, nullptr), 0);
}

}  // namespace
}  // namespace headrace
