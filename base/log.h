// Logging: one line a fact, to standard error, through spdlog. A disabled level costs one load.
// error: the server cannot do what it is for. warn: it can, but somebody should look. info: start,
// stop, sessions. debug: one line a request. Any thread.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace {

enum class LogLevel : uint8_t { kDebug = 0, kInfo = 1, kWarn = 2, kError = 3, kOff = 4 };

// "debug", "info", "warn", "error", "off". Until called, info and above are written.
Status SetLogLevel(std::string_view level);

extern std::atomic<uint8_t> g_log_level;  // read by the macros; set by SetLogLevel
void LogLine(LogLevel level, std::string_view line);

}  // namespace headrace

#define HR_LOG(level, ...)                                                                      \
  do {                                                                                          \
    if (static_cast<uint8_t>(level) >= ::headrace::g_log_level.load(std::memory_order_relaxed)) \
        [[unlikely]]                                                                            \
      ::headrace::LogLine(level, ::fmt::format(__VA_ARGS__));                                   \
  } while (false)
#define HR_DEBUG(...) HR_LOG(::headrace::LogLevel::kDebug, __VA_ARGS__)
#define HR_INFO(...) HR_LOG(::headrace::LogLevel::kInfo, __VA_ARGS__)
#define HR_WARN(...) HR_LOG(::headrace::LogLevel::kWarn, __VA_ARGS__)
#define HR_ERROR(...) HR_LOG(::headrace::LogLevel::kError, __VA_ARGS__)
