#include "indexer/workers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <string>

#include "base/result.h"

namespace headrace::indexer {
namespace {

// Holds a worker until it is let go.
struct Gate {
  std::promise<void> entered;
  std::promise<void> open;

  Workers::Job job() {
    return [this](uint32_t) {
      entered.set_value();
      open.get_future().wait();
    };
  }
};

TEST(Workers, RunJobsOnThreadsOfTheirOwn) {
  std::promise<std::thread::id> where;  // outlives the threads, as all here
  Workers workers(2, 10);
  EXPECT_EQ(workers.threads(), 2u);
  ASSERT_TRUE(workers.TryPost([&](uint32_t worker) {
    HR_CHECK(worker < 2);
    where.set_value(std::this_thread::get_id());
  }));
  EXPECT_NE(where.get_future().get(), std::this_thread::get_id());
}

TEST(Workers, RefuseWhatIsTooMuchToWait) {
  Gate gate;
  Workers workers(1, 2);
  ASSERT_TRUE(workers.TryPost(gate.job()));
  gate.entered.get_future().wait();
  ASSERT_TRUE(workers.TryPost([](uint32_t) {}));
  ASSERT_TRUE(workers.TryPost([](uint32_t) {}));
  EXPECT_FALSE(workers.TryPost([](uint32_t) {}));
  EXPECT_EQ(workers.refused(), 1u);
  EXPECT_EQ(workers.waiting(), 2u);
  gate.open.set_value();
}

TEST(Workers, FinishWhatHasBegunFirst) {
  Gate gate;
  std::string order;
  std::promise<void> done;
  Workers workers(1, 10);
  ASSERT_TRUE(workers.TryPost(gate.job()));
  gate.entered.get_future().wait();
  ASSERT_TRUE(workers.TryPost([&](uint32_t) {
    order += "fresh";
    done.set_value();
  }));
  workers.Continue([&](uint32_t) { order += "begun "; });
  gate.open.set_value();
  done.get_future().wait();
  EXPECT_EQ(order, "begun fresh");
}

TEST(Workers, EndAlthoughThereIsAlwaysMoreToDo) {
  std::atomic<uint64_t> ran = 0;
  Workers::Job again;
  {
    Workers workers(1, 10);
    again = [&](uint32_t) {
      ++ran;
      workers.Continue(again);
    };
    ASSERT_TRUE(workers.TryPost(again));
    while (ran.load() < 10) std::this_thread::yield();
  }
  EXPECT_GE(ran.load(), 10u);
}

}  // namespace
}  // namespace headrace::indexer
