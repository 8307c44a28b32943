#include "sim/server_api.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/hex.h"
#include "sim/json_text.h"

namespace headrace::sim {
namespace {

// Of one name or value of a query: "%2C" and "+" as what they stand for.
std::string Unescaped(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      plain += ' ';
      continue;
    }
    const int high = text[i] == '%' && i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    const int low = high >= 0 ? HexDigit(text[i + 2]) : -1;
    if (low < 0) {
      plain += text[i];
      continue;
    }
    plain += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return plain;
}

std::vector<std::pair<std::string, std::string>> QueryFields(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> fields;
  while (!query.empty()) {
    const std::string_view field = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), field.size() + 1));
    if (field.empty()) continue;
    const size_t equals = field.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view() : field.substr(equals + 1);
    fields.emplace_back(Unescaped(field.substr(0, equals)), Unescaped(value));
  }
  return fields;
}

ApiError Wrong(const char* field, const char* message) {
  return {.status = 400, .message = message, .param = field};
}

}  // namespace

std::string IsSleepingBody(bool sleeping) {
  return sleeping ? R"({"is_sleeping":true})" : R"({"is_sleeping":false})";
}

ApiResult<SleepCall> ParseSleep(std::string_view query) {
  constexpr uint64_t kMostLevel = 2;
  SleepCall call;
  for (const auto& [name, value] : QueryFields(query)) {
    if (name == "level") {
      const auto level = ParseNumber(value);
      if (!level || *level > kMostLevel) {
        return tl::unexpected(Wrong("level", "level must be 0, 1 or 2"));
      }
      call.level = static_cast<uint32_t>(*level);
    } else if (name == "mode") {
      if (value != "abort" && value != "wait" && value != "keep") {
        return tl::unexpected(Wrong("mode", "mode must be abort, wait or keep"));
      }
      call.mode = value;
    }
  }
  return call;
}

WakeUpCall ParseWakeUp(std::string_view query) {
  WakeUpCall call;
  for (auto& [name, value] : QueryFields(query)) {
    if (name == "tags") call.tags.push_back(std::move(value));
  }
  return call;
}

bool WakeUpCall::wakes_kv_cache() const {
  return tags.empty() || std::find(tags.begin(), tags.end(), "kv_cache") != tags.end();
}

std::string MooncakeQueryBody(std::span<const MooncakeRank> ranks) {
  std::string body = "{";
  for (const MooncakeRank& rank : ranks) {
    fmt::format_to(std::back_inserter(body), R"({}"{}":{{"engine_id":)", body.size() > 1 ? "," : "",
                   rank.rank);
    AppendJsonString(rank.engine_id, &body);
    body += '}';
  }
  body += '}';
  return body;
}

std::string KvEventSourcesBody(std::span<const KvEventSource> sources) {
  std::string body = "{";
  for (const KvEventSource& source : sources) {
    const bool on = !source.endpoint.empty();
    fmt::format_to(std::back_inserter(body),
                   R"({}"{}":{{"enable_kv_cache_events":{},"publisher":"{}","endpoint":)",
                   body.size() > 1 ? "," : "", source.rank, on, on ? "zmq" : "null");
    AppendJsonString(source.endpoint, &body);
    body.append(R"(,"replay_endpoint":)");
    if (source.replay_endpoint.empty()) {
      body.append("null");
    } else {
      AppendJsonString(source.replay_endpoint, &body);
    }
    fmt::format_to(std::back_inserter(body), R"(,"buffer_steps":{},"topic":)", source.buffer_steps);
    AppendJsonString(source.topic, &body);
    body += '}';
  }
  body += '}';
  return body;
}

}  // namespace headrace::sim
