#include "base/options.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace headrace {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

// A program's options, as a main binds them.
struct Program {
  uint64_t pool = 30 * kGiB;
  uint32_t threads = 4;
  double water = 0.95;
  Duration lease = seconds(30);
  bool canary = true;
  std::string policy = "lru";
  std::string socket = "ipc:///tmp/headrace.sock";
  std::vector<std::string> devices = {"0"};
  OptionTable table{"headrace-test", "keeps blocks"};
  std::string message;

  Program() {
    table.Group("Memory");
    table.Size("pool-size", &pool, "bytes of the pool");
    table.Share("high-water", &water, "share of the pool at which eviction starts");
    table.Choice("policy", &policy, {"lru", "fifo"}, "which block goes first");
    table.Group("Work");
    table.Number("threads", &threads, uint32_t{1}, uint32_t{64}, "copy threads");
    table.Time("lease", &lease, "how long a lease lasts");
    table.Flag("canary", &canary, "check each layout with a canary block");
    table.List("device", &devices, "LIST", "GPU numbers, or cpu");
    table.Alias("devices", "device");
    table.Text("socket", &socket, "PATH", "where clients connect");
    table.Environment("HEADRACE_ENGINE_ENDPOINT", "socket");
  }

  bool Parse(std::vector<const char*> flags) {
    flags.insert(flags.begin(), "headrace-test");
    auto outcome = table.Parse(static_cast<int>(flags.size()), flags.data(), &message);
    return outcome && *outcome == OptionTable::Outcome::kRun;
  }
  std::string SourceOf(const std::string& name) const {
    for (const auto& option : table.effective()) {
      if (option.name == name) return option.source;
    }
    return "no such option";
  }
};

class OptionsTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/headrace_options_test_XXXXXX";
    int fd = mkstemp(path);
    ASSERT_GE(fd, 0);
    ::close(fd);
    file_ = path;
  }
  void TearDown() override {
    ::unlink(file_.c_str());
    for (const std::string& name : set_) ::unsetenv(name.c_str());
  }
  void SetVariable(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }
  void WriteFile(const std::string& text) { std::ofstream(file_) << text; }

  std::string file_;
  std::vector<std::string> set_;
  Program program_;
};

// What `flags` make the program say.
std::string Refusal(std::vector<const char*> flags) {
  Program program;
  EXPECT_FALSE(program.Parse(std::move(flags)));
  return program.message;
}

TEST_F(OptionsTest, KeepsDefaultsWhenNothingIsGiven) {
  ASSERT_TRUE(program_.Parse({}));
  EXPECT_EQ(program_.pool, 30 * kGiB);
  EXPECT_EQ(program_.SourceOf("pool-size"), "default");
  EXPECT_FALSE(program_.table.given("pool-size"));
}

TEST_F(OptionsTest, ReadsEveryKindOfFlag) {
  ASSERT_TRUE(program_.Parse({"--pool-size", "2gb", "--threads=8", "--high-water", "0.5", "--lease",
                              "250ms", "--canary=off", "--policy", "fifo", "--device", "0,1",
                              "--device", "3", "--socket=/run/x"}))
      << program_.message;
  EXPECT_EQ(program_.pool, 2 * kGiB);
  EXPECT_EQ(program_.threads, 8U);
  EXPECT_DOUBLE_EQ(program_.water, 0.5);
  EXPECT_EQ(program_.lease, milliseconds(250));
  EXPECT_FALSE(program_.canary);
  EXPECT_EQ(program_.policy, "fifo");
  EXPECT_EQ(program_.devices, (std::vector<std::string>{"0", "1", "3"}));
  EXPECT_EQ(program_.socket, "/run/x");
}

TEST_F(OptionsTest, PrefersFlagThenEnvironmentThenFileThenDefault) {
  WriteFile("pool-size: 1gb\nthreads: 1\nlease: 1s\n");
  SetVariable("HEADRACE_POOL_SIZE", "2gb");
  SetVariable("HEADRACE_THREADS", "2");
  ASSERT_TRUE(program_.Parse({"--config", file_.c_str(), "--pool-size", "3gb"}))
      << program_.message;
  EXPECT_EQ(program_.pool, 3 * kGiB);
  EXPECT_EQ(program_.SourceOf("pool-size"), "flag");
  EXPECT_EQ(program_.threads, 2U);
  EXPECT_EQ(program_.SourceOf("threads"), "environment HEADRACE_THREADS");
  EXPECT_EQ(program_.lease, seconds(1));
  EXPECT_EQ(program_.SourceOf("lease"), "file " + file_);
  EXPECT_DOUBLE_EQ(program_.water, 0.95);
  EXPECT_EQ(program_.SourceOf("high-water"), "default");
  EXPECT_TRUE(program_.table.given("lease"));
}

TEST_F(OptionsTest, TakesTheFileFromTheEnvironment) {
  WriteFile("# nothing but this\nthreads: 7\n");
  SetVariable("HEADRACE_CONFIG", file_);
  ASSERT_TRUE(program_.Parse({})) << program_.message;
  EXPECT_EQ(program_.threads, 7U);
}

