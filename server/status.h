// The server's state as JSON for people and tests: /health, /ready, /instances and the protocol's
// StatusRequest. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "server/growth.h"
#include "server/options.h"
#include "server/snapshot.h"

namespace headrace::server {

// What does not change while the server runs.
struct ServerInfo {
  std::string version;
  std::string built;  // compiler, build, features
  uint64_t epoch = 0;
  Time started;
  int pid = 0;
  std::string device;
  std::string host_id;
  std::string mover;
  std::string socket;
  std::string addr;
  std::string http_addr;
  std::string pages;  // "4k", "thp", "hugetlb", "none"
  bool locked = false;
};

// `silence`: for how long the core has owed an answer.
std::string HealthJson(const ServerInfo& info, Duration silence);
std::string ReadyJson(const ServerInfo& info, const PoolGrowth::Progress& growth, bool draining);
// One entry for each instance, with its sessions.
std::string InstancesJson(const Snapshot& snapshot);
std::string StatusJson(const ServerInfo& info, const Snapshot& snapshot,
                       const PoolGrowth::Progress& growth);

// "g++ 12.2, release, ucx off, verbs off, zmq off"
std::string BuiltWith();

}  // namespace headrace::server
