#include "server/status.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "server/stat_table.h"

namespace headrace::server {
namespace {

using Json = nlohmann::ordered_json;

constexpr Duration kStalled = seconds(1);

double Seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

// Names come from clients: bytes that are no UTF-8 are replaced, never thrown over.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// Counts are whole numbers and look like it; seconds are not.
Json Number(double value) {
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (value >= 0 && value < kExact && value == std::floor(value)) {
    return static_cast<uint64_t>(value);
  }
  return value;
}

Json PoolJson(const ServerInfo& info, const PoolGrowth::Progress& growth) {
  const double share = growth.total_bytes == 0 ? 1.0
                                               : static_cast<double>(growth.ready_bytes) /
                                                     static_cast<double>(growth.total_bytes);
  return {{"ready_bytes", growth.ready_bytes},
          {"total_bytes", growth.total_bytes},
          {"share", share},
          {"pages", info.pages},
          {"locked", info.locked},
          {"seconds", growth.seconds},
          {"done", growth.done},
          {"failed", growth.failed}};
}

Json SessionJson(const SessionInfo& session) {
  Json uid = session.peer.local ? Json(session.peer.uid) : Json(nullptr);
  Json pid = session.peer.local ? Json(session.peer.pid) : Json(nullptr);
  return {{"session", session.id},
          {"client", session.client},
          {"transport", session.peer.local ? "unix" : "tcp"},
          {"uid", std::move(uid)},
          {"pid", std::move(pid)},
          {"closing", session.closing},
          {"running", session.running},
          {"registrations", session.name_spaces.size()},
          {"namespaces", session.name_spaces},
          {"leases_granted", session.counts.leases_granted},
          {"saved_bytes", session.counts.saved_bytes},
          {"loaded_bytes", session.counts.loaded_bytes}};
}

struct InstanceSums {
  Json sessions = Json::array();
  std::set<std::string> name_spaces;
  std::set<int> pids;
  std::set<uint32_t> uids;
  uint64_t registrations = 0;
  SessionCounts counts;
};

void Sum(const SessionInfo& session, InstanceSums* sums) {
  sums->sessions.push_back(SessionJson(session));
  sums->name_spaces.insert(session.name_spaces.begin(), session.name_spaces.end());
  sums->registrations += session.name_spaces.size();
  sums->counts.leases_granted += session.counts.leases_granted;
  sums->counts.saved_bytes += session.counts.saved_bytes;
  sums->counts.loaded_bytes += session.counts.loaded_bytes;
  if (!session.peer.local) return;
  sums->pids.insert(session.peer.pid);
  sums->uids.insert(session.peer.uid);
}

}  // namespace

std::string HealthJson(const ServerInfo& info, Duration silence) {
  return Dump({{"status", "ok"},
               {"version", info.version},
               {"built", info.built},
               {"core", silence > kStalled ? "stalled" : "ok"},
               {"epoch", info.epoch},
               {"uptime_seconds", Seconds(MonotonicNow() - info.started)},
               {"pid", info.pid},
               {"device", info.device},
               {"host_id", info.host_id},
               {"mover", info.mover},
               {"socket", info.socket},
               {"addr", info.addr},
               {"http_addr", info.http_addr}});
}

std::string ReadyJson(const ServerInfo& info, const PoolGrowth::Progress& growth, bool draining) {
  return Dump({{"status", draining ? "draining" : "ready"}, {"pool", PoolJson(info, growth)}});
}

std::string InstancesJson(const Snapshot& snapshot) {
  std::map<std::string, InstanceSums> instances;
  for (const SessionInfo& session : snapshot.session_list) {
    Sum(session, &instances[session.instance]);
  }
  Json list = Json::array();
  for (auto& [name, sums] : instances) {
    list.push_back({{"instance", name},
                    {"uids", sums.uids},
                    {"pids", sums.pids},
                    {"registrations", sums.registrations},
                    {"namespaces", sums.name_spaces},
                    {"leases_granted", sums.counts.leases_granted},
                    {"saved_bytes", sums.counts.saved_bytes},
                    {"loaded_bytes", sums.counts.loaded_bytes},
                    {"sessions", std::move(sums.sessions)}});
  }
  return Dump(
      {{"instances", std::move(list)}, {"age_seconds", Seconds(MonotonicNow() - snapshot.taken)}});
}

std::string StatusJson(const ServerInfo& info, const Snapshot& snapshot,
                       const PoolGrowth::Progress& growth) {
  Json counts = Json::object();
  for (const StatRow& row : StatRows()) counts[row.name] = Number(row.value(snapshot));
  Json hits = Json::object();
  for (const LimitHitRow& row : LimitHitRows()) hits[row.name] = Number(row.value(snapshot));
  return Dump({{"version", info.version},
               {"epoch", info.epoch},
               {"uptime_seconds", Seconds(snapshot.taken - info.started)},
               {"draining", snapshot.draining},
               {"pool", PoolJson(info, growth)},
               {"counts", std::move(counts)},
               {"limit_hits", std::move(hits)},
               {"longest_apply", snapshot.loop.longest_apply}});
}

std::string BuiltWith() {
#if defined(__clang__)
  const std::string compiler = fmt::format("clang {}.{}", __clang_major__, __clang_minor__);
#else
  const std::string compiler = fmt::format("g++ {}.{}", __GNUC__, __GNUC_MINOR__);
#endif
  return fmt::format("{}, {}, {}", compiler, HEADRACE_BUILDTYPE, HEADRACE_FEATURES);
}

}  // namespace headrace::server
