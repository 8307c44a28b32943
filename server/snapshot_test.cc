#include "server/snapshot.h"

#include <gtest/gtest.h>

#include <thread>

#include "server/stat_table.h"
#include "server/status.h"

namespace headrace::server {
namespace {

TEST(SnapshotBoard, GivesTheLastSnapshotWhenTheCoreStandsStill) {
  SnapshotBoard board;
  int asked = 0;
  board.SetAsk([&] { ++asked; });
  board.Publish(std::make_shared<const Snapshot>(Snapshot{.connections = 3}));
  for (int i = 0; i < 3; ++i) {
    const auto snapshot = board.Fresh(milliseconds(1));
    ASSERT_NE(snapshot, nullptr);
    EXPECT_EQ(snapshot->connections, 3u);
  }
  EXPECT_EQ(asked, 1);  // a core that does not answer is not asked again and again
  EXPECT_GT(board.Silence().count(), 0);
}

TEST(SnapshotBoard, WaitsForTheAnswerOfARunningCore) {
  SnapshotBoard board;
  board.Publish(std::make_shared<const Snapshot>(Snapshot{.connections = 1}));
  std::thread core;
  board.SetAsk([&] {
    core = std::thread(
        [&] { board.Publish(std::make_shared<const Snapshot>(Snapshot{.connections = 2})); });
  });
  const auto snapshot = board.Fresh(seconds(20));
  core.join();
  ASSERT_NE(snapshot, nullptr);
  EXPECT_EQ(snapshot->connections, 2u);
}

TEST(SnapshotBoard, IsNotSilentWhenTheCoreAnswers) {
  SnapshotBoard board;
  board.SetAsk([] {});
  (void)board.Silence();
  board.Publish(std::make_shared<const Snapshot>());
  board.SetAsk(nullptr);
  EXPECT_EQ(board.Silence().count(), 0);
}

TEST(StatusJson, ShowsEveryCountOfTheTable) {
  Snapshot snapshot;
  snapshot.engine.queries = 12345;
  const std::string json = StatusJson(ServerInfo{}, snapshot, {});
  EXPECT_NE(json.find("\"queries\":12345,"), std::string::npos) << json;
  for (const StatRow& row : StatRows()) {
    EXPECT_NE(json.find(std::string("\"").append(row.name).append("\":")), std::string::npos)
        << row.name;
  }
}

TEST(InstancesJson, JoinsTheSessionsOfAnInstance) {
  Snapshot snapshot;
  snapshot.session_list = {
      {.id = 1, .instance = "a", .counts = {.saved_bytes = 10}, .name_spaces = {"n"}},
      {.id = 2, .instance = "a", .counts = {.saved_bytes = 5}, .name_spaces = {"n", "m"}},
      {.id = 3, .instance = "b\xff", .counts = {}, .name_spaces = {}}};
  const std::string json = InstancesJson(snapshot);
  EXPECT_NE(json.find("\"instance\":\"a\",\"uids\":[],\"pids\":[],\"registrations\":3,"
                      "\"namespaces\":[\"m\",\"n\"],\"leases_granted\":0,\"saved_bytes\":15"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find("\"instance\":\"b\xef\xbf\xbd\""), std::string::npos) << json;
}

TEST(ReadyJson, SaysHowFarThePoolIs) {
  ServerInfo info;
  info.pages = "4k";
  const std::string json = ReadyJson(info, {.ready_bytes = 25, .total_bytes = 100}, false);
  EXPECT_NE(json.find("\"share\":0.25"), std::string::npos) << json;
  EXPECT_NE(json.find("\"status\":\"ready\""), std::string::npos) << json;
  EXPECT_NE(ReadyJson(info, {}, true).find("draining"), std::string::npos);
}

TEST(HealthJson, SaysThatTheCoreStandsStill) {
  EXPECT_NE(HealthJson({}, milliseconds(10)).find("\"core\":\"ok\""), std::string::npos);
  EXPECT_NE(HealthJson({}, seconds(5)).find("\"core\":\"stalled\""), std::string::npos);
}

}  // namespace
}  // namespace headrace::server
