#include "server/event_parse.h"

#include <gtest/gtest.h>

#include "wire/event.h"

namespace headrace::server {
namespace {

Result<EventRequest> Parse(const std::vector<std::string>& frames) {
  net::ZmqMessage message;
  for (const std::string& frame : frames) message.Add(net::ZmqBytes(frame));
  return ParseEventRequest(message);
}

TEST(EventRequest, ReadsReplaysAndSnapshots) {
  // vLLM's bytes: an empty frame, then the start.
  const auto replay = Parse({"peer", "", std::string("\0\0\0\0\0\0\1\2", 8)});
  ASSERT_TRUE(replay);
  EXPECT_EQ(replay->kind, EventRequest::Kind::kReplay);
  EXPECT_EQ(replay->start, 258u);
  EXPECT_EQ(replay->peer, "peer");
  EXPECT_FALSE(replay->one_topic);
  const auto of_one = Parse({"peer", "", wire::EncodeSequence(1), "kv@n@m"});
  ASSERT_TRUE(of_one);
  EXPECT_EQ(of_one->topic, "kv@n@m");
  EXPECT_TRUE(of_one->one_topic);
  const auto snapshot = Parse({"peer", "", "snapshot", "kv@n@m"});
  ASSERT_TRUE(snapshot);
  EXPECT_EQ(snapshot->kind, EventRequest::Kind::kSnapshot);
}

TEST(EventRequest, RefusesAnythingElse) {
  const std::string start = wire::EncodeSequence(1);
  for (const std::vector<std::string>& frames :
       std::vector<std::vector<std::string>>{{},
                                             {"peer"},
                                             {"peer", ""},
                                             {"peer", "x", start},
                                             {"peer", "", "1234567"},
                                             {"peer", "", "123456789"},
                                             {"peer", "", "snapshot"},
                                             {"peer", "", start, "t", "more"},
                                             {"peer", "", start, std::string(5000, 't')}}) {
    EXPECT_FALSE(Parse(frames)) << frames.size();
  }
}

TEST(KeyList, ReadsKeysBetweenBlanksAndComments) {
  const std::string one(40, 'a');
  const std::string two = "#" + std::string(39, 'b');  // '#' is a letter of Z85
  const auto keys = ParseKeyList("# mine\n\n  " + one + "  the indexer\r\n" + two + "\n#\n" + one);
  ASSERT_TRUE(keys);
  EXPECT_EQ(*keys, (std::vector<std::string>{one, two, one}));
  EXPECT_TRUE(ParseKeyList("")->empty());
}

TEST(KeyList, RefusesALineThatIsNoKey) {
  EXPECT_FALSE(ParseKeyList(std::string(39, 'a')));
  EXPECT_FALSE(ParseKeyList(std::string(40, 'a') + "\n" + std::string(41, 'b')));
}

}  // namespace
}  // namespace headrace::server
