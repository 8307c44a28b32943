// Runs sequences as an engine would: a bounded number of them at a time, the others wait in line. A
// sequence is one prompt on its way to one answer; a request with several prompts or choices is as
// many of them. Token i is due at the sequence's start + the time to its first token + the sum of
// the times between tokens; what was late does not make the next one later. Knows no clock and no
// socket: the owner calls Expire at Next(). One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "sim/kv_cache.h"
#include "sim/latency.h"
#include "sim/lora.h"
#include "sim/sim_metrics.h"
#include "sim/timer_wheel.h"

namespace headrace::sim {

// What becomes of a sequence. Calls come from within Submit, Cancel of another one, and Expire;
// they may not call the engine.
class SequenceListener {
 public:
  virtual ~SequenceListener() = default;
  // It has a slot, and this many tokens of its prompt are cached. Returns how many tokens are
  // answered.
  virtual uint32_t OnStart(uint32_t choice, uint64_t cached_tokens) = 0;
  virtual void OnToken(uint32_t choice, uint32_t token) = 0;
  // All tokens were told.
  virtual void OnDone(uint32_t choice) = 0;
  // Less of its prompt is cached than it asked for: instead of all of the above.
  virtual void OnCacheThreshold(uint32_t choice) = 0;
};

// Where the time of a sequence went; of one that ended.
struct SequenceTimes {
  Time arrived{}, started{}, first_token{}, ended{};
  Duration planned{};  // from its start to its end
};

class Engine {
 public:
  using SequenceId = uint64_t;  // never 0

  struct Options {
    uint32_t max_running = 5;
    uint32_t max_waiting = 1000;
    uint32_t block_tokens = 16;
  };
  // They outlive the engine.
  struct Parts {
    LatencyModel* latency = nullptr;
    LoraTable* loras = nullptr;
    SimMetrics* metrics = nullptr;
    KvCache* cache = nullptr;  // null: no cache is simulated
  };
  // What a spans views outlives the sequence.
  struct Sequence {
    SequenceListener* listener = nullptr;
    uint32_t choice = 0;
    std::span<const uint32_t> prompt;
    std::span<const wire::BlockHash> hashes;  // of the prompt's full blocks; without a cache none
    std::span<const wire::ExtraKeys> extras;
    std::string_view lora;  // "": the base model
    bool remote_prefill = false;
    double cache_hit_threshold = 0;  // share of the prompt
  };

  Engine(const Options& options, const Parts& parts, Time now);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Whether `sequences` more may come: they run, or there is room in the line.
  bool HasRoom(size_t sequences) const;
  // Whether the cache could ever hold so many blocks.
  bool Fits(size_t blocks) const;

  // Starts it, or puts it into the line. REQUIRES: HasRoom and Fits.
  SequenceId Submit(const Sequence& sequence, Time now);
  // Its slot is free at once; its listener hears no more. False: it had ended.
  bool Cancel(SequenceId id, Time now);

  // When something is due; nullopt: nothing is.
  std::optional<Time> Next() { return wheel_.Next(); }
  void Expire(Time now);

  // Of a sequence whose OnDone or OnCacheThreshold is being called.
  const SequenceTimes& ended() const { return ended_; }

  uint32_t running() const { return running_; }
  size_t waiting() const { return line_.size(); }
  std::vector<std::string> waiting_loras() const;

 private:
  struct Running;

  void StartWaiting(Time now);
  std::optional<size_t> NextInLine() const;
  void LeaveLine(Running* sequence);
  bool TakePlace(Running* sequence);
  bool TakeBlocks(Running* sequence, int32_t lora_slot);
  void Start(Running* sequence, Time now);
  bool BelowThreshold(const Running& sequence) const;
  void Play(Running* sequence, Time now);
  void FirstToken(Running* sequence, Time now);
  void End(Running* sequence, Time now);
  void Release(Running* sequence);

  const Options options_;
  const Parts parts_;
  TimerWheel wheel_;
  std::unordered_map<SequenceId, std::unique_ptr<Running>> sequences_;  // running and waiting
  std::deque<Running*> line_;
  std::vector<std::unique_ptr<Running>> spare_;  // memory of those that ended
  SequenceId last_ = 0;
  uint32_t running_ = 0;
  bool starting_ = false;
  bool changed_ = false;  // since the line was gone through: somebody came or went
  SequenceTimes ended_;
};

}  // namespace headrace::sim
