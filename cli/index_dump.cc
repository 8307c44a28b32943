#include "cli/index_dump.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace headrace::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxDepth = 16;  // the library's writer descends by recursion

Json Parsed(std::string_view text) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) {
    return static_cast<size_t>(depth) <= kMaxDepth;
  };
  return Json::parse(text, shallow, false);
}

tl::unexpected<Error> NoDump() {
  return Fail(Errc::kInvalid, "is no dump of an index");
}

std::optional<std::string> TextOf(const Json& object, const char* name) {
  const auto place = object.find(name);
  if (place == object.end() || !place->is_string()) return std::nullopt;
  return place->get<std::string>();
}

Result<std::vector<std::string>> BlockLines(const Json& json) {
  const auto blocks = json.find("blocks");
  if (blocks == json.end() || !blocks->is_array()) return NoDump();
  std::vector<std::string> lines;
  for (const Json& block : *blocks) {
    if (!block.is_object()) return NoDump();
    lines.push_back(block.dump(-1, ' ', false, Json::error_handler_t::replace));
  }
  return lines;
}

// Bytes that stand for themselves in a query; the others as %XX.
std::string QueryText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<uint8_t>(c));
  }
  return out;
}

// Absent: it is none.
std::optional<DumpedHolder> HolderOf(const std::string& key, const Json& holder) {
  if (!holder.is_object()) return std::nullopt;
  auto pod = TextOf(holder, "pod");
  auto tier = TextOf(holder, "tier");
  if (!pod || !tier) return std::nullopt;
  const auto group = holder.find("group");
  const bool grouped = group != holder.end() && group->is_number_integer();
  return DumpedHolder{key, std::move(*pod), std::move(*tier), grouped ? group->get<int64_t>() : -1};
}

net::HttpCall Get(std::string target, const ServerPlace& place) {
  return {.method = "GET", .target = std::move(target), .body = "", .bearer = place.token};
}

}  // namespace

Result<DumpPage> ParseDumpPage(std::string_view body) {
  const Json json = Parsed(body);
  if (!json.is_object()) return NoDump();
  const auto next = json.find("next");
  if (next == json.end() || !next->is_number_unsigned()) return NoDump();
  DumpPage page;
  page.next = next->get<uint64_t>();
  HR_TRY(page.lines, BlockLines(json));
  return page;
}

Status AddHolders(std::string_view line, DumpedHolders* out) {
  const Json json = Parsed(line);
  if (!json.is_object()) return NoDump();
  const auto key = TextOf(json, "key");
  const auto holders = json.find("holders");
  if (!key || holders == json.end() || !holders->is_array()) return NoDump();
  DumpedHolders found;
  for (const Json& holder : *holders) {
    auto copy = HolderOf(*key, holder);
    if (!copy) return NoDump();
    const auto guess = holder.find("speculative");
    if (guess == holder.end() || *guess != true) found.insert(std::move(*copy));
  }
  out->merge(found);
  return {};
}

Status ReadDump(const ServerPlace& place, uint32_t page_blocks,
                const std::function<void(const std::string& line)>& take, std::string* message) {
  uint64_t cursor = 0;
  do {
    const std::string target =
        fmt::format("/v1/index/dump?cursor={}&limit={}", cursor, page_blocks);
    HR_TRY(const std::string body, AskServer(place, Get(target, place), message));
    const auto page = ParseDumpPage(body);
    if (!page) {
      *message = fmt::format("{}: the answer {}", place.address, page.error().what);
      return Fail(page.error());
    }
    for (const std::string& line : page->lines) take(line);
    cursor = page->next;
  } while (cursor != 0);
  return {};
}

Result<std::vector<std::string>> LookUpHash(const ServerPlace& place, uint64_t hash,
                                            const std::string& model, std::string* message) {
  const std::string target =
      fmt::format("/v1/index/lookup?hash={}&model={}", hash, QueryText(model));
  HR_TRY(const std::string body, AskServer(place, Get(target, place), message));
  const Json json = Parsed(body);
  auto lines = json.is_object() ? BlockLines(json) : NoDump();
  if (!lines) *message = fmt::format("{}: the answer {}", place.address, lines.error().what);
  return lines;
}

}  // namespace headrace::cli
