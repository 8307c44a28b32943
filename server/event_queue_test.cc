#include "server/event_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace headrace::server {
namespace {

QueuedEvent Numbered(uint64_t number, size_t tokens = 0) {
  QueuedEvent event;
  event.lora_id = number;
  event.tokens.resize(tokens);
  return event;
}

TEST(EventQueue, GivesBackInOrderWhatWasPushed) {
  EventQueue queue(4, 1000);
  for (uint64_t i = 0; i < 3; ++i) {
    QueuedEvent event = Numbered(i);
    ASSERT_TRUE(queue.TryPush(&event));
  }
  EXPECT_EQ(queue.size(), 3u);
  QueuedEvent event;
  for (uint64_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(queue.TryPop(&event));
    EXPECT_EQ(event.lora_id, i);
  }
  EXPECT_FALSE(queue.TryPop(&event));
}

TEST(EventQueue, RefusesBeyondItsCapacityAndLeavesTheEvent) {
  EventQueue queue(2, 1000);
  for (int i = 0; i < 2; ++i) {
    QueuedEvent event = Numbered(1);
    ASSERT_TRUE(queue.TryPush(&event));
  }
  QueuedEvent late = Numbered(3, 5);
  EXPECT_FALSE(queue.TryPush(&late));
  EXPECT_EQ(late.tokens.size(), 5u);
  QueuedEvent event;
  ASSERT_TRUE(queue.TryPop(&event));
  EXPECT_TRUE(queue.TryPush(&late));
}

TEST(EventQueue, RefusesMoreTokensThanItsBytes) {
  EventQueue queue(16, 100);
  QueuedEvent event = Numbered(1, 20);
  ASSERT_TRUE(queue.TryPush(&event));
  event = Numbered(2, 20);
  EXPECT_FALSE(queue.TryPush(&event));
  QueuedEvent popped;
  ASSERT_TRUE(queue.TryPop(&popped));
  EXPECT_TRUE(queue.TryPush(&event));
}

TEST(EventQueue, TakesOneOverlongEventAlone) {
  EventQueue queue(16, 100);
  QueuedEvent event = Numbered(1, 1000);
  EXPECT_TRUE(queue.TryPush(&event));
}

TEST(EventQueue, CarriesAllBetweenTwoThreads) {
  constexpr uint64_t kEvents = 200000;
  EventQueue queue(64, 1 << 20);
  std::thread producer([&queue] {
    for (uint64_t i = 0; i < kEvents;) {
      QueuedEvent event = Numbered(i, i % 3);
      if (queue.TryPush(&event)) {
        ++i;
      } else {
        std::this_thread::yield();
      }
    }
  });
  QueuedEvent event;
  bool in_order = true;
  for (uint64_t i = 0; i < kEvents;) {
    if (!queue.TryPop(&event)) {
      std::this_thread::yield();
      continue;
    }
    in_order = in_order && event.lora_id == i && event.tokens.size() == i % 3;
    ++i;
  }
  producer.join();
  EXPECT_TRUE(in_order);
}

}  // namespace
}  // namespace headrace::server
