// For tests: real redis-servers on loopback, each with a folder of its own, stopped when the object
// ends. A machine without redis-server skips these tests; in CI that skip is a failure.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/wait_rig.h"
#include "net/redis_connection.h"

namespace headrace::net {

// Where redis-server is; empty: nowhere.
std::string FindRedisServer();

// A folder that goes with everything in it.
class TestFolder {
 public:
  TestFolder();
  ~TestFolder();
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

uint16_t FreePort();

class TestRedis {
 public:
  // `options` are arguments of redis-server. A port is chosen unless one is given; 0: the options
  // say where it listens.
  explicit TestRedis(std::vector<std::string> options = {}, int port = -1);
  ~TestRedis();
  TestRedis(const TestRedis&) = delete;
  TestRedis& operator=(const TestRedis&) = delete;

  void Start();   // the constructor did
  void Kill();    // as a crash
  void Freeze();  // it answers nobody
  void Thaw();
  uint16_t port() const { return port_; }
  std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_); }
  std::string path(const std::string& name) const { return folder_ / name; }
  // One command over a connection of its own; the reply as text: arrays as "[a b]", errors as they
  // are, nil as "nil".
  std::string Ask(const std::vector<std::string>& words) const;

 private:
  void Spawn();

  TestFolder folder_;
  std::vector<std::string> options_;
  const bool chosen_;  // the port is ours to choose
  bool was_up_ = false;
  uint16_t port_ = 0;
  pid_t pid_ = -1;
};

// Three nodes that share the slots.
class TestCluster {
 public:
  TestCluster();
  TestRedis& node(size_t index) { return *nodes_[index]; }
  std::string url() const { return nodes_[0]->url(); }
  // Asked of whoever has the slot.
  std::string Ask(uint16_t slot, const std::vector<std::string>& words);
  size_t OwnerOf(uint16_t slot) const { return owners_[slot]; }
  // Begins to hand a slot over: afterwards its owner says ASK for what it does not have.
  void BeginMove(uint16_t slot, size_t to);
  void MoveKeys(uint16_t slot, size_t to);
  void EndMove(uint16_t slot, size_t to);

 private:
  std::vector<std::unique_ptr<TestRedis>> nodes_;
  std::vector<std::string> ids_;
  std::vector<size_t> owners_;
};

RedisOptions OptionsFor(const std::string& url);

}  // namespace headrace::net

// In a test's body or SetUp.
#define HR_NEEDS_REDIS()                                                      \
  if (::headrace::net::FindRedisServer().empty()) {                           \
    GTEST_SKIP() << "redis-server is not here; scripts/install_deps.sh test"; \
  }
