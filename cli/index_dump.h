// What an index holds, as GET /v1/index/dump tells it: read page by page from a server, or from a
// file with one block a line.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/server_place.h"

namespace headrace::cli {

// One copy of a block.
struct DumpedHolder {
  std::string key;  // decimal
  std::string pod;
  std::string tier;
  int64_t group = -1;

  auto operator<=>(const DumpedHolder&) const = default;
};
using DumpedHolders = std::set<DumpedHolder>;

// One page. Each of `lines` is a block's JSON object.
struct DumpPage {
  uint64_t next = 0;  // 0: it was the last one
  std::vector<std::string> lines;
};
Result<DumpPage> ParseDumpPage(std::string_view body);
// Adds the holders of one block's object. Speculative ones are left out: they are a router's guess.
Status AddHolders(std::string_view line, DumpedHolders* out);

// Every block of a server, in the order of its pages.
Status ReadDump(const ServerPlace& place, uint32_t page_blocks,
                const std::function<void(const std::string& line)>& take, std::string* message);

// The blocks that an engine's 64-bit hash names, as lines.
Result<std::vector<std::string>> LookUpHash(const ServerPlace& place, uint64_t hash,
                                            const std::string& model, std::string* message);

}  // namespace headrace::cli
