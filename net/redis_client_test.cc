#include "net/redis_client.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "net/redis_rig.h"

namespace headrace::net {
namespace {

TEST(RedisSlot, IsTheCrcOfTheKeyOrOfItsTag) {
  EXPECT_EQ(RedisSlot("123456789"), 0x31c3 % kRedisSlots);
  EXPECT_EQ(RedisSlot("{user1000}.following"), RedisSlot("user1000"));
  EXPECT_EQ(RedisSlot("foo{}{bar}"), RedisSlot(std::string_view("foo{}{bar}")));
  EXPECT_NE(RedisSlot("foo{}{bar}"), RedisSlot("bar"));  // an empty tag is none
  EXPECT_EQ(RedisSlot("foo{{bar}}zap"), RedisSlot("{bar"));
  EXPECT_EQ(RedisSlot("foo{bar}{zap}"), RedisSlot("bar"));
}

TEST(RedisScript, IsNamedByItsSha1) {
  EXPECT_EQ(RedisScript("return 1").sha(), "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");
}

// A client on a loop of its own.
class Client {
 public:
  explicit Client(RedisOptions options) : loop_(std::move(*Loop::Create())) {
    std::string message;
    auto client = RedisClient::Create(
        loop_.get(), std::move(options),
        {[this](bool lost) { ++ups, losses += lost ? 1 : 0; }, [this](const Error&) { ++downs; }},
        &message);
    HR_CHECK(client.has_value());
    client_ = std::move(*client);
  }
  explicit Client(const std::string& url) : Client(OptionsFor(url)) {}

  bool Up() {
    return RunUntil(loop_.get(), [this] { return client_->up(); });
  }
  bool Until(const std::function<bool()>& done) { return RunUntil(loop_.get(), done); }
  // The first reply as text, or the error's name.
  std::string Ask(RedisBatch batch) {
    std::string answer;
    client_->Call(std::move(batch), [&](const Result<RedisReplies>& replies) {
      answer = replies ? Text((*replies)[0]) : std::string("!") + ErrcName(replies.error().code);
    });
    HR_CHECK(answer.empty());
    HR_CHECK(RunUntil(loop_.get(), [&] { return !answer.empty(); }));
    return answer;
  }
  std::string Ask(std::initializer_list<std::string_view> words) {
    RedisBatch batch;
    batch.Add(words.size() > 1 ? *(words.begin() + 1) : "", words);
    return Ask(std::move(batch));
  }
  RedisClient& client() { return *client_; }
  Loop* loop() { return loop_.get(); }

  int ups = 0, downs = 0, losses = 0;

 private:
  static std::string Text(const RespValue& value) {
    if (value.kind() == RespKind::kInteger) return std::to_string(value.integer());
    return value.is_nil() ? "nil" : std::string(value.text());
  }

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<RedisClient> client_;
};

TEST(RedisClient, SetsAndGets) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  Client client(redis.url());
  ASSERT_TRUE(client.Up());
  EXPECT_FALSE(client.client().cluster());
  EXPECT_EQ(client.Ask({"SET", "k", "v"}), "OK");
  EXPECT_EQ(client.Ask({"GET", "k"}), "v");
  EXPECT_EQ(client.Ask({"GET", "other"}), "nil");
  EXPECT_EQ(client.Ask({"NOSUCH", "k"}).substr(0, 11), "ERR unknown");
}

TEST(RedisClient, ABatchIsOneRoundTrip) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  Client client(redis.url());
  ASSERT_TRUE(client.Up());
  RedisBatch batch;
  for (int i = 0; i < 2000; ++i) batch.Add("n", {"INCR", "n"});
  int64_t last = 0;
  client.client().Call(std::move(batch), [&](const Result<RedisReplies>& replies) {
    ASSERT_TRUE(replies.has_value());
    EXPECT_EQ(replies->size(), 2000u);
    EXPECT_EQ(replies->error(), nullptr);
    last = (*replies)[1999].integer();
  });
  ASSERT_TRUE(client.Until([&] { return last != 0; }));
  EXPECT_EQ(last, 2000);
  EXPECT_EQ(client.client().counters().round_trips, 1u);
}

TEST(RedisClient, LongValuesComeInManyPieces) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  Client client(redis.url());
  ASSERT_TRUE(client.Up());
  std::string value(3 << 20, 'x');
  value[12345] = '\r';
  value[12346] = '\n';
  EXPECT_EQ(client.Ask({"SET", "k", value}), "OK");
  EXPECT_EQ(client.Ask({"GET", "k"}), value);
}

TEST(RedisClient, LoadsAScriptThatTheServerLost) {
  HR_NEEDS_REDIS();
  static const RedisScript script("return redis.call('INCRBY', KEYS[1], ARGV[1])");
  TestRedis redis;
  Client client(redis.url());
  ASSERT_TRUE(client.Up());
  for (int64_t sum = 5; sum <= 15; sum += 5) {
    RedisBatch batch;
    batch.Eval(script, "n", 1, 2);
    batch.Word("n");
    batch.Word("5");
    EXPECT_EQ(client.Ask(std::move(batch)), std::to_string(sum));
    if (sum == 10) redis.Ask({"SCRIPT", "FLUSH"});
  }
  EXPECT_EQ(client.client().counters().scripts_loaded, 2u);
}

