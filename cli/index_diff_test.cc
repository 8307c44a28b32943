#include "cli/index_diff.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace headrace::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(IndexDiff, NamesWhatOneSideOnlyHolds) {
  const DumpedHolders left{{"1", "a", "gpu"}, {"2", "a", "gpu"}, {"3", "a", "gpu"}};
  const DumpedHolders right{{"1", "a", "gpu"}, {"2", "a", "cpu"}, {"3", "a", "gpu", 1}};
  EXPECT_THAT(Differences(left, right),
              ElementsAre("< 2 a gpu", "< 3 a gpu", "> 2 a cpu", "> 3 a gpu group 1"));
  EXPECT_THAT(Differences(left, left), IsEmpty());
  EXPECT_THAT(Differences(left, {}), ElementsAre("< 1 a gpu", "< 2 a gpu", "< 3 a gpu"));
}

class PublisherDiff : public ::testing::Test {
 protected:
  PublisherDiff() {
    Add(10, "1", "node");
    Add(20, "2", "node");
    Add(20, "3", "node");  // an engine's block of two keys
    Add(30, "4", "other");
  }
  void Add(uint64_t hash, const std::string& key, const std::string& pod) {
    const std::string line =
        R"({"key":")" + key + R"(","holders":[{"pod":")" + pod + R"(","tier":"cpu"}]})";
    lines_[hash].push_back(line);
    HR_CHECK(AddHolders(line, &index_));
  }
  std::vector<std::string> Diff(const std::vector<ResidentBlock>& resident) {
    auto lines = PublisherDifferences(index_, "node", resident, [this](uint64_t hash) {
      return Result<std::vector<std::string>>(lines_[hash]);
    });
    HR_CHECK(lines);
    return *lines;
  }

  DumpedHolders index_;
  std::map<uint64_t, std::vector<std::string>> lines_;
};

TEST_F(PublisherDiff, IsEmptyWhenTheIndexKnowsExactlyWhatIsThere) {
  EXPECT_THAT(Diff({{10, "cpu"}, {20, "cpu"}}), IsEmpty());
}

TEST_F(PublisherDiff, NamesBlocksThatAreGone) {
  EXPECT_THAT(Diff({{10, "cpu"}}), ElementsAre("< 2 node cpu", "< 3 node cpu"));
}

TEST_F(PublisherDiff, NamesHashesThatTheIndexDoesNotKnowOrGivesToOthers) {
  EXPECT_THAT(Diff({{10, "cpu"}, {20, "cpu"}, {30, "cpu"}, {40, "cpu"}}),
              ElementsAre("> hash 30 node cpu", "> hash 40 node cpu"));
}

TEST_F(PublisherDiff, TellsTiersApart) {
  EXPECT_THAT(Diff({{10, "disk"}, {20, "cpu"}}),
              ElementsAre("< 1 node cpu", "> hash 10 node disk"));
}

TEST_F(PublisherDiff, FailsWhenTheIndexDoes) {
  const auto failed = PublisherDifferences(
      index_, "node", std::vector<ResidentBlock>{{10, "cpu"}},
      [](uint64_t) { return Result<std::vector<std::string>>(Fail(Errc::kIo, "gone")); });
  EXPECT_FALSE(failed);
}

}  // namespace
}  // namespace headrace::cli
