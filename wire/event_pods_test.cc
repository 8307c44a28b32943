// The pods that a publisher's blocks count for, in stored events of both forms.
#include <gtest/gtest.h>

#include "wire/event.h"
#include "wire/event_samples.h"

namespace headrace::wire {
namespace {

std::vector<std::string> NamesOf(const Event& event) {
  std::vector<std::string_view> names;
  ReadEventPods(event.pods, &names);
  return {names.begin(), names.end()};
}

// A message that says nothing but this.
std::string Message(const std::string& packed, std::string_view model, bool array) {
  Event event{.type = EventType::kStored, .block_size = 16};
  event.medium = "cpu";
  event.pods = BytesOf(packed);
  event.pods_model = model;
  std::string out;
  EncodeEventBatch({.timestamp = 0, .rank = 0, .events = {&event, 1}}, {.array = array}, &out);
  return out;
}

struct Read {
  explicit Read(std::string bytes) : payload(std::move(bytes)) {
    EXPECT_TRUE(decoder.Decode(BytesOf(payload), &batch));
  }
  std::string payload;
  EventDecoder decoder;
  EventBatch batch;
};

TEST(EventPods, AreTheseBytesInAMap) {
  const std::vector<std::string> pods = {"10.0.0.1:8000", "b"};
  EXPECT_EQ(Message(PackEventPods(pods), "org/m", false),
            Raw("\x93\xcb\0\0\0\0\0\0\0\0\x91\x8a"
                "\xa4type\xab"
                "BlockStored\xac"
                "block_hashes\x90\xb1"
                "parent_block_hash\xc0\xa9token_ids\x90\xaa"
                "block_size\x10\xa7lora_id\xc0\xa6medium\xa3"
                "cpu\xa9lora_name\xc0\xa4pods\x92\xad"
                "10.0.0.1:8000\xa1"
                "b\xaapods_model\xa5org/m\x00"));
}

TEST(EventPods, AreTheseBytesInAnArray) {
  const std::vector<std::string> pods = {"a"};
  EXPECT_EQ(Message(PackEventPods(pods), "m", true),
            Raw("\x93\xcb\0\0\0\0\0\0\0\0\x91\xdc\x00\x11\xab"
                "BlockStored\x90\xc0\x90\x10\xc0\xa3"
                "cpu\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\x91\xa1"
                "a\xa1m\x00"));
}

TEST(EventPods, ComeBackInBothForms) {
  std::vector<std::string> many;
  many.reserve(EventDecoder::kMaxPods);
  for (size_t i = 0; i < EventDecoder::kMaxPods; ++i) many.push_back("pod-" + std::to_string(i));
  const std::vector<std::string> lists[] = {{}, {"a"}, {"a", "b"}, {std::string(256, 'p')}, many};
  for (const bool array : {false, true}) {
    for (const auto& list : lists) {
      for (const char* model : {"", "org/name@revision"}) {
        const Read read(Message(PackEventPods(list), model, array));
        ASSERT_EQ(read.batch.events.size(), 1u);
        const Event& event = read.batch.events[0];
        EXPECT_FALSE(event.pods.empty()) << "none is not the same as not said";
        EXPECT_EQ(NamesOf(event), list);
        EXPECT_EQ(event.pods_model, model);
        EXPECT_TRUE(event.hashes.empty() && event.tokens.empty());
      }
    }
  }
}

TEST(EventPods, AreNotSaidByAModelAlone) {
  for (const bool array : {false, true}) {
    const Read read(Message("", "m", array));
    ASSERT_EQ(read.batch.events.size(), 1u);
    EXPECT_TRUE(read.batch.events[0].pods.empty());
    EXPECT_EQ(read.batch.events[0].pods_model, "m");
    EXPECT_TRUE(NamesOf(read.batch.events[0]).empty());
  }
}

TEST(EventPods, StandBesideBlocks) {
  const FullEvents full;
  std::vector<Event> events(full.batch().events.begin(), full.batch().events.end());
  const std::string packed = PackEventPods(std::vector<std::string>{"a"});
  events[0].pods = BytesOf(packed);
  events[0].pods_model = "m";
  const EventBatch batch{.timestamp = 1, .rank = 0, .events = events};
  for (const bool array : {false, true}) {
    const EventForm form{.array = array};
    std::string payload;
    EncodeEventBatch(batch, form, &payload);
    EXPECT_TRUE(SameBatch(Read(payload).batch, batch, form)) << array;
  }
}

// Other engines have fields of their own behind those of vLLM's arrays.
TEST(EventPods, OfAnotherKindInAnArrayArePassed) {
  std::string payload = Message(PackEventPods(std::vector<std::string>{"a"}), "m", true);
  payload.replace(payload.find("\x91\xa1"
                               "a\xa1m"),
                  5, Raw("\x91\x05\x81\x01\x02"));
  const Read read(payload);
  ASSERT_EQ(read.batch.events.size(), 1u);
  EXPECT_EQ(read.batch.bad, 0u);
  EXPECT_TRUE(read.batch.events[0].pods.empty() && read.batch.events[0].pods_model.empty());
}

TEST(EventPods, BeyondTheLimitMakeAnEventBad) {
  std::string names;
  for (size_t i = 0; i <= EventDecoder::kMaxPods; ++i) names += "\xa1p";
  const Read read(Message(Raw("\xdc\x10\x01") + names, "", false));
  EXPECT_EQ(read.batch.bad, 1u);
  EXPECT_TRUE(read.batch.events.empty());
}

TEST(EventPods, AreNoFieldOfARemovedEvent) {
  // [0, [{"type": "BlockRemoved", "block_hashes": [], "pods": ["a"], "pods_model": 1}], 0]
  const Read read(
      Raw("\x93\x00\x91\x84\xa4type\xac"
          "BlockRemoved\xac"
          "block_hashes\x90\xa4pods\x91\xa1"
          "a\xaapods_model\x01\x00"));
  ASSERT_EQ(read.batch.events.size(), 1u);
  EXPECT_TRUE(read.batch.events[0].pods.empty());
}

TEST(EventPodsDeathTest, NeedNamesThatReadersTake) {
  EXPECT_DEATH(PackEventPods(std::vector<std::string>{""}), "name");
  EXPECT_DEATH(PackEventPods(std::vector<std::string>{std::string(257, 'p')}), "name");
}

}  // namespace
}  // namespace headrace::wire
