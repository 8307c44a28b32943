// All publishers that the index follows: keeps one subscriber for each source of a list, and lets
// the pods of those that leave it go. Loop-bound.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "indexer/discovery.h"
#include "indexer/subscriber.h"

namespace headrace::indexer {

class SubscriberSet {
 public:
  struct Config {
    FollowLimits follow;
    std::optional<net::CurveKeys> keys;  // ours, for publishers that have one
  };
  // `parts.slots` is not looked at: the set has its own.
  SubscriberSet(const Subscriber::Parts& parts, const Config& config);

  // Follows exactly these from now on (and what Bind added). Those that cannot be followed are
  // logged and counted.
  void Follow(const std::vector<EventSource>& sources);
  // Where publishers dial in, in the clear.
  Status Bind(const std::string& endpoint, const std::string& topic_filter);

  size_t size() const { return subscribers_.size() + (bound_ != nullptr ? 1 : 0); }
  uint64_t failed() const { return failed_; }
  Subscriber::Counters counters() const;  // of those that are followed now
  void ForEachStream(const Subscriber::StreamVisit& visit) const;
  const Subscriber* bound() const { return bound_.get(); }

 private:
  void Leave(std::unique_ptr<Subscriber> subscriber);

  Subscriber::Parts parts_;
  const Config config_;
  AskSlots slots_;
  std::map<EventSource, std::unique_ptr<Subscriber>> subscribers_;
  std::unique_ptr<Subscriber> bound_;
  uint64_t failed_ = 0;
};

}  // namespace headrace::indexer
