// The kinds of options that a program of somebody else's flags needs: its durations, its lists, its
// twins, its few variables.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <limits>
#include <map>
#include <memory>

#include "base/options.h"

namespace headrace {
namespace {

struct Program {
  int64_t rank = -1;
  double factor = 1, plain = 0;
  Duration delay{};
  bool eager = false;
  std::string endpoint = "tcp://x", fake;
  std::vector<std::string> names;
  uint64_t v = 2;
  std::map<std::string, std::string> variables;
  OptionTable table{"sim-test", "pretends"};
  std::string message;

  Program() {
    table.OnlyNamedVariables();
    table.LookUpIn([this](const char* name) {
      auto it = variables.find(name);
      return it == variables.end() ? nullptr : it->second.c_str();
    });
    table.Section("latencies");
    table.Integer("rank", &rank, -1, 7, "of data parallel");
    table.Decimal("factor", &factor, 1, std::numeric_limits<double>::infinity(), "under load");
    table.Decimal("plain", &plain, -std::numeric_limits<double>::infinity(),
                  std::numeric_limits<double>::infinity(), "any");
    table.GoTime("delay", &delay, "before the first");
    table.Flag("eager", &eager, "ignored");
    table.Twin("eager");
    table.Text("endpoint", &endpoint, "URL", "where events go");
    table.Environment("SIM_ENDPOINT", "endpoint");
    table.Json("fake", &fake, "made up");
    table.Words("names", &names, "NAME...", "how it is called");
    table.HideDefault("delay");
    table.Number("v", &v, uint64_t{0}, uint64_t{9}, "how much is logged");
  }
  bool Parse(std::vector<const char*> flags) {
    flags.insert(flags.begin(), "sim-test");
    auto outcome = table.Parse(static_cast<int>(flags.size()), flags.data(), &message);
    return outcome && *outcome == OptionTable::Outcome::kRun;
  }
};

std::string Refusal(std::vector<const char*> flags) {
  Program program;
  EXPECT_FALSE(program.Parse(std::move(flags)));
  return program.message;
}

class OptionKindsTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/headrace_option_kinds_test_XXXXXX";
    int fd = mkstemp(path);
    ASSERT_GE(fd, 0);
    ::close(fd);
    file_ = path;
  }
  void TearDown() override { ::unlink(file_.c_str()); }
  bool ParseFile(const std::string& text, std::vector<const char*> more = {}) {
    std::ofstream(file_) << text;
    more.insert(more.begin(), {"--config", file_.c_str()});
    return Parse(more);
  }
  // A table is parsed once.
  bool Parse(std::vector<const char*> flags) {
    auto variables = program_->variables;
    program_ = std::make_unique<Program>();
    program_->variables = std::move(variables);
    return program_->Parse(std::move(flags));
  }
  std::string FileRefusal(const std::string& text) {
    Program program;
    std::ofstream(file_) << text;
    EXPECT_FALSE(program.Parse({"--config", file_.c_str()})) << text;
    return program.message.substr(std::min(program.message.size(), file_.size()));
  }

  std::string file_;
  std::unique_ptr<Program> program_ = std::make_unique<Program>();
};

TEST_F(OptionKindsTest, ReadsSignedNumbersAndDecimals) {
  ASSERT_TRUE(Parse({"--rank", "3", "--factor", "1.25", "--plain", "-2e3"})) << program_->message;
  EXPECT_EQ(program_->rank, 3);
  EXPECT_DOUBLE_EQ(program_->factor, 1.25);
  EXPECT_DOUBLE_EQ(program_->plain, -2000);
  ASSERT_TRUE(Parse({"--rank", "-1"}));
  EXPECT_EQ(program_->rank, -1);
}

