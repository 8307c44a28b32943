#include "cli/tail_args.h"

#include <gtest/gtest.h>

#include <vector>

namespace headrace::cli {
namespace {

struct Outcome {
  Result<TailRequest> request = Fail(Errc::kInvalid, "");
  std::string message;
};

Outcome Read(const std::string& endpoint, std::vector<const char*> words = {}) {
  words.insert(words.begin(), "tail");
  CommandLine line;
  Outcome outcome;
  HR_CHECK(ParseCommandLine(static_cast<int>(words.size()), words.data(), TailFlags(), &line,
                            &outcome.message));
  outcome.request = ReadTailRequest(endpoint, line, &outcome.message);
  return outcome;
}

TEST(TailArgs, HasNoEndAndNoReplayByDefault) {
  const Outcome outcome = Read("ipc:///run/x");
  ASSERT_TRUE(outcome.request) << outcome.message;
  EXPECT_EQ(outcome.request->endpoint, "ipc:///run/x");
  EXPECT_EQ(outcome.request->replay_endpoint, "");
  EXPECT_EQ(outcome.request->topic_filter, "");
  EXPECT_EQ(outcome.request->most_events, 0u);
  EXPECT_FALSE(outcome.request->time);
  EXPECT_FALSE(outcome.request->curve);
}

TEST(TailArgs, TakesAllThatIsGiven) {
  const Outcome outcome = Read(
      "tcp://h:1", {"--replay", "tcp://h:2", "--topic", "kv@a", "--count", "3", "--for", "500ms"});
  ASSERT_TRUE(outcome.request) << outcome.message;
  EXPECT_EQ(outcome.request->replay_endpoint, "tcp://h:2");
  EXPECT_EQ(outcome.request->topic_filter, "kv@a");
  EXPECT_EQ(outcome.request->most_events, 3u);
  EXPECT_EQ(outcome.request->time, milliseconds(500));
}

TEST(TailArgs, NamesTheFlagThatIsWrong) {
  EXPECT_TRUE(Read("nowhere").message.starts_with("ENDPOINT: \"nowhere\" is no endpoint"));
  EXPECT_TRUE(Read("tcp://*:5557").message.starts_with("ENDPOINT: "));
  EXPECT_TRUE(Read("tcp://h:0").message.starts_with("ENDPOINT: "));
  EXPECT_TRUE(Read("inproc://x").message.starts_with("ENDPOINT: "));
  EXPECT_TRUE(Read("tcp://h:1", {"--replay", "h:2"}).message.starts_with("--replay: "));
  EXPECT_TRUE(Read("tcp://h:1", {"--count", "0"}).message.starts_with("--count: "));
  EXPECT_TRUE(Read("tcp://h:1", {"--for", "3"}).message.starts_with("--for: "));
  EXPECT_EQ(Read("tcp://h:1", {"--key-file", "/x"}).message, "--key-file: needs --server-key too");
  EXPECT_TRUE(Read("tcp://h:1", {"--server-key", "short"}).message.starts_with("--server-key: "));
}

TEST(TailArgs, FindsTheKeyOfAFile) {
  const std::string key = "#rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
  ASSERT_EQ(key.size(), 41u);
  const std::string right = key.substr(1);
  EXPECT_EQ(*FindKey("# a comment\n\n  " + right + " the indexer\n"), right);
  const std::string hash = key.substr(0, 40);  // begins with the letter of comments
  EXPECT_EQ(*FindKey(hash + "\n"), hash);
  EXPECT_FALSE(FindKey("# nothing\nshort\n"));
  EXPECT_FALSE(FindKey(""));
}

TEST(TailArgs, SaysWhichFileCannotBeRead) {
  const std::string key(net::kCurveKeyChars, 'a');
  const Outcome outcome =
      Read("tcp://h:1", {"--server-key", key.c_str(), "--key-file", "/nowhere"});
  EXPECT_EQ(outcome.message, "--key-file: \"/nowhere\" cannot be read");
}

}  // namespace
}  // namespace headrace::cli
