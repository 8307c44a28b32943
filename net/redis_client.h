// Commands to one Redis or to a Cluster, as one: a batch goes to all nodes concerned at once, and
// what has to be said again (a slot that moved, a script that a server lost, a server that loads)
// is said again until it is answered or the time is up.
// Loop-bound.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/redis_batch.h"
#include "net/redis_nodes.h"

namespace headrace::net {

// The replies of a batch, in the order of its commands.
class RedisReplies {
 public:
  size_t size() const { return values_.size(); }
  const RespValue& operator[](size_t index) const { return values_[index]; }
  // The first that is an error; null: none.
  const RespValue* error() const;

 private:
  friend class RedisClient;
  std::vector<RespValue> values_;
  std::vector<std::shared_ptr<const RespCopy>> copies_;
};

class RedisClient {
 public:
  // Readable until the callback returns.
  using Done = std::function<void(const Result<RedisReplies>&)>;
  using Events = RedisNodes::Events;
  struct Counters {
    uint64_t round_trips = 0;  // runs of commands sent to a node and answered
    uint64_t moved = 0, asked = 0, scripts_loaded = 0, again = 0;
  };

  // On failure `*message` says what is wrong (a certificate).
  static Result<std::unique_ptr<RedisClient>> Create(Loop* loop, RedisOptions options,
                                                     Events events, std::string* message);
  ~RedisClient();
  RedisClient(const RedisClient&) = delete;
  RedisClient& operator=(const RedisClient&) = delete;

  // `done` comes later, once. kUnavailable: nothing was carried out. kGone, kTimeout: some of it
  // may have been. Redis' own errors are among the replies.
  void Call(RedisBatch batch, Done done);
  // The same to one server whatever the keys are: SCAN.
  void CallNode(RedisConnection* node, RedisBatch batch, Done done);

  bool up() const { return nodes_->up(); }
  bool cluster() const { return nodes_->cluster(); }
  std::string trouble() const { return nodes_->trouble(); }
  RedisNodes* nodes() { return nodes_.get(); }
  const RedisNodes& nodes() const { return *nodes_; }
  const Counters& counters() const { return counters_; }

 private:
  struct Exchange;
  struct Part;
  using ExchangePtr = std::shared_ptr<Exchange>;

  explicit RedisClient(Loop* loop) : loop_(loop) {}
  void Begin(const ExchangePtr& exchange);
  bool Route(Exchange* exchange, std::vector<Part>* parts);
  void SendPart(const ExchangePtr& exchange, Part part);
  void OnPart(const ExchangePtr& exchange, const Part& part, const Result<RespValue>& replies);
  void Again(Exchange* exchange, const Part& part, size_t position, std::string_view error);
  bool AnyAgain(const Exchange& exchange, const Part& part, const RespValue& root) const;
  bool IsAgain(const Exchange& exchange, const RespValue& value) const;
  void Next(const ExchangePtr& exchange);
  void Finish(const ExchangePtr& exchange);
  void Later(const ExchangePtr& exchange, Duration pause);

  Loop* const loop_;
  std::unique_ptr<RedisNodes> nodes_;
  Counters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace headrace::net