TEST_F(OptionsTest, TakesListsAndSwitchesFromTheFile) {
  WriteFile("devices: [2, 3]\ncanary: false\n");
  ASSERT_TRUE(program_.Parse({"--config", file_.c_str()})) << program_.message;
  EXPECT_EQ(program_.devices, (std::vector<std::string>{"2", "3"}));
  EXPECT_FALSE(program_.canary);
  WriteFile("");
  EXPECT_TRUE(Program().Parse({"--config", file_.c_str()}));
}

TEST_F(OptionsTest, ReplacesAListByThatOfAStrongerSource) {
  SetVariable("HEADRACE_DEVICE", "1,2");
  ASSERT_TRUE(program_.Parse({"--devices", "cpu"}));
  EXPECT_EQ(program_.devices, std::vector<std::string>{"cpu"});
}

TEST_F(OptionsTest, KnowsAliasesEverywhere) {
  ASSERT_TRUE(program_.Parse({"--devices", "cpu"}));
  EXPECT_EQ(program_.devices, std::vector<std::string>{"cpu"});
  EXPECT_TRUE(program_.table.given("device"));
  SetVariable("HEADRACE_DEVICES", "5");
  Program other;
  ASSERT_TRUE(other.Parse({}));
  EXPECT_EQ(other.devices, std::vector<std::string>{"5"});
}

TEST_F(OptionsTest, PrefersTheOwnEnvironmentNameToTheOther) {
  SetVariable("HEADRACE_ENGINE_ENDPOINT", "ipc:///one");
  ASSERT_TRUE(program_.Parse({}));
  EXPECT_EQ(program_.socket, "ipc:///one");
  SetVariable("HEADRACE_SOCKET", "ipc:///two");
  Program other;
  ASSERT_TRUE(other.Parse({}));
  EXPECT_EQ(other.socket, "ipc:///two");
  SetVariable("HEADRACE_SOCKET", "");  // set to nothing is not set
  Program third;
  ASSERT_TRUE(third.Parse({}));
  EXPECT_EQ(third.socket, "ipc:///one");
}

TEST_F(OptionsTest, LetsTheLastOfRepeatedFlagsCount) {
  ASSERT_TRUE(program_.Parse({"--threads", "2", "--threads", "3"}));
  EXPECT_EQ(program_.threads, 3U);
}

TEST_F(OptionsTest, TakesASwitchAlone) {
  program_.canary = false;
  ASSERT_TRUE(program_.Parse({"--canary", "--threads", "2"}));
  EXPECT_TRUE(program_.canary);
  ASSERT_TRUE(Program().Parse({"--canary", "off"}));
}

TEST_F(OptionsTest, NamesTheFlagAndWhatWouldBeRight) {
  EXPECT_EQ(Refusal({"--pool-size", "abc"}),
            "--pool-size: \"abc\" is not a size; write for example 30gb");
  EXPECT_EQ(Refusal({"--pool-size", "-1gb"}),
            "--pool-size: \"-1gb\" is not a size; write for example 30gb");
  EXPECT_EQ(Refusal({"--threads", "0"}),
            "--threads: 0 is out of range; write a number from 1 to 64");
  EXPECT_EQ(Refusal({"--threads", "x"}),
            "--threads: \"x\" is not a whole number; write one from 1 to 64");
  EXPECT_EQ(Refusal({"--lease", "30"}),
            "--lease: \"30\" is not a duration; write for example 5ms or 30s");
  EXPECT_EQ(Refusal({"--high-water", "1.1"}),
            "--high-water: \"1.1\" is not a share; write a number from 0 to 1, for example 0.9");
  EXPECT_EQ(Refusal({"--high-water", "nan"}),
            "--high-water: \"nan\" is not a share; write a number from 0 to 1, for example 0.9");
  EXPECT_EQ(Refusal({"--canary=maybe"}), "--canary: \"maybe\" is not a switch; write on or off");
  EXPECT_EQ(Refusal({"--policy", "mru"}),
            "--policy: \"mru\" is not a choice; write one of lru, fifo");
  EXPECT_EQ(Refusal({"--device", "0,,1"}),
            "--device: \"0,,1\" has an empty element; write for example a,b,c");
  EXPECT_EQ(Refusal({"--devices", "0,"}),
            "--devices: \"0,\" has an empty element; write for example a,b,c");
}

TEST_F(OptionsTest, NamesAnUnknownFlagAndTheNearestKnownOne) {
  EXPECT_EQ(Refusal({"--pool-sze", "1gb"}),
            "--pool-sze: unknown option; did you mean --pool-size?");
  EXPECT_EQ(Refusal({"--pool_size=1gb"}), "--pool_size: unknown option; did you mean --pool-size?");
  EXPECT_EQ(Refusal({"--pool", "1gb"}), "--pool: unknown option; did you mean --pool-size?");
  EXPECT_EQ(Refusal({"--frobnicate"}), "--frobnicate: unknown option; --help lists all");
}

