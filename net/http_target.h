// The target of an HTTP request line, taken apart. Pure functions; any thread.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::net {

struct HttpTarget {
  std::string path;                          // decoded; begins with /
  std::map<std::string, std::string> query;  // decoded; the last of equal keys counts
};

// "/score?pod=a%20b&top=3". Refuses what does not begin with / and broken or forbidden (%00)
// percent codes.
Result<HttpTarget> ParseTarget(std::string_view target);

}  // namespace headrace::net
