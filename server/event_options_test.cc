#include "server/event_options.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

namespace headrace::server {
namespace {

struct Checked {
  explicit Checked(const EventOptions& options) {
    ok = CheckEventOptions(options, &message).has_value();
  }
  bool ok = false;
  std::string message;
};

TEST(EventOptions, AreOffUnlessNamed) {
  EXPECT_TRUE(Checked({}).ok);
  EXPECT_FALSE(EventOptions{}.on());
}

TEST(EventOptions, AllowAnythingOnThisHost) {
  for (const char* endpoint : {"tcp://127.0.0.1:5557", "tcp://[::1]:0", "ipc:///tmp/x"}) {
    EXPECT_TRUE(Checked({.endpoint = endpoint, .replay_endpoint = endpoint}).ok) << endpoint;
  }
}

TEST(EventOptions, AskForKeysWhereOthersCanReach) {
  const Checked open({.endpoint = "tcp://*:5557"});
  EXPECT_FALSE(open.ok);
  EXPECT_NE(open.message.find("--events-curve-secret-file"), std::string::npos) << open.message;
  const Checked replay({.endpoint = "tcp://127.0.0.1:1", .replay_endpoint = "tcp://10.0.0.1:2"});
  EXPECT_FALSE(replay.ok);
  EXPECT_EQ(replay.message.find("--events-replay-endpoint"), 0u) << replay.message;
  const Checked half({.endpoint = "tcp://*:5557", .curve_secret_file = "s"});
  EXPECT_FALSE(half.ok);
  EXPECT_NE(half.message.find("--events-curve-clients-file"), std::string::npos) << half.message;
  EXPECT_TRUE(
      Checked({.endpoint = "tcp://*:5557", .curve_secret_file = "s", .curve_clients_file = "c"})
          .ok);
}

TEST(EventOptions, RefuseWhatMakesNoSense) {
  EXPECT_FALSE(Checked({.endpoint = "nonsense"}).ok);
  EXPECT_FALSE(Checked({.replay_endpoint = "tcp://127.0.0.1:1"}).ok);
  EXPECT_FALSE(Checked({.endpoint = "ipc:///tmp/x", .dial = true}).ok);
  EXPECT_FALSE(Checked({.endpoint = "ipc:///tmp/x", .topic_node = "a@b"}).ok);
  EXPECT_FALSE(Checked({.endpoint = "ipc:///tmp/x", .curve_clients_file = "c"}).ok);
}

TEST(EventOptions, NameTheNodeByWhatOthersKnowItBy) {
  EXPECT_EQ(DefaultTopicNode("10.1.2.3:50055", "machine"), "10.1.2.3:50055");
  EXPECT_EQ(DefaultTopicNode("127.0.0.1:50055", "machine"), "machine:50055");
  EXPECT_EQ(DefaultTopicNode("0.0.0.0:7", "machine"), "machine:7");
  EXPECT_EQ(DefaultTopicNode("[::]:7", "machine"), "machine:7");
}

// Files of a test, gone after it.
struct KeyFiles {
  KeyFiles() {
    char name[] = "/tmp/headrace-keys-XXXXXX";
    HR_CHECK(::mkdtemp(name) != nullptr);
    folder = name;
  }
  ~KeyFiles() {
    ::unlink((folder + "/secret").c_str());
    ::unlink((folder + "/clients").c_str());
    ::rmdir(folder.c_str());
  }
  std::string Write(const std::string& name, const std::string& text, mode_t mode) const {
    const std::string path = folder + "/" + name;
    std::ofstream(path) << text;
    HR_CHECK(::chmod(path.c_str(), mode) == 0);
    return path;
  }
  std::string folder;
};

TEST(EventKeys, AreReadFromTheirFiles) {
  const auto keys = net::MakeCurveKeys();
  if (!keys) GTEST_SKIP() << "no CURVE in this build";
  KeyFiles files;
  const std::string secret = files.Write("secret", keys->secret_key + "\n", 0600);
  const std::string clients = files.Write("clients", keys->public_key + "\n", 0644);
  std::string message;
  const auto read =
      ReadEventKeys({.curve_secret_file = secret, .curve_clients_file = clients}, &message);
  ASSERT_TRUE(read) << message;
  EXPECT_EQ(read->curve->own.public_key, keys->public_key);
  EXPECT_EQ(read->clients, std::vector<std::string>{keys->public_key});
}

TEST(EventKeys, AreRefusedWithTheOptionsName) {
  const auto keys = net::MakeCurveKeys();
  if (!keys) GTEST_SKIP() << "no CURVE in this build";
  KeyFiles files;
  const std::string two = keys->secret_key + "\n" + keys->secret_key;
  for (const auto& [text, mode] : std::vector<std::pair<std::string, mode_t>>{
           {"", 0600}, {"short", 0600}, {two, 0600}, {keys->secret_key, 0644}}) {
    const std::string secret = files.Write("secret", text, mode);
    std::string message;
    EXPECT_FALSE(ReadEventKeys({.curve_secret_file = secret}, &message));
    EXPECT_EQ(message.find("--events-curve-secret-file"), 0u) << message;
  }
  std::string message;
  EXPECT_FALSE(ReadEventKeys({.curve_secret_file = files.folder + "/none"}, &message));
  EXPECT_NE(message.find("No such file"), std::string::npos) << message;
}

}  // namespace
}  // namespace headrace::server
