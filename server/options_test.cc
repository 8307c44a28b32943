#include "server/options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "server/device.h"
#include "server/stat_table.h"

namespace headrace::server {
namespace {

struct Parsed {
  bool ok = false;
  std::string message;
  ServerOptions options;
};

Parsed Parse(std::vector<const char*> flags) {
  flags.insert(flags.begin(), "headrace-server");
  Parsed parsed;
  const auto outcome = ParseServerOptions(static_cast<int>(flags.size()), flags.data(),
                                          &parsed.options, &parsed.message);
  parsed.ok = outcome.has_value();
  return parsed;
}

TEST(ServerOptions, HasTheDocumentedDefaults) {
  const Parsed parsed = Parse({});
  ASSERT_TRUE(parsed.ok) << parsed.message;
  EXPECT_EQ(parsed.options.pool_bytes, 30ull << 30);
  EXPECT_EQ(parsed.options.page_bytes, 64ull << 20);
  EXPECT_EQ(parsed.options.socket_path, "/tmp/headrace.sock");
  EXPECT_EQ(parsed.options.socket_permission, 0600u);
  EXPECT_EQ(parsed.options.devices, std::vector<std::string>{"0"});
}

TEST(ServerOptions, RefusesWrongValuesWithALineThatNamesTheOption) {
  const std::vector<std::vector<const char*>> wrong = {
      {"--pool-size", "abc"},    {"--pool-size", "-1gb"},      {"--pool-size", "1"},
      {"--page-size", "3mb"},    {"--min-slot", "5000"},       {"--device", "gpu"},
      {"--device", "0,cpu"},     {"--socket", "tcp://x"},      {"--socket-mode", "rw"},
      {"--socket-mode", "7777"}, {"--log-level", "loud"},      {"--mover", "both"},
      {"--huge-pages", "maybe"}, {"--lock-memory", "perhaps"}, {"--max-frame", "1kb"},
      {"--high-water", "2"},     {"--max-lease", "soon"},      {"--mover-threads", "0"},
      {"--max-output", "0"},     {"--mover-chunk", "1"}};
  for (const auto& flags : wrong) {
    const Parsed parsed = Parse(flags);
    EXPECT_FALSE(parsed.ok) << flags[0] << " " << flags[1];
    EXPECT_EQ(parsed.message.find(flags[0]), 0u) << parsed.message;
    EXPECT_EQ(parsed.message.find('\n'), std::string::npos) << parsed.message;
  }
}

TEST(ServerOptions, RefusesAnUnknownFlag) {
  const Parsed parsed = Parse({"--pool-sice", "1gb"});
  EXPECT_FALSE(parsed.ok);
  EXPECT_NE(parsed.message.find("--pool-sice"), std::string::npos) << parsed.message;
}

TEST(ServerOptions, TakesAPathWithAndWithoutScheme) {
  EXPECT_EQ(Parse({"--socket", "ipc:///run/h.sock"}).options.socket_path, "/run/h.sock");
  EXPECT_EQ(Parse({"--socket", "/run/h.sock"}).options.socket_path, "/run/h.sock");
  const std::string long_path = "/" + std::string(200, 'x');
  EXPECT_FALSE(Parse({"--socket", long_path.c_str()}).ok);
}

TEST(ServerOptions, TakesAListOfDevicesUnderBothNames) {
  EXPECT_EQ(Parse({"--devices", "0,1"}).options.devices, (std::vector<std::string>{"0", "1"}));
  EXPECT_TRUE(Parse({"--device", "cpu"}).options.cpu_only());
}

TEST(ServerOptions, GivesASmallPoolSmallerPages) {
  const Parsed small = Parse({"--pool-size", "256mb"});
  ASSERT_TRUE(small.ok) << small.message;
  EXPECT_EQ(small.options.page_bytes, 8ull << 20);
  const Parsed tiny = Parse({"--pool-size", "300kb"});
  ASSERT_TRUE(tiny.ok) << tiny.message;
  EXPECT_EQ(tiny.options.page_bytes, 256ull << 10);
  EXPECT_EQ(tiny.options.pool_bytes, 256ull << 10);
  const Parsed told = Parse({"--pool-size", "256mb", "--page-size", "64mb"});
  EXPECT_EQ(told.options.page_bytes, 64ull << 20);
  EXPECT_FALSE(Parse({"--pool-size", "32mb", "--page-size", "64mb"}).ok);
}

TEST(ServerOptions, AllowsAPoolOfSizeZero) {
  const Parsed parsed = Parse({"--pool-size", "0"});
  ASSERT_TRUE(parsed.ok) << parsed.message;
  EXPECT_EQ(parsed.options.pool_bytes, 0u);
}

TEST(ServerOptions, NeverMakesMoreRegionsThanTheHeaderNames) {
  const Parsed parsed = Parse({"--pool-size", "1tb"});
  ASSERT_TRUE(parsed.ok) << parsed.message;
  EXPECT_LE(
      (parsed.options.pool_bytes + parsed.options.region_bytes - 1) / parsed.options.region_bytes,
      64u);
  const Parsed told = Parse({"--pool-size", "1tb", "--region-size", "1gb"});
  EXPECT_FALSE(told.ok);
  EXPECT_EQ(told.message.find("--region-size"), 0u) << told.message;
}

TEST(ServerOptions, HasAnOptionForEveryLimitItReportsHitsOf) {
  std::set<std::string> names;
  for (const LimitValue& limit : LimitsOf(ServerOptions{})) {
    EXPECT_TRUE(names.insert(limit.name).second) << limit.name;
  }
  EXPECT_GE(names.size(), 32u);
  for (const LimitHitRow& row : LimitHitRows()) {
    if (std::string(row.name) == "all-of-the-cache") continue;
    EXPECT_TRUE(names.contains(row.name)) << row.name;
  }
}

TEST(ServerOptions, ReportsTheLimitsThatWereSet) {
  const Parsed parsed = Parse({"--max-sessions", "17"});
  ASSERT_TRUE(parsed.ok) << parsed.message;
  EXPECT_EQ(parsed.options.engine.max_sessions, 17u);
  const auto limits = LimitsOf(parsed.options);
  const auto found = std::find_if(limits.begin(), limits.end(),
                                  [](const LimitValue& l) { return l.name == "max-sessions"; });
  ASSERT_NE(found, limits.end());
  EXPECT_EQ(found->value, 17);
}

TEST(Device, SaysWhatIsMissingAndWhatWouldWork) {
  std::string message;
  EXPECT_FALSE(CheckDevice(Parse({}).options, false, &message));
  EXPECT_EQ(message,
            "--device 0: this machine has no CUDA driver (libcuda.so.1); use --device cpu");
  EXPECT_FALSE(CheckDevice(Parse({"--device", "3,1"}).options, true, &message));
  EXPECT_EQ(message, "--device 3: GPU import is not part of this version; use --device cpu");
  EXPECT_TRUE(CheckDevice(Parse({"--device", "cpu"}).options, false, &message));
}

}  // namespace
}  // namespace headrace::server
