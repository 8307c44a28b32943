#include "server/index_options.h"

#include <gtest/gtest.h>

namespace headrace::server {
namespace {

constexpr uint64_t kPool = 1ull << 30;

bool May(const IndexOptions& options, uint64_t pool, const std::string& address,
         std::string* message) {
  message->clear();
  return CheckIndexOptions(options, pool, address, message).has_value();
}

TEST(IndexOptions, TurnTheIndexOnWhenThereIsNothingElse) {
  EXPECT_FALSE(IndexOptions{}.on(kPool));
  EXPECT_TRUE(IndexOptions{}.on(0));
  EXPECT_TRUE((IndexOptions{.config_file = "x"}).on(kPool));
  EXPECT_TRUE((IndexOptions{.discover = {"h:1"}}).on(kPool));
  EXPECT_TRUE((IndexOptions{.grpc_addr = "h:1"}).on(kPool));
  EXPECT_TRUE((IndexOptions{.mode = "on"}).on(kPool));
  EXPECT_FALSE((IndexOptions{.mode = "off", .config_file = "x"}).on(0));
}

TEST(IndexOptions, NeedATokenOffThisHost) {
  std::string message;
  for (const char* address : {"0.0.0.0:9091", "[::]:9091", "10.0.0.1:9091", "128.0.0.1:1"}) {
    EXPECT_FALSE(May({.mode = "on"}, kPool, address, &message)) << address;
    EXPECT_EQ(message.find("--http-addr: "), 0u) << message;
    EXPECT_NE(message.find("--index-token-file"), std::string::npos) << message;
    EXPECT_TRUE(May({.mode = "on", .token_file = "t"}, kPool, address, &message)) << address;
    EXPECT_TRUE(May({.mode = "off"}, 0, address, &message)) << address;
  }
}

TEST(IndexOptions, NeedNoTokenOnThisHost) {
  std::string message;
  for (const char* address : {"127.0.0.1:9091", "127.1.2.3:0", "[::1]:9091", "localhost:1"}) {
    EXPECT_TRUE(May({.mode = "on"}, kPool, address, &message)) << address << message;
  }
}

TEST(IndexOptions, SayWhatIsWrongWithAnAddress) {
  std::string message;
  EXPECT_TRUE(May({.discover = {"10.0.0.1:8000", "[::1]:1"}}, kPool, "127.0.0.1:1", &message));
  EXPECT_FALSE(May({.discover = {"10.0.0.1"}}, kPool, "127.0.0.1:1", &message));
  EXPECT_EQ(message.find("--discover: \"10.0.0.1\" is not HOST:PORT"), 0u) << message;
  for (const char* address : {"nonsense", "127.example.org:1"}) {
    EXPECT_FALSE(May({.grpc_addr = address}, kPool, "127.0.0.1:1", &message)) << address;
    EXPECT_EQ(message.find("--grpc-addr: "), 0u) << message;
  }
}

}  // namespace
}  // namespace headrace::server