TEST_F(OptionsTest, NamesMissingValuesAndStrayWords) {
  EXPECT_EQ(Refusal({"--threads"}), "--threads: needs a value");
  EXPECT_EQ(Refusal({"--threads", "--canary"}), "--threads: needs a value");
  EXPECT_EQ(Refusal({"--socket", "--threads", "2"}), "--socket: needs a value");
  EXPECT_EQ(Refusal({"--threads="}), "--threads: needs a value");
  std::string stray = "\": not expected; write options as --name value and switches as --name=off";
  EXPECT_EQ(Refusal({"serve"}), "\"serve" + stray);
  EXPECT_EQ(Refusal({"--threads", "2", "3"}), "\"3" + stray);
  EXPECT_EQ(Refusal({"-threads"}), "\"-threads" + stray);
}

TEST_F(OptionsTest, NamesTheEnvironmentVariable) {
  SetVariable("HEADRACE_POOL_SIZE", "lots");
  EXPECT_EQ(Refusal({}), "HEADRACE_POOL_SIZE: \"lots\" is not a size; write for example 30gb");
}

TEST_F(OptionsTest, NamesTheFileAndTheLine) {
  auto refusal = [&](const std::string& text) {
    WriteFile(text);
    std::string message = Refusal({"--config", file_.c_str()});
    EXPECT_TRUE(message.starts_with(file_ + ":")) << message;
    return message.substr(std::min(message.size(), file_.size()));
  };
  EXPECT_EQ(refusal("threads: 2\n\npool-sze: 1gb\n"),
            ":3: pool-sze: unknown option; did you mean pool-size?");
  EXPECT_EQ(refusal("threads: 2\nconfig: x\n"), ":2: config: unknown option; --help lists all");
  EXPECT_EQ(refusal("pool-size: abc\n"),
            ":1: pool-size: \"abc\" is not a size; write for example 30gb");
  EXPECT_EQ(refusal("threads: 2\nthreads: 3\n"),
            ":2: threads: stands twice in this file; keep one");
  EXPECT_EQ(refusal("threads:\n"), ":1: threads: has no value");
  EXPECT_EQ(refusal("threads: {a: 1}\n"), ":1: threads: is not a value or a list of values");
  EXPECT_EQ(refusal("- threads\n"), ":1: is not a list of \"option: value\" lines");
  EXPECT_TRUE(refusal("a: 1\nb: [1, 2\n").find("is not YAML") != std::string::npos);
}

TEST_F(OptionsTest, NamesAFileThatCannotBeRead) {
  EXPECT_EQ(Refusal({"--config", "/nonexistent/x.yaml"}),
            "--config: cannot read /nonexistent/x.yaml: No such file or directory");
  EXPECT_EQ(Refusal({"--config", "/"}), "--config: cannot read /: Is a directory");
  WriteFile(std::string((1 << 20) + 1, '#'));
  EXPECT_EQ(Refusal({"--config", file_.c_str()}),
            "--config: cannot read " + file_ + ": File too large");
}

TEST_F(OptionsTest, PrintsHelpWithGroupsAndDefaults) {
  testing::internal::CaptureStdout();
  const char* flags[] = {"headrace-test", "--threads", "0", "--help"};
  auto outcome = program_.table.Parse(4, flags, &program_.message);
  std::string text = testing::internal::GetCapturedStdout();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, OptionTable::Outcome::kExit);
  for (const char* part :
       {"headrace-test 0.", ": keeps blocks\n", "\nMemory:\n", "\nWork:\n", "--pool-size SIZE",
        "(default 30gb)", "(default 30s)", "(default on)", "--policy lru|fifo", "also --devices",
        "HEADRACE_ENGINE_ENDPOINT", "\nGeneral:\n", "--config FILE"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find('\n', at), text.size());
    EXPECT_LE(end - at, 100U) << text.substr(at, end - at);
    at = end + 1;
  }
}

TEST_F(OptionsTest, PrintsTheVersion) {
  testing::internal::CaptureStdout();
  const char* flags[] = {"headrace-test", "--version"};
  auto outcome = program_.table.Parse(2, flags, &program_.message);
  std::string text = testing::internal::GetCapturedStdout();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, OptionTable::Outcome::kExit);
  EXPECT_TRUE(text.starts_with("headrace-test 0.")) << text;
}

TEST_F(OptionsTest, ListsEffectiveValuesAsTheyWouldBeTyped) {
  ASSERT_TRUE(program_.Parse({"--pool-size", "1536mb", "--canary=no"}));
  std::string all;
  for (const auto& option : program_.table.effective()) {
    all += option.name + "=" + option.value + " ";
  }
  EXPECT_EQ(all,
            "pool-size=1536mb high-water=0.95 policy=lru threads=4 lease=30s canary=off device=0 "
            "socket=ipc:///tmp/headrace.sock config= ");
}

TEST(OptionsDeathTest, RefusesTwoOptionsOfOneName) {
  OptionTable table("x", "y");
  bool one = false, two = false;
  table.Flag("same", &one, "one");
  EXPECT_DEATH(table.Flag("same", &two, "two"), "check failed");
  EXPECT_DEATH(table.Alias("other", "missing"), "check failed");
}

}  // namespace
}  // namespace headrace
