// Where events come from, found out: what vLLM's GET /kv_event_sources answers, and a file with one
// pod a line that somebody keeps up to date. Asks on a thread of its own and tells the loop when
// the list changes.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/loop.h"
#include "base/result.h"

namespace headrace::indexer {

// One publisher.
struct EventSource {
  std::string pod;    // for topics that name none; of a file, the pod's name
  std::string model;  // the same, of the model
  std::string endpoint;
  std::string replay_endpoint;  // "": none
  std::string topic_filter;
  std::string server_key;  // the publisher's CURVE key, Z85; "": it speaks in the clear

  auto operator<=>(const EventSource&) const = default;
};

inline constexpr size_t kMaxEventSources = 16384;

// The answer of `api` ("10.0.0.1:8000"): one publisher a data-parallel rank. Endpoints that say
// "any address" are at the host of the API; publishers that are no ZeroMQ ones are left out.
Result<std::vector<EventSource>> ParseEventSources(std::string_view body, const std::string& api);

// One publisher a line: NAME ENDPOINT [REPLAY_ENDPOINT] [model=NAME] [topic=PREFIX] [key=KEY]; a
// word that begins with # begins a comment. On failure `*message` names the line and what would be
// right.
Result<std::vector<EventSource>> ParsePodsFile(std::string_view text, std::string* message);

class Discovery {
 public:
  static constexpr size_t kMaxFileBytes = 16u << 20;

  struct Config {
    std::vector<std::string> apis;  // addresses with GET /kv_event_sources
    std::string file;               // "": none
    Duration every = seconds(2);
    Duration timeout = seconds(2);      // of one question
    Duration gone_after = seconds(60);  // an API that is silent for so long has no publishers
  };
  using Changed = std::function<void(std::vector<EventSource>)>;

  // `changed` is called on the loop, first with what the first look finds, then at each change. The
  // loop outlives this object, or does not run any more.
  Discovery(Loop* loop, Config config, Changed changed);
  ~Discovery();  // waits for a question that is out

  void Start();

 private:
  struct Api {
    std::vector<EventSource> sources;
    Time answered;
    bool failing = false;
  };

  void Run();
  void Look(Time now);
  void Ask(const std::string& address, Api* api, Time now);
  void ReadFile();

  Loop* const loop_;
  const Config config_;
  // Shared with what is posted to the loop; emptied when this object goes.
  const std::shared_ptr<Changed> changed_;
  std::thread thread_;

  // The thread's.
  std::map<std::string, Api> apis_;
  std::string file_text_;
  bool file_failing_ = false;
  std::vector<EventSource> file_sources_;
  std::vector<EventSource> told_;
  bool told_any_ = false;

  std::mutex mutex_;  // guards stop_
  std::condition_variable wake_;
  bool stop_ = false;
};

}  // namespace headrace::indexer
