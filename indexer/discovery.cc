#include "indexer/discovery.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <utility>

#include "base/file.h"
#include "base/log.h"
#include "net/address.h"
#include "net/http_client.h"

namespace headrace::indexer {
namespace {

using nlohmann::json;

std::string TextOf(const json& object, const char* name) {
  const auto field = object.find(name);
  return field != object.end() && field->is_string() ? field->get<std::string>() : std::string();
}

// "tcp://*:5557" as seen from elsewhere.
std::string Reachable(const std::string& endpoint, const std::string& host) {
  constexpr std::string_view kTcp = "tcp://";
  if (!endpoint.starts_with(kTcp)) return endpoint;
  const size_t colon = endpoint.rfind(':');
  if (colon < kTcp.size()) return endpoint;
  const std::string at = endpoint.substr(kTcp.size(), colon - kTcp.size());
  if (at != "*" && at != "0.0.0.0" && at != "[::]" && at != "::") return endpoint;
  const bool v6 = host.find(':') != std::string::npos;
  return std::string(kTcp) + (v6 ? "[" + host + "]" : host) + endpoint.substr(colon);
}

bool Takes(std::string_view word, std::string_view prefix, std::string* value) {
  if (!word.starts_with(prefix)) return false;
  *value = word.substr(prefix.size());
  return true;
}

// False with `*message` when the line is none.
bool ParseLine(const std::string& line, size_t number, std::vector<EventSource>* sources,
               std::string* message) {
  std::istringstream words(line);
  EventSource source;
  source.topic_filter = "kv@";
  const auto refuse = [&](const std::string& why) {
    *message = "line " + std::to_string(number) + ": " + why;
    return false;
  };
  const auto next = [&](std::string* word) { return words >> *word && !word->starts_with('#'); };
  if (!next(&source.pod)) return true;
  if (!next(&source.endpoint)) return refuse("NAME ENDPOINT [REPLAY_ENDPOINT] is needed");
  for (std::string word; next(&word);) {
    if (Takes(word, "model=", &source.model) || Takes(word, "topic=", &source.topic_filter) ||
        Takes(word, "key=", &source.server_key)) {
      continue;
    }
    if (word.find("://") == std::string::npos || !source.replay_endpoint.empty()) {
      return refuse("behind the endpoint stand a replay endpoint, model=, topic= and key= only");
    }
    source.replay_endpoint = word;
  }
  if (source.endpoint.find("://") == std::string::npos) {
    return refuse("an endpoint is like tcp://10.0.0.1:5557");
  }
  sources->push_back(std::move(source));
  return true;
}

void Order(std::vector<EventSource>* sources) {
  std::sort(sources->begin(), sources->end());
  sources->erase(std::unique(sources->begin(), sources->end()), sources->end());
}

}  // namespace

Result<std::vector<EventSource>> ParseEventSources(std::string_view body, const std::string& api) {
  HR_TRY(const net::HostPort at, net::ParseHostPort(api));
  const json answer = json::parse(body, nullptr, false);
  if (!answer.is_object()) return Fail(Errc::kInvalid, "no JSON object of event sources");
  std::vector<EventSource> sources;
  for (const auto& [rank, config] : answer.items()) {
    if (!config.is_object()) return Fail(Errc::kInvalid, "an event source is no JSON object");
    const auto enabled = config.find("enable_kv_cache_events");
    if (enabled != config.end() && enabled->is_boolean() && !enabled->get<bool>()) continue;
    if (TextOf(config, "publisher") != "zmq") continue;
    EventSource source;
    source.pod = api;
    source.endpoint = Reachable(TextOf(config, "endpoint"), at.host);
    source.replay_endpoint = Reachable(TextOf(config, "replay_endpoint"), at.host);
    source.topic_filter = TextOf(config, "topic");
    if (source.endpoint.empty()) return Fail(Errc::kInvalid, "an event source has no endpoint");
    if (sources.size() >= kMaxEventSources) return Fail(Errc::kLimit, "too many event sources");
    sources.push_back(std::move(source));
  }
  Order(&sources);
  return sources;
}

Result<std::vector<EventSource>> ParsePodsFile(std::string_view text, std::string* message) {
  std::vector<EventSource> sources;
  std::istringstream lines{std::string(text)};
  size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!ParseLine(line, ++number, &sources, message)) {
      return Fail(Errc::kInvalid, "the file of pods has a line that is none");
    }
    if (sources.size() > kMaxEventSources) {
      *message = "more than " + std::to_string(kMaxEventSources) + " pods";
      return Fail(Errc::kLimit, "too many pods");
    }
  }
  Order(&sources);
  return sources;
}

Discovery::Discovery(Loop* loop, Config config, Changed changed)
    : loop_(loop),
      config_(std::move(config)),
      changed_(std::make_shared<Changed>(std::move(changed))) {
  HR_CHECK(loop_ != nullptr && *changed_ != nullptr);
}

Discovery::~Discovery() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
  *changed_ = nullptr;
}

void Discovery::Start() {
  HR_CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

void Discovery::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    lock.unlock();
    Look(MonotonicNow());
    lock.lock();
    wake_.wait_for(lock, config_.every, [this] { return stop_; });
  }
}

void Discovery::Look(Time now) {
  std::vector<EventSource> all;
  for (const std::string& address : config_.apis) {
    Api& api = apis_[address];
    Ask(address, &api, now);
    all.insert(all.end(), api.sources.begin(), api.sources.end());
  }
  if (!config_.file.empty()) ReadFile();
  all.insert(all.end(), file_sources_.begin(), file_sources_.end());
  Order(&all);
  if (told_any_ && all == told_) return;
  told_any_ = true;
  told_ = all;
  loop_->Post([changed = changed_, all = std::move(all)] {
    if (*changed) (*changed)(all);
  });
}

void Discovery::Ask(const std::string& address, Api* api, Time now) {
  const auto reply = net::HttpGet(address, "/kv_event_sources", {.timeout = config_.timeout});
  if (reply && reply->status == 200) {
    auto sources = ParseEventSources(reply->body, address);
    if (sources) {
      if (api->failing) HR_INFO("event sources of {}: answered again", address);
      *api = {std::move(*sources), now, false};
      return;
    }
  }
  if (!api->failing) {
    HR_WARN("event sources of {}: {}", address,
            reply ? "GET /kv_event_sources answers something else" : reply.error().what);
  }
  api->failing = true;
  if (now - api->answered >= config_.gone_after) api->sources.clear();
}

void Discovery::ReadFile() {
  auto text = headrace::ReadFile(config_.file, kMaxFileBytes);
  if (!text) {
    if (!file_failing_) HR_WARN("{}: not to be read, or too long; its pods stay", config_.file);
    file_failing_ = true;
    return;
  }
  if (*text == file_text_ && !file_failing_) return;
  std::string message;
  auto sources = ParsePodsFile(*text, &message);
  // A file that is half written, or wrong, changes nothing.
  if (sources) {
    file_sources_ = std::move(*sources);
  } else if (*text != file_text_) {
    HR_WARN("{}: {}; its pods stay as they were", config_.file, message);
  }
  file_failing_ = !sources;
  file_text_ = std::move(*text);
}

}  // namespace headrace::indexer
