#include "server/event_pods.h"

#include <gtest/gtest.h>

#include "wire/event.h"

namespace headrace::server {
namespace {

using Names = std::vector<std::string>;

struct Board : PodBoard {
  void Add(engine::SessionId session, uint32_t registration, std::vector<std::string_view> pods,
           std::string_view model = "m", std::string_view name_space = "n") {
    Join(session, registration, name_space, pods, model);
  }
  Names NamesOf(std::string_view name_space = "n") const {
    const auto served = Of(name_space);
    return served == nullptr ? Names{"nobody"} : served->names;
  }
};

TEST(PodBoard, ShowsThePodsOfAllRegistrationsOnce) {
  Board board;
  EXPECT_EQ(board.Of("n"), nullptr);
  board.Add(1, 1, {"b", "a", "b"});
  board.Add(1, 2, {"b"});
  board.Add(2, 3, {"c"});
  board.Add(2, 4, {"x"}, "m", "other");
  EXPECT_EQ(board.NamesOf(), (Names{"a", "b", "c"}));
  EXPECT_EQ(board.NamesOf("other"), Names{"x"});
}

TEST(PodBoard, PacksTheNamesAsEventsCarryThem) {
  Board board;
  board.Add(1, 1, {"a", "10.0.0.1:8000"});
  const auto served = board.Of("n");
  std::vector<std::string_view> names;
  wire::ReadEventPods(
      {reinterpret_cast<const uint8_t*>(served->packed.data()), served->packed.size()}, &names);
  EXPECT_EQ(Names(names.begin(), names.end()), served->names);
  EXPECT_EQ(names.size(), 2u);
}

TEST(PodBoard, KeepsAPodUntilItsLastRegistrationEnds) {
  Board board;
  board.Add(1, 1, {"a", "b"});
  board.Add(1, 2, {"a"});
  board.Leave(1, 1);
  EXPECT_EQ(board.NamesOf(), Names{"a"});
  board.Leave(1, 1);
  board.Leave(9, 2);
  EXPECT_EQ(board.NamesOf(), Names{"a"});
  board.Leave(1, 2);
  EXPECT_EQ(board.Of("n"), nullptr);
}

TEST(PodBoard, ForgetsAllOfASession) {
  Board board;
  board.Add(1, 1, {"a"});
  board.Add(2, 2, {"b"});
  board.Add(1, 3, {"c"}, "m", "other");
  board.LeaveAll(1);
  EXPECT_EQ(board.NamesOf(), Names{"b"});
  EXPECT_EQ(board.Of("other"), nullptr);
  board.LeaveAll(1);
  board.LeaveAll(2);
  EXPECT_EQ(board.Of("n"), nullptr);
}

TEST(PodBoard, NamesTheModelOfTheOldestRegistration) {
  Board board;
  board.Add(1, 1, {"a"}, "");
  EXPECT_EQ(board.Of("n")->model, "");
  board.Add(1, 2, {}, "first");
  board.Add(1, 3, {"b"}, "second");
  EXPECT_EQ(board.Of("n")->model, "first");
  board.Leave(1, 2);
  EXPECT_EQ(board.Of("n")->model, "second");
}

TEST(PodBoard, ChangesItsVersionOnlyWhenSomethingElseIsShown) {
  Board board;
  board.Add(1, 1, {}, "");
  EXPECT_EQ(board.version(), 0u);
  board.Add(1, 2, {"a"});
  EXPECT_EQ(board.version(), 1u);
  const auto served = board.Of("n");
  board.Add(2, 3, {"a"});
  board.Leave(1, 2);
  EXPECT_EQ(board.version(), 1u);
  EXPECT_EQ(board.Of("n"), served);
  board.Leave(2, 3);
  EXPECT_EQ(board.version(), 2u);
}

TEST(PodBoard, ShowsNoMorePodsThanAnEventHolds) {
  Board board;
  std::vector<std::string> names;
  for (size_t i = 0; i <= wire::EventDecoder::kMaxPods; ++i) names.push_back(std::to_string(i));
  board.Add(1, 1, {names.begin(), names.end()});
  EXPECT_EQ(board.Of("n")->names.size(), wire::EventDecoder::kMaxPods);
}

}  // namespace
}  // namespace headrace::server