TEST(RedisClient, AuthenticatesByPasswordAndByUser) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  redis.Ask({"ACL", "SETUSER", "me", "on", ">other", "~*", "+@all"});
  redis.Ask({"CONFIG", "SET", "requirepass", "s3cret@"});
  const std::string port = std::to_string(redis.port());
  Client right("redis://:s3cret%40@127.0.0.1:" + port);
  EXPECT_TRUE(right.Up());
  Client user("redis://me:other@127.0.0.1:" + port + "/2");
  ASSERT_TRUE(user.Up());
  EXPECT_EQ(user.Ask({"SET", "k", "2"}), "OK");
  EXPECT_EQ(right.Ask({"GET", "k"}), "nil");  // another database
  Client wrong("redis://:no@127.0.0.1:" + port);
  ASSERT_TRUE(
      wrong.Until([&] { return wrong.client().trouble().find("WRONGPASS") != std::string::npos; }));
  EXPECT_FALSE(wrong.client().up());
  EXPECT_EQ(wrong.Ask({"GET", "k"}), "!unavailable");
}

TEST(RedisClient, ComesThroughAUnixSocket) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  Client client("unix://" + redis.path("sock"));
  ASSERT_TRUE(client.Up());
  EXPECT_EQ(client.Ask({"SET", "k", "v"}), "OK");
}

TEST(RedisClient, FindsAHostByName) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  Client client("redis://localhost:" + std::to_string(redis.port()));
  ASSERT_TRUE(client.Up());
  Client nowhere("redis://no-such-host.invalid:1");
  EXPECT_TRUE(nowhere.Until([&] {
    return nowhere.client().trouble().find("the host has no address") != std::string::npos;
  }));
}

TEST(RedisClient, SaysUnavailableAndComesBackByItself) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  Client client(redis.url());
  ASSERT_TRUE(client.Up());
  redis.Kill();
  ASSERT_TRUE(client.Until([&] { return client.downs == 1; }));
  EXPECT_EQ(client.Ask({"GET", "k"}), "!unavailable");
  EXPECT_FALSE(client.client().trouble().empty());
  redis.Start();
  ASSERT_TRUE(client.Until([&] { return client.ups == 2; }));
  EXPECT_EQ(client.losses, 1);  // it is another process
  EXPECT_EQ(client.Ask({"SET", "k", "v"}), "OK");
}

TEST(RedisClient, AConnectionThatBreaksLosesNothingOfTheServer) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  Client client(redis.url());
  ASSERT_TRUE(client.Up());
  redis.Ask({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"});
  ASSERT_TRUE(client.Until([&] { return client.ups == 2; }));
  EXPECT_EQ(client.losses, 0);
}

TEST(RedisClient, AServerThatDoesNotAnswerTimesOut) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  RedisOptions options = OptionsFor(redis.url());
  options.command_timeout = milliseconds(200);
  Client client(options);
  ASSERT_TRUE(client.Up());
  redis.Freeze();
  EXPECT_EQ(client.Ask({"GET", "k"}), "!timeout");
  redis.Thaw();
  ASSERT_TRUE(client.Until([&] { return client.ups == 2; }));
  EXPECT_EQ(client.losses, 0);
}

TEST(RedisClient, RefusesMoreThanItMayQueue) {
  HR_NEEDS_REDIS();
  TestRedis redis;
  RedisOptions options = OptionsFor(redis.url());
  options.max_pipeline = 2;
  Client client(options);
  ASSERT_TRUE(client.Up());
  int answered = 0, refused = 0;
  for (int i = 0; i < 5; ++i) {
    RedisBatch batch;
    batch.Add("k", {"GET", "k"});
    client.client().Call(std::move(batch), [&](const Result<RedisReplies>& replies) {
      ++answered;
      refused += !replies && replies.error().code == Errc::kLimit ? 1 : 0;
    });
  }
  ASSERT_TRUE(client.Until([&] { return answered == 5; }));
  EXPECT_EQ(refused, 3);
}

// A certificate that openssl makes: `name` is whom it names.
void MakeCertificate(const TestFolder& folder, const std::string& name) {
  const std::string command =
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
      "/CN=" +
      name + " -addext subjectAltName=" + (name[0] == '1' ? "IP:" : "DNS:") + name + " -keyout " +
      folder / (name + ".key") + " -out " + folder / (name + ".crt") + " 2>/dev/null";
  const int done = std::system(command.c_str());  // NOLINT(cert-env33-c)
  HR_CHECK(done == 0);
}

