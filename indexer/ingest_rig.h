// What tests of whole fleets share: publishers with truths of their own, and the ways from them to
// an index, which lose, double and disorder messages, and whose replays and snapshots fail. One
// thread.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "indexer/follow.h"
#include "indexer/ingest.h"
#include "wire/event.h"

namespace headrace::indexer {

inline constexpr uint32_t kChains = 24;
inline constexpr uint32_t kLength = 24;
inline constexpr uint32_t kBlockTokens = 4;
inline constexpr uint32_t kAlike = 3;  // chains that have their first block in common
inline constexpr Duration kStep = milliseconds(10);

// A chain of those that have this block, too.
inline uint32_t NamedBy(uint32_t chain, uint32_t block) {
  return block == 0 ? chain / kAlike * kAlike : chain;
}
inline uint64_t HashOf(uint32_t chain, uint32_t block) {
  return MixBits((uint64_t{NamedBy(chain, block)} << 32 | block) + 1);
}
inline std::vector<uint32_t> TokensOf(uint32_t chain, uint32_t first, uint32_t count) {
  std::vector<uint32_t> tokens;
  for (uint32_t i = first * kBlockTokens; i < (first + count) * kBlockTokens; ++i) {
    tokens.push_back(NamedBy(chain, i / kBlockTokens) * 1000 + i);
  }
  return tokens;
}

// An event with memory of its own.
struct Told {
  wire::EventType type = wire::EventType::kCleared;
  std::vector<uint64_t> hashes;
  uint64_t parent = 0;
  std::vector<uint32_t> tokens;
  std::string medium;
  std::string pods;  // packed; "": it does not say
};

inline std::string Encode(const std::vector<Told>& told, double timestamp) {
  std::vector<wire::Event> events;
  for (const Told& one : told) {
    wire::Event& event = events.emplace_back();
    event.type = one.type;
    event.hashes = one.hashes;
    if (one.parent != 0) event.parent = one.parent;
    event.tokens = one.tokens;
    event.block_size = kBlockTokens;
    event.medium = one.medium;
    event.pods = {reinterpret_cast<const uint8_t*>(one.pods.data()), one.pods.size()};
  }
  wire::EventBatch batch;
  batch.timestamp = timestamp;
  batch.events = events;
  std::string payload;
  wire::EncodeEventBatch(batch, {}, &payload);
  return payload;
}

struct Faults {
  uint64_t dropped = 0, doubled = 0, late = 0, restarts = 0, clears = 0, flaps = 0;
  uint64_t replay_holes = 0, replay_cuts = 0, silences = 0, snapshot_cuts = 0, ring_misses = 0;
  uint64_t lists = 0;
};

// What an engine holds: of each chain a run from its first block, in copies.
class Publisher {
 public:
  Publisher(uint64_t seed, std::string name, bool is_node, size_t ring)
      : name_(std::move(name)), random_(seed), is_node_(is_node), ring_(ring) {
    copies_.resize(kChains);
    for (auto& chain : copies_) chain.resize(kLength);
  }

  struct Sent {
    uint64_t sequence = 0;
    std::string payload;
    size_t events = 0;
  };

  Sent Publish(Faults* faults) {
    std::vector<Told> told;
    const size_t count = random_.Between(1, 6);
    told.reserve(count);
    for (size_t i = 0; i < count; ++i) told.push_back(Next(faults));
    return Keep(told);
  }
  // Everything of all chains.
  Sent PublishAll() {
    std::vector<Told> told;
    told.reserve(kChains);
    for (uint32_t c = 0; c < kChains; ++c) told.push_back(Store(c, 0, kLength));
    return Keep(told);
  }
  // One copy less of everything.
  Sent PublishLess() {
    std::vector<Told> told;
    for (uint32_t c = 0; c < kChains; ++c) {
      Told one{.type = wire::EventType::kRemoved, .medium = medium()};
      for (uint32_t b = kLength; b-- > 0;) {
        if (copies_[c][b] == 0) continue;
        --copies_[c][b];
        one.hashes.push_back(HashOf(c, b));
      }
      if (!one.hashes.empty()) told.push_back(one);
    }
    return Keep(told);
  }
  void Restart() {
    next_ = 0;
    ++life_;
    kept_.clear();
    Wipe();
    serves_.clear();
  }
  // Of a node: what it holds counts for these from now on.
  Sent PublishPods(std::vector<std::string> pods) {
    serves_ = std::move(pods);
    return Keep({List()});
  }

