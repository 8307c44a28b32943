#include "indexer/index_numbers.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace headrace::indexer {
namespace {

using Json = nlohmann::ordered_json;

Json PodJson(const PodNumbers& pod) {
  const PodCounters& c = pod.counters;
  return {{"pod", pod.name},
          {"state", PodStateName(pod.state)},
          {"batches", c.batches},
          {"events", c.events},
          {"bad", c.bad},
          {"unknown", c.unknown},
          {"stored_blocks", c.stored_blocks},
          {"removed_blocks", c.removed_blocks},
          {"cleared", c.cleared},
          {"sparse", c.sparse},
          {"waited", c.waited},
          {"dropped", c.dropped},
          {"limited", c.limited},
          {"waiting", c.waiting},
          {"lag_seconds", c.lag_seconds},
          {"gaps", pod.streams.gaps},
          {"replays", pod.streams.replays},
          {"snapshots", pod.streams.snapshots},
          {"restarts", pod.streams.restarts},
          {"lost", pod.streams.lost}};
}

Json SourcesJson(const IndexNumbers& numbers) {
  const FollowCounters& c = numbers.sources.streams;
  return {{"followed", numbers.followed},
          {"unfollowed", numbers.unfollowed},
          {"messages", numbers.sources.messages},
          {"malformed", numbers.sources.malformed},
          {"connects", numbers.sources.connects},
          {"refused", numbers.sources.refused},
          {"applied", c.applied},
          {"duplicates", c.duplicates},
          {"gaps", c.gaps},
          {"restarts", c.restarts},
          {"replays", c.replays},
          {"replay_failures", c.replay_failures},
          {"snapshots", c.snapshots},
          {"snapshot_failures", c.snapshot_failures},
          {"lost", c.lost}};
}

Json RemoteJson(const RemoteNumbers& remote) {
  const RemoteStats& c = remote.stats;
  return {{"available", remote.available},
          {"trouble", remote.trouble},
          {"pods_behind", remote.pods_behind},
          {"round_trips", c.round_trips},
          {"added", c.added},
          {"removed", c.removed},
          {"queued_keys", c.queued_keys},
          {"dropped_keys", c.dropped_keys},
          {"lost_streams", c.lost_streams},
          {"swept_fields", c.swept_fields},
          {"unreadable", c.unreadable},
          {"reconnects", c.reconnects}};
}

}  // namespace

IndexNumbers NumbersOf(FleetIndex* fleet, const StreamNumbers& streams, Time now) {
  HR_CHECK(fleet != nullptr);
  IndexNumbers numbers;
  numbers.taken = now;
  numbers.index = fleet->index()->stats();
  numbers.scores = fleet->score_counters();
  const PodTable& pods = *fleet->pods();
  pods.ForEach([&](PodId pod) {
    const auto stream = streams.find(pod);
    numbers.pods.push_back({pods.name(pod), pods.state(pod), pods.counters(pod),
                            stream == streams.end() ? FollowCounters{} : stream->second});
  });
  numbers.waiting_events = fleet->digest()->pending();
  numbers.waiting_bytes = fleet->digest()->pending_bytes();
  numbers.speculative = fleet->intents()->size();
  numbers.late_batches = fleet->digest()->late();
  numbers.pods_at_odds = fleet->digest()->at_odds();
  numbers.pods_refused = pods.refused();
  numbers.foreign_blocks = fleet->foreign_blocks();
  const SharedIndex* const shared = fleet->shared();
  if (shared != nullptr && shared->remote() != nullptr) {
    const RemoteIndex& remote = *shared->remote();
    numbers.remote = {remote.stats(), remote.available(), remote.trouble(), shared->behind()};
  }
  return numbers;
}

std::string StatsBody(const IndexNumbers& numbers) {
  Json pods = Json::array();
  for (const PodNumbers& pod : numbers.pods) pods.push_back(PodJson(pod));
  const IndexStats& index = numbers.index;
  Json body = {{"blocks", index.blocks},
               {"engine_keys", index.engine_keys},
               {"holder_sets", index.holder_sets},
               {"holders", index.holders},
               {"bytes", index.bytes},
               {"evicted", index.evicted},
               {"scores", numbers.scores.requests},
               {"waiting_events", numbers.waiting_events},
               {"waiting_bytes", numbers.waiting_bytes},
               {"speculative", numbers.speculative},
               {"late_batches", numbers.late_batches},
               {"pods_at_odds", numbers.pods_at_odds},
               {"pods_refused", numbers.pods_refused},
               {"requests_waiting", numbers.requests_waiting},
               {"requests_refused", numbers.requests_refused},
               {"requests_moved", numbers.requests_moved},
               {"foreign_blocks", numbers.foreign_blocks},
               {"pods", std::move(pods)},
               {"sources", SourcesJson(numbers)}};
  if (numbers.remote) body["redis"] = RemoteJson(*numbers.remote);
  return body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace headrace::indexer
