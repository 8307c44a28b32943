#include "net/zmq_endpoint.h"

#include <gtest/gtest.h>

namespace headrace::net {
namespace {

ZmqEndpoint Parse(std::string_view text) {
  auto endpoint = ParseZmqEndpoint(text);
  HR_CHECK(endpoint);
  return *endpoint;
}

TEST(ZmqEndpoint, ReadsHostAndPort) {
  EXPECT_EQ(Parse("tcp://127.0.0.1:5557").host, "127.0.0.1");
  EXPECT_EQ(Parse("tcp://127.0.0.1:5557").port, 5557);
  EXPECT_EQ(Parse("tcp://[::1]:80").host, "::1");
  EXPECT_EQ(Parse("tcp://*:*").host, "*");
  EXPECT_EQ(Parse("tcp://*:*").port, 0);
}

TEST(ZmqEndpoint, ReadsPaths) {
  EXPECT_EQ(Parse("ipc:///run/events").path, "/run/events");
  EXPECT_EQ(Parse("inproc://x").scheme, ZmqEndpoint::Scheme::kInproc);
}

TEST(ZmqEndpoint, RefusesWhatIsNone) {
  for (const char* text :
       {"", "127.0.0.1:5557", "tcp://", "tcp://host", "tcp://:1", "tcp://host:65536", "ipc://",
        "inproc://", "udp://127.0.0.1:1", "tcp://a b:1", "tcp://127.0.0.1:0;10.0.0.1:5557",
        "tcp://127.0.0.1:1\n"}) {
    EXPECT_FALSE(ParseZmqEndpoint(text)) << text;
  }
  EXPECT_FALSE(ParseZmqEndpoint("ipc://" + std::string(300, 'x')));
}

TEST(ZmqEndpoint, KnowsWhatOnlyThisHostReaches) {
  for (const char* text : {"tcp://127.0.0.1:1", "tcp://127.8.0.1:1", "tcp://localhost:1",
                           "tcp://[::1]:1", "ipc:///x", "inproc://x"}) {
    EXPECT_TRUE(Parse(text).is_local()) << text;
  }
  for (const char* text : {"tcp://*:1", "tcp://0.0.0.0:1", "tcp://10.1.1.1:1", "tcp://[::]:1",
                           "tcp://127.example.org:1", "tcp://eth0:1", "tcp://lo:1"}) {
    EXPECT_FALSE(Parse(text).is_local()) << text;
  }
}

TEST(ZmqEndpoint, KnowsWhatCanOnlyBeBound) {
  for (const char* text :
       {"tcp://*:5557", "tcp://[::]:5557", "tcp://127.0.0.1:0", "ipc:///x", "inproc://x"}) {
    EXPECT_TRUE(Parse(text).must_bind()) << text;
  }
  EXPECT_FALSE(Parse("tcp://indexer.local:5557").must_bind());
}

}  // namespace
}  // namespace headrace::net
