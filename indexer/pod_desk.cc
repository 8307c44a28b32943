#include "indexer/pod_desk.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

namespace headrace::indexer {
namespace {

constexpr int kNotFound = 404;
constexpr int kConflict = 409;
constexpr int kNotBuilt = 501;

bool Names(const std::vector<EventSource>& sources, const std::string& pod) {
  return std::any_of(sources.begin(), sources.end(),
                     [&](const EventSource& source) { return source.pod == pod; });
}

std::string SourceBody(const EventSource& source, const char* by) {
  return fmt::format(
      "{{\"pod\":{},\"by\":\"{}\",\"endpoint\":{},\"replay_endpoint\":{},\"model\":{},"
      "\"topic_filter\":{}}}",
      JsonText(source.pod), by, JsonText(source.endpoint), JsonText(source.replay_endpoint),
      JsonText(source.model), JsonText(source.topic_filter));
}

}  // namespace

PodDesk::PodDesk(FleetIndex* fleet, SubscriberSet* subscribers)
    : fleet_(fleet), subscribers_(subscribers) {
  HR_CHECK(fleet_ != nullptr);
}

std::vector<EventSource> PodDesk::All() const {
  std::vector<EventSource> all = configured_;
  all.insert(all.end(), found_.begin(), found_.end());
  for (const auto& [pod, source] : put_) all.push_back(source);
  return all;
}

bool PodDesk::IsListed(const std::string& pod) const {
  return Names(configured_, pod) || Names(found_, pod);
}

void PodDesk::Follow() {
  std::set<std::string, std::less<>> names;
  std::vector<EventSource> all = All();
  for (const EventSource& source : all) names.insert(source.pod);
  fleet_->Expect(std::move(names));
  if (subscribers_ != nullptr) subscribers_->Follow(all);
}

// What was only announced to has no stream that would take it along.
void PodDesk::ForgetUnheard(const std::string& pod) {
  const PodTable& pods = *fleet_->pods();
  const auto known = pods.Find(pod);
  if (known && pods.counters(*known).batches == 0) fleet_->RemovePod(pod);
}

void PodDesk::Configure(std::vector<EventSource> sources) {
  configured_ = std::move(sources);
  Follow();
}

void PodDesk::Found(std::vector<EventSource> sources) {
  const std::vector<EventSource> before = std::exchange(found_, std::move(sources));
  Follow();
  for (const EventSource& source : before) {
    if (!IsListed(source.pod) && !put_.contains(source.pod)) ForgetUnheard(source.pod);
  }
}

ApiReply PodDesk::Put(const EventSource& source) {
  if (source.pod.empty() || source.pod.size() > PodTable::kMaxNameBytes) {
    return IndexService::Refusal(
        {400, "pod", fmt::format("must have 1 to {} bytes", PodTable::kMaxNameBytes)});
  }
  if (subscribers_ == nullptr) {
    return IndexService::Refusal({kNotBuilt, "", "this program was built without ZeroMQ"});
  }
  if (IsListed(source.pod)) {
    return IndexService::Refusal(
        {kConflict, "pod", fmt::format("\"{}\" comes from the configuration", source.pod)});
  }
  const bool replaces = put_.contains(source.pod);
  if (!replaces && put_.size() >= kMaxPut) {
    return IndexService::Refusal({400, "pod", fmt::format("at most {} pods may be put", kMaxPut)});
  }
  const uint64_t failed = subscribers_->failed();
  put_[source.pod] = source;
  Follow();
  if (subscribers_->failed() != failed) {
    put_.erase(source.pod);
    return IndexService::Refusal({400, "endpoint", "cannot be dialled from here"});
  }
  return {replaces ? 200 : 201, SourceBody(source, "api") + "\n"};
}

ApiReply PodDesk::Remove(const std::string& pod) {
  const bool was_put = put_.erase(pod) != 0;
  if (was_put) Follow();
  if (!fleet_->RemovePod(pod) && !was_put) {
    return IndexService::Refusal({kNotFound, "pod", fmt::format("there is no pod \"{}\"", pod)});
  }
  return {200, fmt::format("{{\"removed\":{}}}\n", JsonText(pod))};
}

ApiReply PodDesk::List() const {
  std::string text = "{\"sources\":[";
  const char* comma = "";
  const auto add = [&](const EventSource& source, const char* by) {
    text += comma + SourceBody(source, by);
    comma = ",";
  };
  for (const EventSource& source : configured_) add(source, "configuration");
  for (const EventSource& source : found_) add(source, "discovery");
  for (const auto& [pod, source] : put_) add(source, "api");
  text += "],\"pods\":[";
  comma = "";
  const PodTable& pods = *fleet_->pods();
  pods.ForEach([&](PodId pod) {
    text += fmt::format("{}{{\"pod\":{},\"state\":\"{}\"}}", comma, JsonText(pods.name(pod)),
                        PodStateName(pods.state(pod)));
    comma = ",";
  });
  return {200, text + "]}\n"};
}

}  // namespace headrace::indexer
