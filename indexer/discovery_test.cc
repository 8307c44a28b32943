#include "indexer/discovery.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/wait_rig.h"
#include "net/http_server.h"

namespace headrace::indexer {
namespace {

// What vLLM 0.32 answers for two data-parallel ranks.
constexpr const char* kAnswer = R"({
  "0": {"enable_kv_cache_events": true, "publisher": "zmq", "endpoint": "tcp://*:5557",
        "replay_endpoint": "tcp://*:5657", "buffer_steps": 10000, "hwm": 100000,
        "max_queue_size": 100000, "topic": "kv@10.0.0.1:8000@m"},
  "1": {"enable_kv_cache_events": true, "publisher": "zmq", "endpoint": "tcp://0.0.0.0:5558",
        "replay_endpoint": null, "topic": ""},
  "2": {"enable_kv_cache_events": false, "publisher": "null", "endpoint": "tcp://*:1"}})";

TEST(Discovery, ReadsWhatVllmAnswers) {
  const auto sources = ParseEventSources(kAnswer, "10.0.0.1:8000");
  ASSERT_TRUE(sources);
  ASSERT_EQ(sources->size(), 2u);
  EXPECT_EQ((*sources)[0], (EventSource{"10.0.0.1:8000", "", "tcp://10.0.0.1:5557",
                                        "tcp://10.0.0.1:5657", "kv@10.0.0.1:8000@m"}));
  EXPECT_EQ((*sources)[1], (EventSource{"10.0.0.1:8000", "", "tcp://10.0.0.1:5558", "", ""}));
  EXPECT_EQ(ParseEventSources(R"({"0":{"publisher":"zmq","endpoint":"tcp://[::]:1"}})", "[::1]:2")
                ->front()
                .endpoint,
            "tcp://[::1]:1");
  EXPECT_TRUE(ParseEventSources("{}", "a:1")->empty());
  for (const char* bad : {"", "[]", "{", R"({"0": 1})", R"({"0": {"publisher": "zmq"}})"}) {
    EXPECT_EQ(ParseEventSources(bad, "a:1").error().code, Errc::kInvalid) << bad;
  }
}

TEST(Discovery, ReadsAFileOfPods) {
  std::string message;
  const auto sources = ParsePodsFile(
      "# pods\n\nb tcp://10.0.0.2:5557 tcp://10.0.0.2:5657 model=m topic=x  # the second\n"
      "a tcp://10.0.0.1:5557 key=a#b # a key may have a # inside\n",
      &message);
  ASSERT_TRUE(sources);
  ASSERT_EQ(sources->size(), 2u);
  EXPECT_EQ((*sources)[0], (EventSource{"a", "", "tcp://10.0.0.1:5557", "", "kv@", "a#b"}));
  EXPECT_EQ((*sources)[1],
            (EventSource{"b", "m", "tcp://10.0.0.2:5557", "tcp://10.0.0.2:5657", "x"}));
  for (const char* bad : {"a", "\na nowhere", "a tcp://b:1 c", "a tcp://b:1 tcp://b:2 tcp://b:3"}) {
    EXPECT_FALSE(ParsePodsFile(bad, &message)) << bad;
    EXPECT_TRUE(message.starts_with("line ")) << message;
  }
}

TEST(Discovery, TellsTheLoopOfEachChange) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("headrace-discovery-" + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  const std::string file = folder / "pods";
  std::ofstream(file) << "a tcp://10.0.0.1:1\n";
  auto server = std::move(*net::HttpServer::Listen("127.0.0.1:0", {}));
  server->Handle("GET", "/kv_event_sources",
                 [](const net::HttpRequest&) { return net::HttpReply{.body = kAnswer}; });
  server->Start();
  auto loop = std::move(*Loop::Create());
  std::vector<size_t> sizes;
  Discovery discovery(loop.get(),
                      {.apis = {"127.0.0.1:" + std::to_string(server->port())},
                       .file = file,
                       .every = milliseconds(2)},
                      [&](const std::vector<EventSource>& sources) {
                        sizes.push_back(sources.size());
                        if (sizes.size() == 1) {
                          // A broken file changes nothing, the next good one does.
                          std::ofstream(file) << "broken\n";
                          std::ofstream(file + ".new")
                              << "a tcp://10.0.0.1:1\nb tcp://10.0.0.2:1\n";
                          std::filesystem::rename(file + ".new", file);
                        }
                      });
  discovery.Start();
  EXPECT_TRUE(RunUntil(loop.get(), [&] { return sizes.size() == 2; }));
  EXPECT_EQ(sizes, (std::vector<size_t>{3, 4}));
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace headrace::indexer
