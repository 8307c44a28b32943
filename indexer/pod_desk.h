// Which publishers are followed and who named them: the configuration, discovery, or somebody over
// HTTP. Puts pods, lists them, lets them go. The index's thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "indexer/fleet_index.h"
#include "indexer/service.h"
#include "indexer/subscriber_set.h"

namespace headrace::indexer {

class PodDesk {
 public:
  static constexpr size_t kMaxPut = kMaxEventSources;

  // `subscribers` may be null: this program can follow nobody then. Both outlive the desk.
  PodDesk(FleetIndex* fleet, SubscriberSet* subscribers);

  // Each replaces what it said before.
  void Configure(std::vector<EventSource> sources);
  void Found(std::vector<EventSource> sources);
  // Follows `source` as its pod's only publisher of this kind; the one before it is left.
  ApiReply Put(const EventSource& source);
  // The pod is forgotten, and not followed any more if it was put. What is listed elsewhere stays
  // followed: it is heard again when it is named anew.
  ApiReply Remove(const std::string& pod);
  // Every publisher, and every pod that told something.
  ApiReply List() const;

 private:
  std::vector<EventSource> All() const;
  bool IsListed(const std::string& pod) const;  // by configuration or discovery
  void Follow();
  void ForgetUnheard(const std::string& pod);

  FleetIndex* const fleet_;
  SubscriberSet* const subscribers_;
  std::vector<EventSource> configured_;
  std::vector<EventSource> found_;
  std::map<std::string, EventSource> put_;  // by pod
};

}  // namespace headrace::indexer
