// The servers behind one address: one Redis, or the nodes of a Cluster and which of them has which
// slot. Keeps the connections, and the map as CLUSTER SLOTS and MOVED tell it.
// Loop-bound.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "net/redis_batch.h"
#include "net/redis_connection.h"

namespace headrace::net {

class RedisNodes {
 public:
  struct Events {
    // Calls can be made. `lost`: a server came back as another process, or a part of the slots
    // went to another node while theirs was away, so what had been written may be gone.
    std::function<void(bool lost)> up;
    std::function<void(const Error&)> down;
  };

  RedisNodes(Loop* loop, RedisOptions options, std::unique_ptr<TlsContext> tls, Events events);
  ~RedisNodes();
  RedisNodes(const RedisNodes&) = delete;
  RedisNodes& operator=(const RedisNodes&) = delete;

  bool up() const { return ready_; }
  bool cluster() const { return mode_ == Mode::kCluster; }
  std::string trouble() const;

  // Null while nobody is known to have it.
  RedisConnection* Owner(uint16_t slot);
  // "host:port" of a redirection; the host may be empty: that of `from`.
  RedisConnection* At(std::string_view address, const RedisConnection& from);
  void Assign(uint16_t slot, RedisConnection* node);  // MOVED
  void Refresh();                                     // soon, and not more often than it helps
  // Every server that has slots; the one without a Cluster.
  std::vector<RedisConnection*> Owners();

  const RedisOptions& options() const { return options_; }
  uint64_t reconnects() const;

 private:
  enum class Mode : uint8_t { kUnknown, kSingle, kCluster };
  using Owned = std::array<RedisConnection*, kRedisSlots>;

  RedisConnection* Node(const StreamTarget& target);
  void OnUp(RedisConnection* node, bool restarted);
  void OnDown(const Error& error);
  void Ask(RedisConnection* node);
  void OnSlots(RedisConnection* node, const Result<RespValue>& replies);
  bool ReadRange(const RespValue& range, const RedisConnection& from, Owned* owners);
  bool ReadSlots(const RespValue& slots, const RedisConnection& from);
  void SetReady(bool tell);

  Loop* const loop_;
  const RedisOptions options_;
  const std::unique_ptr<TlsContext> tls_;
  const Events events_;

  Mode mode_ = Mode::kUnknown;
  bool ready_ = false;
  bool asking_ = false;  // CLUSTER SLOTS is on its way
  bool lost_ = false;    // to be told with the next `up`
  uint64_t refresh_timer_ = 0;
  std::string refusal_;  // why what was found cannot be used
  std::map<std::string, std::unique_ptr<RedisConnection>> nodes_;  // by address; never fewer
  Owned owners_{};
};

}  // namespace headrace::net
