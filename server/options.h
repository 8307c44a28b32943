// The options of headrace-server: one table, and what can be said about them without touching the
// machine. Main thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/result.h"
#include "engine/limits.h"
#include "net/http_server.h"
#include "server/event_options.h"
#include "server/index_options.h"
#include "server/limits.h"
#include "transport/memory.h"

namespace headrace::server {

struct ServerOptions {
  std::string addr = "127.0.0.1:50055";
  std::string socket = "ipc:///tmp/headrace.sock";
  std::string socket_mode = "0600";
  std::string http_addr = "127.0.0.1:9091";
  std::vector<std::string> devices = {"0"};
  std::string host_id;
  std::string log_level = "info";

  uint64_t pool_bytes = 30ull << 30;
  uint64_t page_bytes = 64ull << 20;
  uint64_t region_bytes = 1ull << 30;
  uint64_t min_slot_bytes = 16ull << 10;
  std::string huge_pages = "auto";
  std::string lock_memory = "auto";

  std::string mover = "thread";
  std::string mover_program;

  SessionLimits session;
  CopyLimits copy;
  DrainLimits drain;
  engine::Limits engine;
  net::HttpLimits http;
  EventOptions events;
  EventLimits event_limits;
  IndexOptions index;

  // Derived by ParseServerOptions.
  std::string socket_path;       // of `socket`
  uint32_t socket_permission{};  // of `socket_mode`
  transport::HugePages huge{};
  std::vector<OptionTable::Effective> effective;  // for the log

  bool cpu_only() const { return devices.size() == 1 && devices[0] == "cpu"; }
};

// A limit that options can set, as metrics and /health show it.
struct LimitValue {
  std::string name;
  double value = 0;
};
std::vector<LimitValue> LimitsOf(const ServerOptions& options);

// On failure `message` is the line for the user. kExit: --help or --version was printed.
Result<OptionTable::Outcome> ParseServerOptions(int argc, const char* const* argv,
                                                ServerOptions* options, std::string* message);

}  // namespace headrace::server
