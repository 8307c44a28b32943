#include "transport/memory_budget.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>

namespace headrace::transport {
namespace {

constexpr size_t kMaxFileBytes = 64u << 10;
constexpr uint64_t kHugePage = 2u << 20;
constexpr uint64_t kNoLimit = uint64_t{1} << 60;  // v1 says "no limit" by a number above this
constexpr int kCapIpcLock = 14;

std::optional<uint64_t> ParseNumber(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// What follows `name` at the start of a line.
std::optional<std::string_view> LineAfter(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    if (line.starts_with(name)) return line.substr(name.size());
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return std::nullopt;
}

bool MayLockAnything() {
  const std::string text = ReadSmallFile("/proc/self/status").value_or("");
  const auto line = LineAfter(text, "CapEff:\t");
  if (!line) return false;
  uint64_t mask = 0;
  std::from_chars(line->data(), line->data() + line->size(), mask, 16);
  return (mask >> kCapIpcLock & 1) != 0;
}

struct GroupFiles {
  const char* limit;
  const char* usage;
};

void Tighten(std::optional<uint64_t> room, std::optional<uint64_t>* least) {
  if (room && (!*least || *room < **least)) *least = room;
}

// Walks from a group to the root; a container may see only the root of its own hierarchy.
std::optional<uint64_t> RoomUpwards(const std::string& mount, std::string path,
                                    const GroupFiles& files) {
  std::optional<uint64_t> least;
  for (;;) {
    const std::string at = mount + path + "/";
    const auto limit = ReadSmallFile(at + files.limit);
    const auto usage = ReadSmallFile(at + files.usage);
    if (limit && usage) {
      const std::string stat = ReadSmallFile(at + "memory.stat").value_or("");
      Tighten(CgroupRoom(*limit, *usage, stat), &least);
    }
    const size_t slash = path.rfind('/');
    if (path.empty() || slash == std::string::npos) return least;
    path.resize(slash);
  }
}

void Lower(MemoryBudget* budget, uint64_t bytes, const char* name) {
  if (bytes >= budget->bytes) return;
  budget->bytes = bytes;
  budget->limit = name;
}

}  // namespace

std::optional<std::string> ReadSmallFile(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  std::string text(kMaxFileBytes, '\0');
  size_t used = 0;
  while (used < text.size()) {
    const ssize_t got = ::read(fd.get(), text.data() + used, text.size() - used);
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  text.resize(used);
  return text;
}

std::optional<uint64_t> FieldBytes(std::string_view text, std::string_view name) {
  const auto line = LineAfter(text, std::string(name) + ":");
  if (!line) return std::nullopt;
  const auto value = ParseNumber(*line);
  if (!value) return std::nullopt;
  return line->find("kB") == std::string_view::npos ? *value : *value * 1024;
}

std::optional<uint64_t> CgroupRoom(std::string_view limit, std::string_view usage,
                                   std::string_view stat) {
  const auto most = ParseNumber(limit);
  const auto used = ParseNumber(usage);
  if (!most || !used || *most >= kNoLimit) return std::nullopt;
  // v1 names the sum over its children total_inactive_file.
  auto idle = LineAfter(stat, "total_inactive_file ");
  if (!idle) idle = LineAfter(stat, "inactive_file ");
  const uint64_t cache = idle ? ParseNumber(*idle).value_or(0) : 0;
  const uint64_t busy = *used > cache ? *used - cache : 0;
  return *most > busy ? *most - busy : 0;
}

std::optional<uint64_t> CgroupRoomOf(const std::string& root, std::string_view self_cgroup) {
  constexpr GroupFiles kV2{"memory.max", "memory.current"};
  constexpr GroupFiles kV1{"memory.limit_in_bytes", "memory.usage_in_bytes"};
  std::optional<uint64_t> least;
  while (!self_cgroup.empty()) {
    const size_t end = std::min(self_cgroup.find('\n'), self_cgroup.size());
    const std::string_view line = self_cgroup.substr(0, end);
    self_cgroup.remove_prefix(std::min(end + 1, self_cgroup.size()));
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers(line.substr(first + 1, second - first - 1));
    std::string path(line.substr(second + 1));
    if (path == "/") path.clear();
    if (controllers.empty()) Tighten(RoomUpwards(root, path, kV2), &least);
    if (("," + controllers + ",").find(",memory,") != std::string::npos) {
      Tighten(RoomUpwards(root + "/memory", path, kV1), &least);
    }
  }
  return least;
}

uint64_t FreeHugetlbBytes() {
  const std::string base = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
  const uint64_t free =
      ParseNumber(ReadSmallFile(base + "free_hugepages").value_or("")).value_or(0);
  const uint64_t promised =
      ParseNumber(ReadSmallFile(base + "resv_hugepages").value_or("")).value_or(0);
  return free > promised ? (free - promised) * kHugePage : 0;
}

MemoryBudget AvailableMemory(bool lock) {
  MemoryBudget budget{std::numeric_limits<uint64_t>::max(), "none", FreeHugetlbBytes()};
  const std::string meminfo = ReadSmallFile("/proc/meminfo").value_or("");
  if (const auto available = FieldBytes(meminfo, "MemAvailable")) {
    Lower(&budget, *available, "MemAvailable");
  }
  const std::string groups = ReadSmallFile("/proc/self/cgroup").value_or("");
  if (const auto room = CgroupRoomOf("/sys/fs/cgroup", groups)) {
    Lower(&budget, *room, "cgroup memory limit");
  }
  struct rlimit locked{};
  if (lock && !MayLockAnything() && ::getrlimit(RLIMIT_MEMLOCK, &locked) == 0 &&
      locked.rlim_cur != RLIM_INFINITY) {
    Lower(&budget, locked.rlim_cur, "RLIMIT_MEMLOCK (ulimit -l)");
  }
  return budget;
}

}  // namespace headrace::transport