  // All that is held, in chain order; valid before `next()`.
  std::vector<std::string> Snapshot() const {
    std::vector<std::string> parts;
    if (is_node_) parts.push_back(Encode({List()}, 0));
    for (uint32_t c = 0; c < kChains; ++c) {
      std::vector<Told> told;
      for (uint32_t b = 0; b < kLength; ++b) {
        for (int i = 0; i < copies_[c][b]; ++i) told.push_back(StoreOf(c, b, 1));
      }
      if (!told.empty()) parts.push_back(Encode(told, 0));
    }
    return parts;
  }

  const std::string& name() const { return name_; }
  const std::deque<Sent>& kept() const { return kept_; }
  uint64_t next() const { return next_; }
  int copies(uint32_t chain, uint32_t block) const {
    if (block > 0) return copies_[chain][block];
    int sum = 0;
    for (uint32_t c = NamedBy(chain, 0); c < NamedBy(chain, 0) + kAlike; ++c) sum += copies_[c][0];
    return sum;
  }
  bool is_node() const { return is_node_; }
  const std::vector<std::string>& serves() const { return serves_; }
  std::string medium() const { return is_node_ ? "cpu" : ""; }
  bool empty() const {
    for (const auto& chain : copies_) {
      for (const int count : chain) {
        if (count > 0) return false;
      }
    }
    return true;
  }

 private:
  Told List() const {
    return {
        .type = wire::EventType::kStored, .medium = medium(), .pods = wire::PackEventPods(serves_)};
  }
  void Wipe() {
    for (auto& chain : copies_) std::fill(chain.begin(), chain.end(), 0);
  }
  Told StoreOf(uint32_t chain, uint32_t first, uint32_t count) const {
    Told told{.type = wire::EventType::kStored, .medium = medium()};
    for (uint32_t b = first; b < first + count; ++b) told.hashes.push_back(HashOf(chain, b));
    if (is_node_) return told;
    if (first > 0) told.parent = HashOf(chain, first - 1);
    told.tokens = TokensOf(chain, first, count);
    return told;
  }
  Told Store(uint32_t chain, uint32_t first, uint32_t count) {
    for (uint32_t b = first; b < first + count; ++b) ++copies_[chain][b];
    return StoreOf(chain, first, count);
  }
  Told Next(Faults* faults) {
    const auto chain = static_cast<uint32_t>(random_.Below(kChains));
    auto& copies = copies_[chain];
    const auto held =
        static_cast<uint32_t>(std::find(copies.begin(), copies.end(), 0) - copies.begin());
    if (random_.Chance(1, 10000)) {
      ++faults->clears;
      Wipe();
      return {};
    }
    if (held == 0 || random_.Chance(55, 100)) {
      const auto first = static_cast<uint32_t>(random_.Below(std::min(held, kLength - 1) + 1));
      const auto most = std::min<uint64_t>(4, kLength - first);
      return Store(chain, first, static_cast<uint32_t>(random_.Between(1, most)));
    }
    Told told{.type = wire::EventType::kRemoved, .medium = medium()};
    const auto count = random_.Between(1, 5);
    for (uint32_t b = held; b-- > 0 && told.hashes.size() < count;) {
      --copies[b];
      told.hashes.push_back(HashOf(chain, b));
      if (copies[b] > 0) break;  // the ones in front keep at least as long a run
    }
    return told;
  }
  Sent Keep(const std::vector<Told>& told) {
    Sent sent{next_, Encode(told, static_cast<double>(life_ * 100000000 + next_)), told.size()};
    ++next_;
    kept_.push_back(sent);
    if (kept_.size() > ring_) kept_.pop_front();
    return sent;
  }

  const std::string name_;
  Random random_;
  const bool is_node_;
  const size_t ring_;
  uint64_t next_ = 0;
  uint64_t life_ = 0;
  std::deque<Sent> kept_;
  std::vector<std::vector<int>> copies_;
  std::vector<std::string> serves_;
};

// The way from one publisher to the index: a stream, and a desk that answers questions.
class Link {
 public:
  Link(Publisher* publisher, Digest* digest, PodTable* pods, bool snapshot)
      : publisher_(publisher),
        digest_(digest),
        pods_(pods),
        follower_({.idle = milliseconds(50),
                   .total = seconds(1),
                   .cool_down = milliseconds(200),
                   .probe_after = milliseconds(150),
                   .rounds = snapshot ? 3 : 1000000,
                   .held_messages = 64},
                  {.replay = true, .snapshot = snapshot}),
        feed_(*digest->Open(publisher->name(), "m")) {}

  void Connect(Time now) {
    follower_.OnConnected(now, &actions_);
    Carry(now);
  }
  void Send(const Publisher::Sent& sent, Random* random, Faults* faults) {
    if (faults != nullptr && random->Chance(1, 50)) {
      ++faults->dropped;
      return;
    }
    stream_.push_back(sent);
    if (faults == nullptr) return;
    if (random->Chance(1, 50)) {
      ++faults->doubled;
      stream_.push_back(sent);
    }
    if (stream_.size() > 1 && random->Chance(1, 50)) {
      ++faults->late;
      std::swap(stream_[stream_.size() - 1], stream_[stream_.size() - 2]);
    }
  }
  void Break() {
    stream_.clear();
    answer_.clear();
  }

