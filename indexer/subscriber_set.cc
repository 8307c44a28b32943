#include "indexer/subscriber_set.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"

namespace headrace::indexer {
namespace {

Result<std::unique_ptr<Subscriber>> NoKeys() {
  return Fail(Errc::kPermission, "it has a CURVE key and this program has none");
}

}  // namespace

SubscriberSet::SubscriberSet(const Subscriber::Parts& parts, const Config& config)
    : parts_(parts), config_(config) {
  parts_.slots = &slots_;
}

void SubscriberSet::Leave(std::unique_ptr<Subscriber> subscriber) {
  const std::vector<PodId> pods = subscriber->pods();
  subscriber.reset();
  // A pod that another source tells of stays.
  std::set<PodId> others;
  for (const auto& [source, other] : subscribers_) {
    for (const PodId pod : other->pods()) others.insert(pod);
  }
  if (bound_ != nullptr) {
    for (const PodId pod : bound_->pods()) others.insert(pod);
  }
  for (const PodId pod : pods) {
    if (others.count(pod) == 0) parts_.pods->Remove(pod);
  }
}

void SubscriberSet::Follow(const std::vector<EventSource>& sources) {
  const std::set<EventSource> wanted(sources.begin(), sources.end());
  for (auto next = subscribers_.begin(); next != subscribers_.end();) {
    const auto place = next++;
    if (wanted.count(place->first) != 0) continue;
    HR_INFO("events of {} are not followed any more", place->first.endpoint);
    auto subscriber = std::move(place->second);
    subscribers_.erase(place);
    Leave(std::move(subscriber));
  }
  for (const EventSource& source : wanted) {
    if (subscribers_.count(source) != 0) continue;
    SubscriberConfig config;
    config.endpoint = source.endpoint;
    config.replay_endpoint = source.replay_endpoint;
    config.topic_filter = source.topic_filter;
    config.pod = source.pod;
    config.model = source.model;
    config.follow = config_.follow;
    const bool keyed = !source.server_key.empty();
    if (keyed && config_.keys) config.curve = net::ZmqCurve{*config_.keys, source.server_key};
    auto subscriber = keyed && !config_.keys ? NoKeys() : Subscriber::Create(parts_, config);
    if (!subscriber) {
      ++failed_;
      HR_ERROR("events of {} at {}: {}", source.pod, source.endpoint, subscriber.error().what);
      continue;
    }
    HR_INFO("events of {} are followed at {}", source.pod, source.endpoint);
    subscribers_.emplace(source, std::move(*subscriber));
  }
}

Status SubscriberSet::Bind(const std::string& endpoint, const std::string& topic_filter) {
  HR_CHECK(bound_ == nullptr);
  SubscriberConfig config;
  config.endpoint = endpoint;
  config.bind = true;
  config.topic_filter = topic_filter;
  config.follow = config_.follow;
  HR_TRY(bound_, Subscriber::Create(parts_, config));
  return {};
}

void SubscriberSet::ForEachStream(const Subscriber::StreamVisit& visit) const {
  for (const auto& [source, subscriber] : subscribers_) subscriber->ForEachStream(visit);
  if (bound_ != nullptr) bound_->ForEachStream(visit);
}

Subscriber::Counters SubscriberSet::counters() const {
  Subscriber::Counters sum;
  const auto add = [&](const Subscriber& subscriber) {
    const auto one = subscriber.counters();
    sum.messages += one.messages;
    sum.malformed += one.malformed;
    sum.connects += one.connects;
    sum.refused += one.refused;
    sum.streams.Add(one.streams);
  };
  for (const auto& [source, subscriber] : subscribers_) add(*subscriber);
  if (bound_ != nullptr) add(*bound_);
  return sum;
}

}  // namespace headrace::indexer
