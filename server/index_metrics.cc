#include "server/index_metrics.h"

#include <chrono>
#include <utility>
#include <vector>

namespace headrace::server {
namespace {

// Prometheus' own, which llm-d's histograms have.
const std::vector<double>& DefaultBounds() {
  static const std::vector<double> bounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                             0.5,   1,    2.5,   5,    10};
  return bounds;
}

// A question takes microseconds here: finer steps below llm-d's.
std::vector<double> LookupBounds() {
  std::vector<double> bounds = {0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025};
  bounds.insert(bounds.end(), DefaultBounds().begin(), DefaultBounds().end());
  return bounds;
}

// What a pod's counter grew by; all of it after a new begin under the same name.
uint64_t Growth(uint64_t now, uint64_t* last) {
  const uint64_t grown = now >= *last ? now - *last : now;
  *last = now;
  return grown;
}

}  // namespace

IndexMetrics::IndexMetrics(Metrics* metrics)
    : metrics_(metrics),
      lookup_seconds_(metrics->GetHistogram("kvcache_index_lookup_latency_seconds",
                                            "Of the index's part of a score", LookupBounds())) {}

void IndexMetrics::Scored(double seconds) {
  lookup_seconds_->Observe(seconds);
}

void IndexMetrics::Rendered(const std::string& model, double seconds) {
  metrics_
      ->GetHistogram("kvcache_tokenization_render_chat_template_latency_seconds",
                     "Of chats made prompts", DefaultBounds(), {{"tokenizer", model}})
      ->Observe(seconds);
}

void IndexMetrics::Tokenized(const std::string& model, size_t tokens, double seconds) {
  const Labels labels = {{"tokenizer", model}};
  metrics_
      ->GetHistogram("kvcache_tokenization_tokenization_latency_seconds", "Of prompts made tokens",
                     DefaultBounds(), labels)
      ->Observe(seconds);
  metrics_->GetCounter("kvcache_tokenization_tokenized_tokens_total", "Tokens of prompts", labels)
      ->Add(static_cast<double>(tokens));
}

void IndexMetrics::SetTotal(const char* name, const char* help, const Labels& labels,
                            uint64_t value) {
  metrics_->GetCounter(name, help, labels)->SetTotal(static_cast<double>(value));
}

void IndexMetrics::SetGauge(const char* name, const char* help, double value) {
  metrics_->GetGauge(name, help)->Set(value);
}

void IndexMetrics::Update(const indexer::IndexNumbers& numbers, Time now) {
  SetGauge("headrace_index_age_seconds", "Age of these numbers; grows while the index stands still",
           std::chrono::duration<double>(now - numbers.taken).count());
  UpdateIndex(numbers);
  ++updates_;
  for (const indexer::PodNumbers& pod : numbers.pods) UpdatePod(pod);
  ForgetPods();
  UpdateSources(numbers);
  UpdateLlmd(numbers);
  if (numbers.remote) UpdateRemote(*numbers.remote);
}

// Names of pods come and go; their series go with them.
void IndexMetrics::ForgetPods() {
  for (auto next = last_.begin(); next != last_.end();) {
    const auto place = next++;
    if (place->second.seen == updates_) continue;
    metrics_->Forget({{"pod", place->first}});
    last_.erase(place);
  }
}