  void Step(Time now, Random* random, Faults* faults) {
    random_ = random;
    faults_ = faults;
    for (size_t most = random->Between(0, 12); most > 0 && !stream_.empty(); --most) {
      const Publisher::Sent sent = std::move(stream_.front());
      stream_.pop_front();
      follower_.OnLive({sent.sequence, "t", sent.payload}, now, &actions_);
      Carry(now);
    }
    for (size_t most = random->Between(0, 40); most > 0 && !answer_.empty(); --most) {
      const std::function<void(Time)> part = std::move(answer_.front());
      answer_.pop_front();
      part(now);
      Carry(now);
    }
    follower_.OnTick(now, &actions_);
    Carry(now);
  }
  bool quiet() const {
    return stream_.empty() && answer_.empty() && !follower_.uncertain() &&
           follower_.state() == StreamFollower::State::kLive;
  }
  const StreamFollower& follower() const { return follower_; }
  const Publisher& publisher() const { return *publisher_; }
  const Feed& feed() const { return feed_; }

 private:
  void Carry(Time now) {
    for (const FollowAction& action : actions_.list()) {
      switch (action.kind) {
        case FollowAction::Kind::kApply:
          Decode(action.message.payload, now);
          break;
        case FollowAction::Kind::kNewEpoch:
          digest_->NewEpoch(&feed_);
          break;
        case FollowAction::Kind::kAskReplay:
          AnswerReplay(action.ticket, action.from);
          break;
        case FollowAction::Kind::kAskSnapshot:
          AnswerSnapshot(action.ticket);
          break;
        case FollowAction::Kind::kMarkUncertain:
        case FollowAction::Kind::kMarkCertain:
          pods_->SetUncertain(feed_.pod, action.kind == FollowAction::Kind::kMarkUncertain);
          break;
      }
    }
    actions_.Clear();
  }
  void Decode(std::string_view payload, Time now) {
    wire::EventBatch batch;
    const std::span bytes(reinterpret_cast<const uint8_t*>(payload.data()), payload.size());
    HR_CHECK(decoder_.Decode(bytes, &batch).has_value());
    HR_CHECK(digest_->Apply(&feed_, batch, now).has_value());
  }
  bool Fails(uint64_t Faults::* kind, uint64_t of) {
    if (faults_ == nullptr || random_ == nullptr || !random_->Chance(1, of)) return false;
    ++(faults_->*kind);
    return true;
  }
  void AnswerReplay(uint32_t ticket, uint64_t from) {
    answer_.clear();
    if (Fails(&Faults::silences, 20)) return;
    const bool cut = Fails(&Faults::replay_cuts, 20);
    const bool hole = Fails(&Faults::replay_holes, 10);
    const auto& kept = publisher_->kept();
    if (faults_ != nullptr && !kept.empty() && from < kept.front().sequence) ++faults_->ring_misses;
    size_t sent = 0;
    for (const auto& one : kept) {
      if (one.sequence < from) continue;
      if (cut && sent == 3) return;
      if (hole && ++sent == 3) continue;
      answer_.push_back([this, ticket, one](Time now) {
        follower_.OnReplay(ticket, {one.sequence, "t", one.payload}, now, &actions_);
      });
      if (!hole) ++sent;
    }
    answer_.push_back([this, ticket](Time now) { follower_.OnReplayEnd(ticket, now, &actions_); });
  }
  void AnswerSnapshot(uint32_t ticket) {
    answer_.clear();
    const bool cut = Fails(&Faults::snapshot_cuts, 10);
    size_t sent = 0;
    for (const std::string& part : publisher_->Snapshot()) {
      if (cut && ++sent == 4) return;
      answer_.push_back([this, ticket, part](Time now) {
        follower_.OnSnapshot(ticket, {0, "t", part}, now, &actions_);
      });
    }
    answer_.push_back([this, ticket, next = publisher_->next()](Time now) {
      follower_.OnSnapshotEnd(ticket, next, now, &actions_);
    });
  }

  Publisher* const publisher_;
  Digest* const digest_;
  PodTable* const pods_;
  StreamFollower follower_;
  Feed feed_;
  FollowActions actions_;
  wire::EventDecoder decoder_;
  std::deque<Publisher::Sent> stream_;
  std::deque<std::function<void(Time)>> answer_;
  Random* random_ = nullptr;
  Faults* faults_ = nullptr;
};

}  // namespace headrace::indexer
