#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <memory>

namespace headrace {
namespace {

constexpr std::array<std::string_view, 5> kLevels = {"debug", "info", "warn", "error", "off"};

// Made at the first line and never destroyed: threads may log while the process exits.
spdlog::logger& Logger() {
  static spdlog::logger* logger = [] {
    auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    sink->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %v");
    auto* made = new spdlog::logger("headrace", std::move(sink));
    made->set_level(spdlog::level::trace);  // our own level decides, before the line is made
    return made;
  }();
  return *logger;
}

bool IsControl(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

// Names in a line may come from a client: a line break must not forge a second line.
std::string OneLine(std::string_view line) {
  std::string plain;
  plain.reserve(line.size() + 16);
  for (char c : line) {
    if (IsControl(c)) {
      fmt::format_to(std::back_inserter(plain), "\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      plain.push_back(c);
    }
  }
  return plain;
}

spdlog::level::level_enum SpdlogLevel(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarn:
      return spdlog::level::warn;
    case LogLevel::kError:
    case LogLevel::kOff:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

std::atomic<uint8_t> g_log_level = static_cast<uint8_t>(LogLevel::kInfo);

Status SetLogLevel(std::string_view level) {
  for (size_t i = 0; i < kLevels.size(); ++i) {
    if (kLevels[i] != level) continue;
    g_log_level.store(static_cast<uint8_t>(i), std::memory_order_relaxed);
    return {};
  }
  return Fail(Errc::kInvalid, "log level is not one of debug, info, warn, error, off");
}

void LogLine(LogLevel level, std::string_view line) {
  HR_CHECK(level < LogLevel::kOff);
  Logger().log(SpdlogLevel(level), "{:<5} {}", kLevels[static_cast<size_t>(level)], OneLine(line));
}

}  // namespace headrace
