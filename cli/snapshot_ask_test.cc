#include "cli/snapshot_ask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

net::ZmqMessage Answer(std::string_view sequence, std::string_view payload) {
  net::ZmqMessage message;
  for (const std::string_view frame :
       {std::string_view(), std::string_view("t"), sequence, payload})
    message.Add(net::ZmqBytes(frame));
  return message;
}

std::string Stored(std::vector<uint64_t> hashes, std::string_view medium) {
  wire::Event event;
  event.type = wire::EventType::kStored;
  event.hashes = hashes;
  event.medium = medium;
  wire::EventBatch batch;
  batch.events = {&event, 1};
  std::string payload;
  wire::EncodeEventBatch(batch, {}, &payload);
  return payload;
}

TEST(SnapshotReader, CollectsHashesAndTiersToTheEnd) {
  SnapshotReader reader;
  const std::string sequence = wire::EncodeSequence(9);
  ASSERT_TRUE(reader.Take(Answer(sequence, Stored({1, UINT64_MAX}, "CPU"))));
  ASSERT_TRUE(reader.Take(Answer(sequence, Stored({3}, ""))));
  EXPECT_FALSE(reader.done());
  ASSERT_TRUE(reader.Take(Answer(sequence, "")));
  EXPECT_TRUE(reader.done());
  ASSERT_EQ(reader.blocks().size(), 3u);
  EXPECT_EQ(reader.blocks()[1].hash, UINT64_MAX);
  EXPECT_EQ(reader.blocks()[1].tier, "cpu");
  EXPECT_EQ(reader.blocks()[2].tier, "gpu");
}

TEST(SnapshotReader, RefusesWhatIsNoAnswer) {
  SnapshotReader reader;
  EXPECT_NE(std::string(reader.Take(Answer("busy", "")).error().what).find("too many"),
            std::string::npos);
  EXPECT_FALSE(reader.Take(Answer("x", "")));
  EXPECT_FALSE(reader.Take(net::ZmqMessage()));
  EXPECT_FALSE(reader.Take(Answer(wire::EncodeSequence(1), "\xff")));
  EXPECT_TRUE(reader.blocks().empty());
  EXPECT_FALSE(reader.done());
}

}  // namespace
}  // namespace headrace::cli
