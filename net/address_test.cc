#include "net/address.h"

#include <gtest/gtest.h>

namespace headrace::net {
namespace {

TEST(ParseHostPort, TakesHostAndPortApart) {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
  };
  for (const Case& c : {Case{"127.0.0.1:9091", "127.0.0.1", 9091}, Case{"[::1]:80", "::1", 80},
                        Case{"localhost:0", "localhost", 0}, Case{"a.b:65535", "a.b", 65535}}) {
    auto parsed = ParseHostPort(c.text);
    ASSERT_TRUE(parsed) << c.text;
    EXPECT_EQ(parsed->host, c.host);
    EXPECT_EQ(parsed->port, c.port);
  }
}

TEST(ParseHostPort, RefusesWhatIsNotBoth) {
  for (const char* text :
       {"", ":", "127.0.0.1", "127.0.0.1:", ":80", "[]:80", "::1:80", "[::1]", "[::1:80", "a:65536",
        "a:-1", "a:+1", "a:8o", "a: 80", "a b:80", "http://a:80", "[[::1]]:80"}) {
    auto parsed = ParseHostPort(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, Errc::kInvalid);
  }
}

TEST(IsLoopback, IsOfThisHostAlone) {
  for (const char* host : {"localhost", "::1", "127.0.0.1", "127.8.0.1"}) {
    EXPECT_TRUE(IsLoopback(host)) << host;
  }
  for (const char* host : {"", "0.0.0.0", "::", "*", "10.0.0.1", "128.0.0.1", "127.example.org",
                           "localhost.example.org", "::10"}) {
    EXPECT_FALSE(IsLoopback(host)) << host;
  }
}

}  // namespace
}  // namespace headrace::net
