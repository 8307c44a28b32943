#include "base/result.h"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace headrace {
namespace {

// In the order of Errc.
constexpr std::array kErrcNames = {"ok",       "invalid", "not_found", "gone",        "exists",
                                   "no_space", "timeout", "cancelled", "unavailable", "permission",
                                   "limit",    "io",      "corrupt",   "unsupported", "internal"};
static_assert(kErrcNames.size() == static_cast<size_t>(Errc::kInternal) + 1);

}  // namespace

const char* ErrcName(Errc code) {
  auto index = static_cast<size_t>(code);
  return index < kErrcNames.size() ? kErrcNames[index] : "unknown";
}

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: check failed: %s\n", file, line, expression);
  std::abort();
}

}  // namespace headrace
