// Where option values come from, as plain text: the command line (Boost.Program_options) and a YAML
// file (yaml-cpp). Only option_sources.cc includes either; neither's exceptions leave it. Part of
// options.cc, which gives the text its meaning. Main thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::option_sources {

struct FlagSpec {
  std::string name;
  bool value_optional = false;  // --name alone means --name=on
};

// One value as somebody wrote it. A list has one of these for each element or comma group.
struct RawValue {
  std::string name;  // as written; the command line's are known, a file's may not be
  std::string value;
  std::string where;  // "--pool-size", "/etc/headrace.yaml:3: pool-size"
};

// On failure `*message` is the line for the user, without a line break.
Status ReadFlags(const std::vector<std::string>& arguments, const std::vector<FlagSpec>& specs,
                 std::vector<RawValue>* values, std::string* message);
Status ReadYaml(const std::string& path, std::vector<RawValue>* values, std::string* message);

// The candidate nearest to a misspelt name, or "".
std::string Nearest(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace headrace::option_sources
