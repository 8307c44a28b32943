#include "server/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "server/limit_table.h"

namespace headrace::server {
namespace {

constexpr uint64_t kSlotUnit = 4096;
constexpr uint64_t kMinPage = 64ull << 10;
constexpr uint64_t kMinAutoPage = 4ull << 20;
constexpr uint64_t kAutoPages = 32;   // a small pool gets smaller pages, to have this many
constexpr uint64_t kMaxRegions = 64;  // that the pool's header can name
constexpr uint64_t kMaxFrame = 1ull << 30;
constexpr uint64_t kMinFrame = 4096;
constexpr size_t kMaxSocketPath = 107;  // of sockaddr_un, with its final 0

// Collects the limits' values instead of binding them to options.
class LimitCollector {
 public:
  void Group(const char*) {}
  void Share(const char* name, const double* value, const char*) { Add(name, *value); }
  void Size(const char* name, const uint64_t* value, const char*) {
    Add(name, static_cast<double>(*value));
  }
  template <typename T>
  void Number(const char* name, const T* value, T, T, const char*) {
    Add(name, static_cast<double>(*value));
  }
  void Time(const char* name, const Duration* value, const char*) {
    Add(name, std::chrono::duration<double>(*value).count());
  }
  std::vector<LimitValue> Take() { return std::move(values_); }

