#include "client/endpoint.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace headrace::client {
namespace {

class EndpointFromEnvironment : public ::testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("HEADRACE_ENGINE_ENDPOINT");
    ::unsetenv("HEADRACE_INSTANCE_ID");
  }
  void TearDown() override { SetUp(); }
};

TEST_F(EndpointFromEnvironment, TakesAUriOrAPath) {
  EXPECT_EQ(*SocketPath("ipc:///run/h.sock"), "/run/h.sock");
  EXPECT_EQ(*SocketPath("/run/h.sock"), "/run/h.sock");
  EXPECT_EQ(*SocketPath("h.sock"), "h.sock");
}

TEST_F(EndpointFromEnvironment, FallsBackToTheEnvironmentAndThenToTheDefault) {
  EXPECT_EQ(*SocketPath(""), "/tmp/headrace.sock");
  ::setenv("HEADRACE_ENGINE_ENDPOINT", "ipc:///run/e.sock", 1);
  EXPECT_EQ(*SocketPath(""), "/run/e.sock");
}

TEST_F(EndpointFromEnvironment, RefusesWhatIsNoPath) {
  EXPECT_EQ(SocketPath("tcp://host:1").error().code, Errc::kInvalid);
  EXPECT_EQ(SocketPath("ipc://").error().code, Errc::kInvalid);
  EXPECT_EQ(SocketPath(std::string("/a\0b", 4)).error().code, Errc::kInvalid);
  EXPECT_EQ(SocketPath("/" + std::string(107, 'x')).error().code, Errc::kLimit);
  EXPECT_TRUE(SocketPath("/" + std::string(106, 'x')).has_value());
}

TEST_F(EndpointFromEnvironment, NamesInstancesApartWhereNobodyNamesThem) {
  EXPECT_EQ(InstanceName("mine"), "mine");
  EXPECT_NE(InstanceName(""), InstanceName(""));
  ::setenv("HEADRACE_INSTANCE_ID", "theirs", 1);
  EXPECT_EQ(InstanceName(""), "theirs");
}

}  // namespace
}  // namespace headrace::client