void IndexMetrics::UpdateIndex(const indexer::IndexNumbers& numbers) {
  const indexer::IndexStats& index = numbers.index;
  SetGauge("headrace_index_blocks", "Blocks that somebody holds",
           static_cast<double>(index.blocks));
  SetGauge("headrace_index_bytes", "Memory of the index", static_cast<double>(index.bytes));
  SetGauge(
      "headrace_index_bytes_per_block", "Memory of the index by blocks",
      index.blocks == 0 ? 0 : static_cast<double>(index.bytes) / static_cast<double>(index.blocks));
  SetGauge("headrace_index_engine_keys", "Engines' names of blocks",
           static_cast<double>(index.engine_keys));
  SetGauge("headrace_index_pods", "Pods that are scored", static_cast<double>(numbers.pods.size()));
  SetGauge("headrace_index_orphans", "Events that wait for what they build on",
           static_cast<double>(numbers.waiting_events));
  SetGauge("headrace_index_orphan_bytes", "Memory of these",
           static_cast<double>(numbers.waiting_bytes));
  SetGauge("headrace_index_speculative", "Speculative entries",
           static_cast<double>(numbers.speculative));
  SetGauge("headrace_index_pods_at_odds",
           "Pods whose hashes mean other blocks than those of others",
           static_cast<double>(numbers.pods_at_odds));
  SetGauge("headrace_index_requests_waiting", "Requests that wait for a worker",
           static_cast<double>(numbers.requests_waiting));
  SetTotal("headrace_index_requests_refused_total", "Requests that too many others waited before",
           {}, numbers.requests_refused);
  SetTotal("headrace_index_evicted_blocks_total", "Blocks that left for the byte budget", {},
           index.evicted);
  SetTotal("headrace_index_moved_requests_total", "Requests for prompts that another replica has",
           {}, numbers.requests_moved);
  SetTotal("headrace_index_foreign_blocks_total", "Blocks told of that other replicas keep", {},
           numbers.foreign_blocks);
  SetTotal("headrace_index_late_batches_total", "Batches of pods that were removed before", {},
           numbers.late_batches);
  SetTotal("headrace_index_pods_refused_total", "Pods and holders beyond the limits", {},
           numbers.pods_refused);
  for (const auto& text : numbers.texts) {
    const Labels labels = {{"model", text.model}};
    SetTotal("headrace_index_prefix_hits_total", "Prompts whose begin was tokenized before", labels,
             text.store.hits);
    SetTotal("headrace_index_prefix_reused_tokens_total", "Tokens of these", labels,
             text.store.reused_tokens);
  }
}

void IndexMetrics::UpdateRemote(const indexer::RemoteNumbers& remote) {
  const indexer::RemoteStats& c = remote.stats;
  SetGauge("headrace_index_redis_up", "1 while Redis answers", remote.available ? 1 : 0);
  SetGauge("headrace_index_redis_queued_keys", "Keys that wait to be written",
           static_cast<double>(c.queued_keys));
  SetGauge("headrace_index_redis_pods_behind", "Pods that Redis is told anew",
           static_cast<double>(remote.pods_behind));
  SetTotal("headrace_index_redis_round_trips_total", "Waits for Redis", {}, c.round_trips);
  SetTotal("headrace_index_redis_added_total", "Copies written", {}, c.added);
  SetTotal("headrace_index_redis_removed_total", "Copies taken away", {}, c.removed);
  SetTotal("headrace_index_redis_dropped_keys_total", "Keys of streams that were lost", {},
           c.dropped_keys);
  SetTotal("headrace_index_redis_lost_streams_total", "Pods that Redis had to be told anew", {},
           c.lost_streams);
  SetTotal("headrace_index_redis_swept_total", "Holders that cleared pods left behind", {},
           c.swept_fields);
  SetTotal("headrace_index_redis_unreadable_total", "Fields that no schema explains", {},
           c.unreadable);
  SetTotal("headrace_index_redis_reconnects_total", "Connections made anew", {}, c.reconnects);
}

void IndexMetrics::UpdateLlmd(const indexer::IndexNumbers& numbers) {
  SetTotal("kvcache_index_admissions_total", "Blocks stored", {}, stored_);
  SetTotal("kvcache_index_evictions_total", "Blocks removed", {}, removed_);
  SetTotal("kvcache_index_lookup_requests_total", "Scores", {}, numbers.scores.requests);
  SetTotal("kvcache_index_lookup_hits_total", "Blocks of the longest prefix that a pod held", {},
           numbers.scores.keys_hit);
  SetTotal("kvcache_index_max_pod_hit_count_total", "The same, as llm-d has it", {},
           numbers.scores.keys_hit);
}