 private:
  void Add(const char* name, double value) { values_.push_back({name, value}); }
  std::vector<LimitValue> values_;
};

void BindServing(ServerOptions* options, OptionTable* table) {
  table->Group("Serving");
  table->Text("socket", &options->socket, "PATH", "unix socket: a path or ipc:///path");
  table->Environment("HEADRACE_ENGINE_ENDPOINT", "socket");
  table->Text("socket-mode", &options->socket_mode, "MODE", "who may connect, in octal");
  table->Text("addr", &options->addr, "HOST:PORT", "TCP for remote control; no buffers there");
  table->Text("http-addr", &options->http_addr, "HOST:PORT", "/health /ready /metrics /instances");
  table->List("device", &options->devices, "LIST", "cpu, a GPU's number or a list of them");
  table->Alias("devices", "device");
  table->Text("host-id", &options->host_id, "TEXT", "this host's name among others");
  table->Choice("log-level", &options->log_level, {"debug", "info", "warn", "error", "off"},
                "what is written to standard error");
}

void BindMemory(ServerOptions* options, OptionTable* table) {
  table->Group("Memory");
  table->Size("pool-size", &options->pool_bytes, "of the pool; 0: no pool, an index alone");
  table->Size("page-size", &options->page_bytes,
              "a piece of the pool for slots of one size; pools below 2gb get smaller ones");
  table->Size("region-size", &options->region_bytes, "a piece of the pool that is mapped at once");
  table->Size("min-slot", &options->min_slot_bytes, "smallest place for a block's part");
  table->Choice("huge-pages", &options->huge_pages, {"auto", "off", "require"},
                "back the pool with huge pages");
  table->Choice("lock-memory", &options->lock_memory, {"auto", "on", "off"},
                "keep the pool from being swapped out");
  table->Group("Copying");
  table->Choice("mover", &options->mover, {"thread", "process"},
                "copy in threads of the server, or in a process of its own");
  table->Text("mover-program", &options->mover_program, "PATH",
              "of --mover process; empty: headrace-mover beside headrace-server");
}

tl::unexpected<Error> Refuse(std::string* message, std::string text) {
  *message = std::move(text);
  return Fail(Errc::kInvalid, "an option is wrong");
}

Status CheckDevices(const ServerOptions& options, std::string* message) {
  if (options.devices.empty()) {
    return Refuse(message, "--device: no device; write cpu, 0 or a list as 0,1");
  }
  if (options.cpu_only()) return {};
  for (const std::string& device : options.devices) {
    const bool digits = !device.empty() && device.size() <= 4 &&
                        device.find_first_not_of("0123456789") == std::string::npos;
    if (!digits) {
      return Refuse(message, fmt::format("--device: \"{}\" is not a device; write cpu alone, a "
                                         "number, or a list of numbers as 0,1",
                                         device));
    }
  }
  return {};
}

Status CheckSocket(ServerOptions* options, std::string* message) {
  constexpr std::string_view kScheme = "ipc://";
  std::string path = options->socket;
  if (path.starts_with(kScheme)) path.erase(0, kScheme.size());
  if (path.empty() || path.find("://") != std::string::npos) {
    return Refuse(message, fmt::format("--socket: \"{}\" is not a path; write for example "
                                       "ipc:///tmp/headrace.sock",
                                       options->socket));
  }
  if (path.size() > kMaxSocketPath) {
    return Refuse(message, fmt::format("--socket: the path has {} bytes; a unix socket's has at "
                                       "most {}",
                                       path.size(), kMaxSocketPath));
  }
  options->socket_path = path;

  const std::string& mode = options->socket_mode;
  if (mode.empty() || mode.size() > 4 || mode.find_first_not_of("01234567") != std::string::npos ||
      std::strtoul(mode.c_str(), nullptr, 8) > 0777) {
    return Refuse(message,
                  fmt::format("--socket-mode: \"{}\" is not a mode; write for example 0600", mode));
  }
  options->socket_permission = static_cast<uint32_t>(std::strtoul(mode.c_str(), nullptr, 8));
  return {};
}

// A pool of few large pages could hold few sizes of slots.
void ShrinkPages(ServerOptions* options) {
  const uint64_t wanted = std::max(kMinAutoPage, std::bit_floor(options->pool_bytes / kAutoPages));
  options->page_bytes = std::min(options->page_bytes, wanted);
  if (options->pool_bytes < options->page_bytes) {
    options->page_bytes = std::bit_floor(options->pool_bytes);
  }
}

Status CheckPages(const ServerOptions& options, std::string* message) {
  if (!std::has_single_bit(options.page_bytes) || options.page_bytes < kMinPage) {
    return Refuse(message,
                  fmt::format("--page-size: {} is not a power of two from {} up; write for example "
                              "64mb",
                              options.page_bytes, FormatSize(kMinPage)));
  }
  if (options.min_slot_bytes % kSlotUnit != 0 || options.min_slot_bytes == 0 ||
      options.min_slot_bytes > options.page_bytes) {
    return Refuse(message, fmt::format("--min-slot: {} is not a multiple of 4096 up to the page "
                                       "size ({}); write for example 16kb",
                                       options.min_slot_bytes, FormatSize(options.page_bytes)));
  }
  if (options.pool_bytes != 0 && options.pool_bytes < options.page_bytes) {
    return Refuse(message,
                  fmt::format("--pool-size: {} is less than one page (--page-size {})",
                              FormatSize(options.pool_bytes), FormatSize(options.page_bytes)));
  }
  return {};
}

Status CheckPool(ServerOptions* options, bool page_given, bool region_given, std::string* message) {
  if (options->pool_bytes != 0 && options->pool_bytes < kMinPage) {
    return Refuse(message, fmt::format("--pool-size: {} bytes is less than the smallest pool ({}); "
                                       "write for example 30gb, or 0 for none",
                                       options->pool_bytes, FormatSize(kMinPage)));
  }
  if (!page_given && options->pool_bytes != 0) {
    ShrinkPages(options);
    options->min_slot_bytes = std::min(options->min_slot_bytes, options->page_bytes);
    HR_CHECK(std::has_single_bit(options->page_bytes));
  }
  HR_RETURN_IF_ERROR(CheckPages(*options, message));
  const uint64_t page = options->page_bytes;
  options->pool_bytes -= options->pool_bytes % page;
  const uint64_t pages = options->pool_bytes / page;
  const uint64_t least = (pages + kMaxRegions - 1) / kMaxRegions * page;
  options->region_bytes = std::max(page, options->region_bytes - options->region_bytes % page);
  if (options->region_bytes >= least) return {};
  if (region_given) {
    return Refuse(message, fmt::format("--region-size: a pool has at most {} regions; write {}mb "
                                       "or more for this one",
                                       kMaxRegions, (least + (1 << 20) - 1) >> 20));
  }
  options->region_bytes = least;
  return {};
}

Status CheckLimits(const ServerOptions& options, std::string* message) {
  if (options.session.max_frame_bytes < kMinFrame || options.session.max_frame_bytes > kMaxFrame) {
    return Refuse(message, "--max-frame: must be 4kb to 1gb; write for example 16mb");
  }
  if (options.session.max_output_bytes == 0) {
    return Refuse(message, "--max-output: must be more than 0; write for example 32mb");
  }
  if (options.copy.mover_chunk_bytes < kSlotUnit) {
    return Refuse(message, "--mover-chunk: must be 4kb or more; write for example 1mb");
  }
  if (options.engine.low_water > options.engine.high_water) {
    return Refuse(message, "--low-water: must not be above --high-water");
  }
  if (options.copy.mover_ring_blocks < options.engine.slice_blocks) {
    return Refuse(message, "--mover-ring-blocks: must not be below --slice-blocks");
  }
  return {};
}

transport::HugePages HugeOf(const std::string& text) {
  if (text == "off") return transport::HugePages::kOff;
  return text == "require" ? transport::HugePages::kRequire : transport::HugePages::kAuto;
}

}  // namespace

std::vector<LimitValue> LimitsOf(const ServerOptions& options) {
  ServerOptions copy = options;
  LimitCollector collector;
  VisitEngineLimits(&copy.engine, &collector);
  VisitServerLimits(&copy, &collector);
  VisitEventLimits(&copy.event_limits, &collector);
  VisitIndexLimits(&copy.index.limits, &collector);
  return collector.Take();
}

Result<OptionTable::Outcome> ParseServerOptions(int argc, const char* const* argv,
                                                ServerOptions* options, std::string* message) {
  OptionTable table("headrace-server",
                    "Keeps the KV cache of LLM engines outside the engines and moves it.");
  BindServing(options, &table);
  BindMemory(options, &table);
  BindEventOptions(&options->events, &table);
  BindIndexOptions(&options->index, &table);
  VisitEngineLimits(&options->engine, &table);
  VisitServerLimits(options, &table);
  VisitEventLimits(&options->event_limits, &table);
  VisitIndexLimits(&options->index.limits, &table);
  HR_TRY(const auto outcome, table.Parse(argc, argv, message));
  if (outcome == OptionTable::Outcome::kExit) return outcome;
  HR_RETURN_IF_ERROR(CheckDevices(*options, message));
  HR_RETURN_IF_ERROR(CheckSocket(options, message));
  HR_RETURN_IF_ERROR(
      CheckPool(options, table.given("page-size"), table.given("region-size"), message));
  HR_RETURN_IF_ERROR(CheckLimits(*options, message));
  HR_RETURN_IF_ERROR(CheckEventOptions(options->events, message));
  HR_RETURN_IF_ERROR(
      CheckIndexOptions(options->index, options->pool_bytes, options->http_addr, message));
  options->huge = HugeOf(options->huge_pages);
  options->effective = table.effective();
  return outcome;
}

}  // namespace headrace::server