class RedisTls : public testing::Test {
 protected:
  void SetUp() override {
    HR_NEEDS_REDIS();
    MakeCertificate(folder_, "127.0.0.1");
    MakeCertificate(folder_, "elsewhere.example");
    Start("127.0.0.1");
  }
  void Start(const std::string& name) {
    port_ = FreePort();
    redis_ = std::make_unique<TestRedis>(
        std::vector<std::string>{"--tls-port", std::to_string(port_), "--tls-cert-file",
                                 folder_ / (name + ".crt"), "--tls-key-file",
                                 folder_ / (name + ".key"), "--tls-ca-cert-file",
                                 folder_ / (name + ".crt"), "--tls-auth-clients", "optional"},
        0);
  }
  RedisOptions Options(const std::string& ca) {
    RedisOptions options = OptionsFor("rediss://127.0.0.1:" + std::to_string(port_));
    options.tls.ca_file = folder_ / (ca + ".crt");
    return options;
  }
  static bool IsRefused(const RedisOptions& options, const std::string& why) {
    Client client(options);
    return client.Until([&] { return client.client().trouble().find(why) != std::string::npos; });
  }

  TestFolder folder_;
  uint16_t port_ = 0;
  std::unique_ptr<TestRedis> redis_;
};

TEST_F(RedisTls, TalksToAServerThatItsCaKnows) {
  Client client(Options("127.0.0.1"));
  ASSERT_TRUE(client.Up());
  EXPECT_EQ(client.Ask({"SET", "k", std::string(100000, 'x')}), "OK");
  EXPECT_EQ(client.Ask({"GET", "k"}), std::string(100000, 'x'));
}

TEST_F(RedisTls, RefusesAServerThatItsCaDoesNotKnow) {
  EXPECT_TRUE(IsRefused(Options("elsewhere.example"), "self-signed certificate"));
}

TEST_F(RedisTls, RefusesACertificateOfAnotherName) {
  Start("elsewhere.example");
  EXPECT_TRUE(IsRefused(Options("elsewhere.example"), "IP address mismatch"));
  RedisOptions named = Options("elsewhere.example");
  named.tls.server_name = "elsewhere.example";
  Client client(named);
  EXPECT_TRUE(client.Up());
}

TEST_F(RedisTls, ShowsACertificateOfItsOwn) {
  RedisOptions options = Options("127.0.0.1");
  redis_->Ask({"CONFIG", "SET", "tls-auth-clients", "yes"});
  options.tls.cert_file = folder_ / "127.0.0.1.crt";
  options.tls.key_file = folder_ / "127.0.0.1.key";
  Client client(options);
  EXPECT_TRUE(client.Up());
}

TEST_F(RedisTls, NamesAFileThatCannotBeRead) {
  RedisOptions options = Options("missing");
  auto loop = std::move(*Loop::Create());
  std::string message;
  auto client =
      RedisClient::Create(loop.get(), options, {[](bool) {}, [](const Error&) {}}, &message);
  EXPECT_FALSE(client.has_value());
  EXPECT_NE(message.find("missing.crt"), std::string::npos) << message;
}

TEST_F(RedisTls, APlainServerIsNoTlsServer) {
  TestRedis plain;
  RedisOptions options = OptionsFor("rediss://127.0.0.1:" + std::to_string(plain.port()));
  options.tls.ca_file = folder_ / "127.0.0.1.crt";
  options.connect_timeout = milliseconds(200);
  EXPECT_TRUE(IsRefused(options, "connecting took too long"));
}

TEST(RedisCluster, FindsTheNodesAndTheirSlots) {
  HR_NEEDS_REDIS();
  TestCluster cluster;
  Client client(cluster.url());
  ASSERT_TRUE(client.Up());
  EXPECT_TRUE(client.client().cluster());
  EXPECT_EQ(client.client().nodes()->Owners().size(), 3u);
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) {
    EXPECT_EQ(client.Ask({"SET", key, key}), "OK");
    EXPECT_EQ(cluster.Ask(RedisSlot(key), {"GET", key}), key);
  }
  EXPECT_EQ(client.client().counters().moved, 0u);
}

TEST(RedisCluster, FollowsMovedAndAsk) {
  HR_NEEDS_REDIS();
  TestCluster cluster;
  Client client(cluster.url());
  ASSERT_TRUE(client.Up());
  const uint16_t slot = RedisSlot("{t}");
  const size_t to = (cluster.OwnerOf(slot) + 1) % 3;
  EXPECT_EQ(client.Ask({"SET", "{t}old", "1"}), "OK");
  cluster.BeginMove(slot, to);
  EXPECT_EQ(client.Ask({"GET", "{t}old"}), "1");        // still there
  EXPECT_EQ(client.Ask({"SET", "{t}new", "2"}), "OK");  // by ASK
  EXPECT_EQ(client.client().counters().asked, 1u);
  cluster.MoveKeys(slot, to);
  EXPECT_EQ(client.Ask({"GET", "{t}old"}), "1");
  EXPECT_EQ(client.client().counters().asked, 2u);
  cluster.EndMove(slot, to);
  EXPECT_EQ(client.Ask({"GET", "{t}new"}), "2");
  EXPECT_EQ(client.client().counters().moved, 1u);
  EXPECT_EQ(client.Ask({"GET", "{t}new"}), "2");  // the map knows it now
  EXPECT_EQ(client.client().counters().moved, 1u);
}

}  // namespace
}  // namespace headrace::net
