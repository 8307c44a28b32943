#include "sim/engine.h"

#include <algorithm>
#include <utility>

#include "base/result.h"

namespace headrace::sim {
namespace {

constexpr size_t kSpare = 64;

}  // namespace

struct Engine::Running {
  Sequence what;
  SequenceId id = 0;
  std::string lora;
  bool has_slot = false;
  bool told_waiting = false;  // to the metrics
  bool below_threshold = false;
  KvCache::SequenceId blocks = 0;  // 0: none
  uint64_t cached_tokens = 0;
  uint32_t tokens = 0;  // of the answer,
  uint32_t told = 0;    // of these
  TimerWheel::TimerId timer = 0;
  Time due{};        // of the next token
  Time last_told{};  // when the one before was
  Duration planned_step{};
  SequenceTimes times;
};

Engine::Engine(const Options& options, const Parts& parts, Time now)
    : options_(options), parts_(parts), wheel_(now) {
  HR_CHECK(options.max_running > 0);
}

Engine::~Engine() = default;

bool Engine::HasRoom(size_t sequences) const {
  const size_t free = line_.empty() ? options_.max_running - running_ : 0;
  return sequences <=
         free + (options_.max_waiting - std::min<size_t>(options_.max_waiting, line_.size()));
}

bool Engine::Fits(size_t blocks) const {
  return parts_.cache == nullptr || blocks <= parts_.cache->capacity();
}

Engine::SequenceId Engine::Submit(const Sequence& sequence, Time now) {
  std::unique_ptr<Running> made;
  if (spare_.empty()) {
    made = std::make_unique<Running>();
  } else {
    made = std::move(spare_.back());
    spare_.pop_back();
  }
  Running* const running = made.get();
  const SequenceId id = ++last_;
  *running = Running{.what = sequence, .id = id, .lora = std::string(sequence.lora)};
  running->times.arrived = now;
  sequences_.emplace(id, std::move(made));
  line_.push_back(running);
  changed_ = true;
  StartWaiting(now);
  if (!line_.empty() && line_.back()->id == id) {
    running->told_waiting = true;
    parts_.metrics->Waiting(1);
  }
  return id;
}

bool Engine::Cancel(SequenceId id, Time now) {
  const auto found = sequences_.find(id);
  if (found == sequences_.end()) return false;
  Running* const sequence = found->second.get();
  if (sequence->has_slot) {
    Release(sequence);
  } else {
    std::erase(line_, sequence);
    LeaveLine(sequence);
    sequences_.erase(found);
    changed_ = true;
  }
  StartWaiting(now);
  return true;
}

void Engine::Expire(Time now) {
  wheel_.Expire(now, [&](uint64_t id, Time) {
    const auto found = sequences_.find(id);
    HR_CHECK(found != sequences_.end());
    found->second->timer = 0;
    Play(found->second.get(), now);
  });
  StartWaiting(now);
}

std::vector<std::string> Engine::waiting_loras() const {
  std::vector<std::string> names;
  for (const Running* const waiting : line_) {
    if (waiting->lora.empty()) continue;
    if (std::find(names.begin(), names.end(), waiting->lora) == names.end()) {
      names.push_back(waiting->lora);
    }
  }
  return names;
}

// As many as have room, in the order of the line but for adapters. Those that end at once make room
// for others, which this loop sees. Who could not start before cannot as long as nothing changes:
// a token that is told is no reason to go through the line.
void Engine::StartWaiting(Time now) {
  if (starting_ || !std::exchange(changed_, false)) return;
  starting_ = true;
  while (running_ < options_.max_running) {
    const std::optional<size_t> place = NextInLine();
    if (!place) break;
    Running* const sequence = line_[*place];
    if (!TakePlace(sequence)) break;  // it waits for blocks, and the others behind it
    line_.erase(line_.begin() + static_cast<std::ptrdiff_t>(*place));
    LeaveLine(sequence);
    Start(sequence, now);
  }
  starting_ = false;
}

void Engine::LeaveLine(Running* sequence) {
  if (std::exchange(sequence->told_waiting, false)) parts_.metrics->Waiting(-1);
}

// The first whose adapter has a slot or can have one. It does not let those go first whose adapter
// is there already: as long as such come, it would never have its turn.
std::optional<size_t> Engine::NextInLine() const {
  for (size_t i = 0; i < line_.size(); ++i) {
    if (line_[i]->lora.empty() || parts_.loras->CanTake(line_[i]->lora)) return i;
  }
  return std::nullopt;
}

bool Engine::BelowThreshold(const Running& sequence) const {
  const Sequence& what = sequence.what;
  if (parts_.cache == nullptr || what.cache_hit_threshold <= 0) return false;
  const double cached =
      static_cast<double>(parts_.cache->Match(what.hashes)) * options_.block_tokens;
  return cached < what.cache_hit_threshold * static_cast<double>(what.prompt.size());
}

// All that it runs with: its adapter's slot and its blocks; or nothing. What is below its threshold
// needs none.
bool Engine::TakePlace(Running* sequence) {
  sequence->below_threshold = BelowThreshold(*sequence);
  if (sequence->below_threshold) return true;
  uint32_t slot = 0;
  if (!sequence->lora.empty()) slot = *parts_.loras->Take(sequence->lora);
  if (TakeBlocks(sequence, static_cast<int32_t>(slot))) return true;
  if (!sequence->lora.empty()) parts_.loras->Give(sequence->lora);
  return false;
}

bool Engine::TakeBlocks(Running* sequence, int32_t lora_slot) {
  if (parts_.cache == nullptr) return true;
  const Sequence& what = sequence->what;
  const auto started = parts_.cache->Start({.hashes = what.hashes,
                                            .tokens = what.prompt,
                                            .extras = what.extras,
                                            .lora_slot = lora_slot,
                                            .lora_name = sequence->lora});
  if (!started) return false;
  sequence->blocks = started->id;
  sequence->cached_tokens = uint64_t{started->hit_blocks} * options_.block_tokens;
  parts_.metrics->CacheAsked(what.prompt.size(), sequence->cached_tokens);
  return true;
}

void Engine::Start(Running* sequence, Time now) {
  const Sequence& what = sequence->what;
  sequence->times.started = now;
  if (sequence->below_threshold) {
    sequence->times.first_token = sequence->times.ended = now;
    ended_ = sequence->times;
    what.listener->OnCacheThreshold(what.choice);
    sequences_.erase(sequence->id);
    return;
  }
  sequence->has_slot = true;
  ++running_;
  parts_.metrics->Running(1);
  sequence->tokens = what.listener->OnStart(what.choice, sequence->cached_tokens);
  sequence->planned_step = parts_.latency->FirstToken({.prompt_tokens = what.prompt.size(),
                                                       .cached_tokens = sequence->cached_tokens,
                                                       .remote = what.remote_prefill},
                                                      running_);
  sequence->due = now + sequence->planned_step;
  sequence->times.planned = sequence->planned_step;
  Play(sequence, now);
}

// Tells all tokens that are due. The next one's time follows from this one's, not from now.
void Engine::Play(Running* sequence, Time now) {
  const Sequence& what = sequence->what;
  while (sequence->due <= now) {
    if (sequence->told == 0) {
      FirstToken(sequence, now);
    } else {
      parts_.metrics->NextToken(sequence->planned_step, now - sequence->last_told);
    }
    sequence->last_told = now;
    if (sequence->tokens > 0) what.listener->OnToken(what.choice, sequence->told++);
    if (sequence->told == sequence->tokens) return End(sequence, now);
    sequence->planned_step = parts_.latency->NextToken(running_);
    sequence->times.planned += sequence->planned_step;
    sequence->due += sequence->planned_step;
  }
  sequence->timer = wheel_.Add(sequence->due, sequence->id);
}

void Engine::FirstToken(Running* sequence, Time now) {
  const Sequence& what = sequence->what;
  sequence->times.first_token = now;
  parts_.metrics->Prefilled(what.prompt.size());
  parts_.metrics->FirstToken(sequence->planned_step, now - sequence->times.arrived);
  if (sequence->blocks == 0) return;
  parts_.cache->Filled(sequence->blocks, static_cast<uint32_t>(what.hashes.size()));
}

void Engine::End(Running* sequence, Time now) {
  sequence->times.ended = now;
  ended_ = sequence->times;
  SequenceListener* const listener = sequence->what.listener;
  const uint32_t choice = sequence->what.choice;
  Release(sequence);
  listener->OnDone(choice);
}

void Engine::Release(Running* sequence) {
  if (sequence->timer != 0) wheel_.Cancel(sequence->timer);
  if (sequence->blocks != 0) parts_.cache->End(sequence->blocks);
  if (!sequence->lora.empty()) parts_.loras->Give(sequence->lora);
  --running_;
  changed_ = true;
  parts_.metrics->Running(-1);
  auto node = sequences_.extract(sequence->id);
  if (spare_.size() < kSpare) spare_.push_back(std::move(node.mapped()));
}

}  // namespace headrace::sim