void IndexMetrics::UpdatePod(const indexer::PodNumbers& pod) {
  const Labels labels = {{"pod", pod.name}};
  const indexer::PodCounters& c = pod.counters;
  Last& last = last_[pod.name];
  last.seen = updates_;
  if (c.batches < last.batches) metrics_->Forget(labels);  // another one under the same name
  last.batches = c.batches;
  SetTotal("headrace_index_events_total", "Events of a pod", labels, c.events);
  SetTotal("headrace_index_batches_total", "Messages of a pod", labels, c.batches);
  SetTotal("headrace_index_bad_events_total", "Events that did not parse", labels,
           c.bad + c.unknown);
  SetTotal("headrace_index_waited_total", "Events that came before what they build on", labels,
           c.waited);
  SetTotal("headrace_index_dropped_total", "Of these, those that left without it", labels,
           c.dropped);
  SetTotal("headrace_index_limited_total", "Events that a limit refused", labels, c.limited);
  metrics_->GetGauge("headrace_index_lag_seconds", "From an event to its place here", labels)
      ->Set(c.lag_seconds);
  metrics_->GetGauge("headrace_index_uncertain", "1 while a pod's events have a gap", labels)
      ->Set(pod.state == indexer::PodState::kUncertain ? 1 : 0);
  metrics_
      ->GetGauge("headrace_index_waiting", "Events of a pod that wait for what they build on",
                 labels)
      ->Set(static_cast<double>(c.waiting));
  UpdateStreams(pod);
  stored_ += Growth(c.stored_blocks, &last.stored);
  removed_ += Growth(c.removed_blocks, &last.removed);
}

void IndexMetrics::UpdateStreams(const indexer::PodNumbers& pod) {
  const Labels labels = {{"pod", pod.name}};
  const indexer::FollowCounters& c = pod.streams;
  SetTotal("headrace_index_pod_gaps_total", "Gaps in a pod's messages", labels, c.gaps);
  SetTotal("headrace_index_pod_replays_total", "Replays of a pod's messages", labels, c.replays);
  SetTotal("headrace_index_pod_snapshots_total", "Snapshots of a pod", labels, c.snapshots);
  SetTotal("headrace_index_pod_lost_messages_total",
           "Messages of a pod that nobody could give again", labels, c.lost);
}

void IndexMetrics::UpdateSources(const indexer::IndexNumbers& numbers) {
  const indexer::FollowCounters& c = numbers.sources.streams;
  SetGauge("headrace_index_sources", "Publishers that are followed",
           static_cast<double>(numbers.followed));
  SetTotal("headrace_index_sources_failed_total", "Publishers that could not be followed", {},
           numbers.unfollowed);
  SetTotal("headrace_index_messages_total", "Messages of publishers", {}, numbers.sources.messages);
  SetTotal("headrace_index_malformed_total", "Of these, those that are none of this protocol", {},
           numbers.sources.malformed);
  SetTotal("headrace_index_connects_total", "Connections to publishers", {},
           numbers.sources.connects);
  SetTotal("headrace_index_duplicates_total", "Messages that came twice", {}, c.duplicates);
  SetTotal("headrace_index_gaps_total", "Gaps in a sequence of messages", {}, c.gaps);
  SetTotal("headrace_index_restarts_total", "Publishers that began anew", {}, c.restarts);
  SetTotal("headrace_index_replays_total", "Replays asked for", {}, c.replays);
  SetTotal("headrace_index_replay_failures_total", "Of these, those that failed", {},
           c.replay_failures);
  SetTotal("headrace_index_snapshots_total", "Snapshots asked for", {}, c.snapshots);
  SetTotal("headrace_index_snapshot_failures_total", "Of these, those that failed", {},
           c.snapshot_failures);
  SetTotal("headrace_index_lost_messages_total", "Messages that nobody could give again", {},
           c.lost);
}

}  // namespace headrace::server