TEST_F(OptionKindsTest, NamesWhatWouldBeRightOfANumber) {
  EXPECT_EQ(Refusal({"--rank", "8"}), "--rank: 8 is out of range; write a number from -1 to 7");
  EXPECT_EQ(Refusal({"--rank", "1.5"}),
            "--rank: \"1.5\" is not a whole number; write one from -1 to 7");
  EXPECT_EQ(Refusal({"--factor", "0.5"}),
            "--factor: \"0.5\" is out of range; write a number of at least 1");
  EXPECT_EQ(Refusal({"--factor", "two"}),
            "--factor: \"two\" is not a number; write a number of at least 1");
  EXPECT_EQ(Refusal({"--factor", "inf"}),
            "--factor: \"inf\" is out of range; write a number of at least 1");
  EXPECT_EQ(Refusal({"--plain", "nan"}),
            "--plain: \"nan\" is out of range; write a number such as 0.5");
}

TEST_F(OptionKindsTest, ReadsDurationsAsGoWritesThem) {
  ASSERT_TRUE(Parse({"--delay", "1m1.5s"}));
  EXPECT_EQ(program_->delay, milliseconds(61'500));
  const std::string wanted = "is not a duration; write for example 1.5s, 200ms or 1m30s";
  EXPECT_EQ(Refusal({"--delay", "200"}), "--delay: \"200\" " + wanted);
  EXPECT_EQ(Refusal({"--delay", "-2ms"}), "--delay: -2ms is negative; write a duration from 0 on");
}

TEST_F(OptionKindsTest, TakesWordsUpToTheNextFlag) {
  ASSERT_TRUE(Parse({"--names", "a,b", "-c", "{\"d\":1}", "--rank", "1"}));
  EXPECT_EQ(program_->names, (std::vector<std::string>{"a,b", "-c", "{\"d\":1}"}));
  EXPECT_EQ(program_->rank, 1);
  ASSERT_TRUE(Parse({"--names=a", "--names=b c"}));
  EXPECT_EQ(program_->names, (std::vector<std::string>{"a", "b c"}));
  EXPECT_EQ(Refusal({"--names=a", "b"}),
            "\"b\": not expected; write options as --name value and switches as --name=off");
}

TEST_F(OptionKindsTest, ReplacesTheFilesWordsByNone) {
  ASSERT_TRUE(ParseFile("names: [x, y]\n"));
  EXPECT_EQ(program_->names, (std::vector<std::string>{"x", "y"}));
  ASSERT_TRUE(ParseFile("names: [x]\n", {"--names", "--rank", "1"}));
  EXPECT_TRUE(program_->names.empty());
  ASSERT_TRUE(ParseFile("names: [x]\n", {"--names="}));
  EXPECT_TRUE(program_->names.empty());
}

TEST_F(OptionKindsTest, TurnsSwitchesOffByTheirTwins) {
  ASSERT_TRUE(Parse({"--eager"}));
  EXPECT_TRUE(program_->eager);
  ASSERT_TRUE(Parse({"--eager", "--no-eager"}));
  EXPECT_FALSE(program_->eager);
  ASSERT_TRUE(Parse({"--no-eager=false"}));
  EXPECT_TRUE(program_->eager);
  EXPECT_EQ(Refusal({"--no-eager=perhaps"}),
            "--no-eager: \"perhaps\" is not a switch; write on or off");
}

TEST_F(OptionKindsTest, TakesAnEmptyTextWhereItMayBeOne) {
  ASSERT_TRUE(Parse({"--endpoint="})) << program_->message;
  EXPECT_EQ(program_->endpoint, "");
  ASSERT_TRUE(Parse({"--endpoint", ""}));
  EXPECT_EQ(program_->endpoint, "");
  EXPECT_EQ(Refusal({"--rank="}), "--rank: needs a value");
}

TEST_F(OptionKindsTest, TakesALetterWithOneDash) {
  ASSERT_TRUE(Parse({"-v", "4"}));
  EXPECT_EQ(program_->v, 4U);
  ASSERT_TRUE(Parse({"-v=5"}));
  EXPECT_EQ(program_->v, 5U);
}

TEST_F(OptionKindsTest, LooksUpNamedVariablesOnlyAndWhereItIsTold) {
  program_->variables = {{"HEADRACE_RANK", "3"}, {"SIM_ENDPOINT", "tcp://y"}};
  ASSERT_TRUE(ParseFile("endpoint: tcp://z\n"));
  EXPECT_EQ(program_->rank, -1);
  EXPECT_EQ(program_->endpoint, "tcp://y");
  EXPECT_EQ(program_->table.place("endpoint"), "SIM_ENDPOINT");
  EXPECT_EQ(program_->table.place("rank"), "--rank");
}

TEST_F(OptionKindsTest, TellsWhereInTheFileAValueStands) {
  ASSERT_TRUE(ParseFile("names: [x]\nrank: 2\n"));
  EXPECT_EQ(program_->table.place("rank"), file_ + ":2: rank");
}

TEST_F(OptionKindsTest, TakesMappingsOfTheFileAsJson) {
  ASSERT_TRUE(
      ParseFile("fake:\n  number: 0.5\n  text: '1'\n  on: true\n  none: ~\n"
                "  list: [1, a, {\"b\\n\": -2e3}]\n  quoted: \"a\\\"b\\\\\"\n  odd: 01\n"))
      << program_->message;
  EXPECT_EQ(program_->fake, R"({"number":0.5,"text":"1","on":true,"none":null,)"
                            R"("list":[1,"a",{"b\u000a":-2e3}],"quoted":"a\"b\\","odd":"01"})");
  ASSERT_TRUE(ParseFile("names:\n- {name: a}\n- '{\"name\":\"b\"}'\n"));
  EXPECT_EQ(program_->names, (std::vector<std::string>{R"({"name":"a"})", R"({"name":"b"})"}));
}

TEST_F(OptionKindsTest, ReadsSectionsAsPartOfTheFile) {
  ASSERT_TRUE(ParseFile("latencies:\n  delay: 2s\n")) << program_->message;
  EXPECT_EQ(program_->delay, seconds(2));
  EXPECT_EQ(FileRefusal("latencies:\n  delay: 2\n"),
            ":2: latencies.delay: \"2\" is not a duration; write for example 1.5s, 200ms or 1m30s");
  EXPECT_EQ(FileRefusal("latencies:\n  dely: 2s\n"),
            ":2: latencies.dely: unknown option; did you mean delay?");
  EXPECT_EQ(FileRefusal("delay: 1s\nlatencies:\n  delay: 2s\n"),
            ":3: latencies.delay: is the same option as " + file_ + ":1: delay; keep one");
  EXPECT_EQ(FileRefusal("latencies: [2s]\n"), ":1: is not a list of \"option: value\" lines");
}

TEST_F(OptionKindsTest, RefusesWhatAFileCannotMean) {
  EXPECT_EQ(FileRefusal("rank: [1, 2]\n"), ":1: rank: takes one value, not a list");
  EXPECT_EQ(FileRefusal("rank: {a: 1}\n"), ":1: rank: is not a value or a list of values");
  EXPECT_EQ(FileRefusal("names: [[a]]\n"), ":1: names: is not a list of plain values");
  EXPECT_EQ(FileRefusal("fake: &a {b: *a}\n"), ":1: fake: is nested too deep or too large");
  std::string bomb = "fake:\n  a0: &a0 [x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    std::string last = "*a" + std::to_string(i - 1);
    bomb += "  a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + last;
    for (int j = 0; j < 7; ++j) bomb += ", " + last;
    bomb += "]\n";
  }
  EXPECT_EQ(FileRefusal(bomb), ":1: fake: is nested too deep or too large");
}

TEST_F(OptionKindsTest, ShowsTwinsAndVariablesInTheHelp) {
  testing::internal::CaptureStdout();
  EXPECT_FALSE(Parse({"--help"}));
  std::string text = testing::internal::GetCapturedStdout();
  for (const char* part : {"also --no-eager", "also SIM_ENDPOINT", "--names NAME...", "--fake JSON",
                           "--factor NUMBER", "--delay TIME", "(default -1)"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
  }
  EXPECT_EQ(text.find("HEADRACE_"), std::string::npos) << text;
  EXPECT_NE(text.find("before the first\n"), std::string::npos) << text;
}

}  // namespace
}  // namespace headrace
