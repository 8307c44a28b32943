// Random histories against a naive model: what was saved, and what every slot really holds. A
// mover that finishes, fails and delays copies in any order writes "bytes" into a map of slots; a
// load must find under each position exactly what was saved under its hash.
#include <random>
#include <set>
#include <tuple>

#include "engine/test_world.h"

namespace headrace::engine {
namespace {

struct Content {
  uint32_t name_space = 0;
  uint64_t generation = 0;
  std::string hash;
  uint32_t group = 0;
  uint32_t rank = 0;
  auto operator<=>(const Content&) const = default;
};

struct Rank {
  SessionId session = 0;
  uint32_t registration = 0;
  uint32_t name_space = 0;
  uint32_t rank = 0;
};

struct LeaseNote {
  uint64_t id = 0;
  uint32_t name_space = 0;
  size_t chain = 0;
  uint32_t blocks = 0;
};

std::string Key(const BlockHash& hash) {
  return std::string(reinterpret_cast<const char*>(hash.bytes.data()), hash.size);
}

// Namespace 0: one rank; 1: two ranks; 2: full attention, a window of 3 and a state.
class History {
 public:
  History(uint64_t seed, const WorldOptions& options, bool exact)
      : world_(options), random_(seed), exact_(exact), orphans_(!exact || seed % 2 == 0) {
    for (int i = 0; i < 12; ++i) chains_.push_back(Chain(seed * 100 + i, 4 + Below(40)));
    for (int i = 0; i < 12; ++i) {
      const uint32_t keep = Below(chains_[i].size());
      chains_.push_back(chains_[i].Branch(keep, i, keep + 1 + Below(20)));
    }
    for (int i = 0; i < 3; ++i) OpenOne();
  }

  void Run(int operations) {
    for (int i = 0; i < operations; ++i) {
      StepOnce();
      Absorb();
      if (i % 97 == 0) world_.engine().CheckInvariants();
    }
    Drain();
    world_.engine().CheckInvariants();
  }
  World& world() { return world_; }
  uint64_t hits() const { return hits_; }
  uint64_t loaded() const { return loaded_; }

 private:
  uint32_t Below(uint64_t limit) { return static_cast<uint32_t>(random_() % limit); }

  std::vector<wire::GroupSpec> GroupsOf(uint32_t name_space) {
    std::vector<wire::GroupSpec> groups = {GroupOf(wire::GroupKind::kFull, 4096)};
    if (name_space == 2) {
      groups.push_back(GroupOf(wire::GroupKind::kWindow, 4096, 3));
      groups.push_back(GroupOf(wire::GroupKind::kState, 12288));
    }
    return groups;
  }

  void OpenOne() {
    const SessionId session = world_.Open(Below(2) == 0 ? "a" : "b");
    for (uint32_t ns = 0; ns < 3; ++ns) {
      for (uint32_t rank = 0; rank < (ns == 1 ? 2u : 1u); ++rank) {
        const auto spec =
            world_.Spec("ns" + std::to_string(ns), GroupsOf(ns), rank, ns == 1 ? 2 : 1);
        ranks_.push_back({session, world_.Joined(session, spec), ns, rank});
      }
    }
    ++sessions_;
  }

  // What the movers' memory holds, and that no slot is given away under a copy.
  void Absorb() {
    for (const auto& [ticket, job] : world_.copies()) {
      if (seen_.contains(ticket)) continue;
      seen_.insert(ticket);
      for (const auto& copy : job.blocks) {
        auto& use = busy_[{copy.region, copy.slot_offset}];
        if (job.direction == wire::Direction::kSave) {
          EXPECT_EQ(use.readers + use.writers, 0) << "a slot was reused under a copy";
          ++use.writers;
          slots_.erase({copy.region, copy.slot_offset});
        } else {
          EXPECT_EQ(use.writers, 0);
          ++use.readers;
        }
      }
    }
  }

  void Finish(Ticket ticket, Errc code) {
    Absorb();
    const CopyJob job = world_.copies().at(ticket);
    for (const auto& copy : job.blocks) {
      const auto place = std::pair(copy.region, copy.slot_offset);
      auto& use = busy_[place];
      const Content& content = contents_.at(copy.block);
      if (job.direction == wire::Direction::kSave) {
        --use.writers;
        if (code == Errc::kOk) {
          slots_[place] = content;
          stored_.insert(content);
        }
      } else {
        --use.readers;
        if (code == Errc::kOk) {
          EXPECT_TRUE(slots_.contains(place) && slots_[place] == content) << "foreign bytes";
          ++loaded_;
        }
      }
    }
    world_.Complete(ticket, code);
  }

  void FinishOne(Errc code) {
    if (world_.copies().empty()) return;
    auto it = world_.copies().begin();
    std::advance(it, Below(world_.copies().size()));
    Finish(it->first, code);
  }

  void Drain() {
    do {
      while (!world_.copies().empty()) Finish(world_.copies().begin()->first, Errc::kOk);
      world_.RunTicks();
    } while (!world_.copies().empty());
  }

  uint32_t Note(Content content) {
    contents_.push_back(std::move(content));
    return static_cast<uint32_t>(contents_.size() - 1);
  }
  Content ContentOf(uint32_t ns, const BlockHash& hash, uint32_t group, uint32_t rank) {
    return {ns, generations_[ns], Key(hash), group, rank};
  }

  void SaveSome() {
    const Rank& rank = ranks_[Below(ranks_.size())];
    const Chain& chain = chains_[Below(chains_.size())];
    const uint32_t from = orphans_ && Below(3) == 0 ? Below(chain.size()) : 0;
    const uint32_t count = 1 + Below(chain.size() - from);
    wire::Save save{.registration = rank.registration};
    for (uint32_t group = 0; group < (rank.name_space == 2 ? 3u : 1u); ++group) {
      wire::SaveChain part;
      part.group = group;
      part.depth = from;
      if (from > 0) part.parent = chain[from - 1];
      part.hashes = chain.part(from, count);
      for (uint32_t i = 0; i < count; ++i) {
        const bool absent = group > 0 && Below(3) == 0;
        part.blocks.push_back(
            absent ? wire::kNoBlock
                   : Note(ContentOf(rank.name_space, chain[from + i], group, rank.rank)));
      }
      save.chains.push_back(std::move(part));
    }
    if (!exact_ && Below(60) == 0) save.chains[0].depth += 1;  // a lie, or a broken message
    world_.SubmitChains(rank.session, save);
  }

  // The hit in the model: all parts of all ranks were stored and nothing was taken away.
  uint32_t ModelHit(uint32_t ns, const HashList& hashes) {
    uint32_t full = 0;
    while (full < hashes.size() && FullAt(ns, hashes, full)) ++full;
    if (ns != 2) return full;
    for (uint32_t hit = full; hit > 0; --hit) {
      bool good = stored_.contains(ContentOf(ns, hashes[hit - 1], 2, 0));
      for (uint32_t i = hit > 3 ? hit - 3 : 0; i < hit; ++i) {
        good = good && stored_.contains(ContentOf(ns, hashes[i], 1, 0));
      }
      if (good) return hit;
    }
    return 0;
  }
  bool FullAt(uint32_t ns, const HashList& hashes, uint32_t i) {
    bool all =
        i == 0 ? Roots().contains(Key(hashes[0])) : parents_[Key(hashes[i])] == Key(hashes[i - 1]);
    for (uint32_t rank = 0; rank < (ns == 1 ? 2u : 1u); ++rank) {
      all = all && stored_.contains(ContentOf(ns, hashes[i], 0, rank));
    }
    return all;
  }
  const std::set<std::string>& Roots() {
    if (roots_.empty()) {
      for (const Chain& chain : chains_) {
        roots_.insert(Key(chain[0]));
        for (uint32_t i = 1; i < chain.size(); ++i) parents_[Key(chain[i])] = Key(chain[i - 1]);
      }
    }
    return roots_;
  }

  Chain Listed(size_t index) {
    Chain list = chains_[index];
    const uint32_t how = Below(6);
    if (how == 0) list.bytes()[Below(list.bytes().size())] ^= 1;  // one hash is another
    if (how == 1) {                                               // two change places
      const uint32_t a = Below(list.size()), b = Below(list.size());
      for (int i = 0; i < 32; ++i) std::swap(list.bytes()[a * 32 + i], list.bytes()[b * 32 + i]);
    }
    if (how == 2) {  // the end of one behind the beginning of another
      const Chain& other = chains_[Below(chains_.size())];
      const uint32_t both = std::min(list.size(), other.size());
      const uint32_t cut = Below(both + 1);
      std::copy(other.list().raw().begin(), other.list().raw().begin() + cut * 32,
                list.bytes().begin());
    }
    return list;
  }

  void QuerySome() {
    const Rank& rank = ranks_[Below(ranks_.size())];
    const size_t index = Below(chains_.size());
    const Chain list = Listed(index);
    const uint32_t count = Below(list.size() + 1);
    const HashList hashes = list.part(0, count);
    const uint32_t linear = world_.engine().LinearHit(rank.name_space, hashes);
    const bool lease = Below(2) == 0;
    const auto answer = world_.AskItem(rank.session, rank.registration,
                                       {.hashes = hashes, .want_lease = lease}, 1 + Below(8));
    Absorb();
    if (answer.code == Errc::kOk) {
      EXPECT_EQ(answer.hit_blocks, linear);
    }
    const uint32_t model = ModelHit(rank.name_space, hashes);
    EXPECT_LE(answer.hit_blocks, model);
    if (exact_) {
      EXPECT_EQ(linear, model);
    }
    hits_ += answer.hit_blocks;
    const bool pure =
        std::equal(hashes.raw().begin(), hashes.raw().end(), chains_[index].list().raw().begin());
    if (answer.lease != 0 && pure) {
      leases_.push_back({answer.lease, rank.name_space, index, answer.hit_blocks});
    }
  }

  void LoadSome() {
    if (leases_.empty()) return;
    const size_t recent = std::min<size_t>(leases_.size(), 4);
    const LeaseNote note = leases_[leases_.size() - 1 - Below(recent)];
    const size_t start = Below(ranks_.size());
    size_t at = start;
    while (ranks_[at].name_space != note.name_space) at = (at + 1) % ranks_.size();
    const Rank& rank = ranks_[at];
    const Chain& chain = chains_[note.chain];
    const uint32_t first = Below(note.blocks);
    const uint32_t count = 1 + Below(note.blocks - first);
    std::vector<std::vector<uint32_t>> targets(rank.name_space == 2 ? 3 : 1);
    for (uint32_t i = first; i < first + count; ++i) {
      targets[0].push_back(Note(ContentOf(note.name_space, chain[i], 0, rank.rank)));
    }
    if (rank.name_space == 2 && first + count == note.blocks) {
      targets[2].assign(count, wire::kNoBlock);
      targets[2].back() = Note(ContentOf(2, chain[note.blocks - 1], 2, 0));
    }
    world_.load_timeout = Below(4) == 0 ? milliseconds(2) : Duration{};
    world_.SubmitLoad(rank.session, rank.registration, note.id, first, targets);
  }

  void ClearOne() {
    const Rank& rank = ranks_[Below(ranks_.size())];
    generations_[rank.name_space] = world_.ClearAll(rank.session, rank.registration);
  }

  // A purge cannot reach what is behind a block that nobody has saved yet, which an exact model
  // would have to follow: exact histories have purges or orphans.
  void PurgeOne() {
    if (exact_ && orphans_) return;
    if (exact_) Drain();
    const Rank& rank = ranks_[Below(ranks_.size())];
    const Chain& chain = chains_[Below(chains_.size())];
    const uint32_t at = Below(chain.size());
    world_.PurgeOne(rank.session, rank.registration, chain[at]);
    if (exact_) {
      world_.RunTicks();
      Forget(rank.name_space, Key(chain[at]));
    }
  }
  void Forget(uint32_t ns, const std::string& hash) {
    Roots();
    std::erase_if(stored_, [&](const Content& content) {
      if (content.name_space != ns) return false;
      std::string at = content.hash;
      while (at != hash && parents_.contains(at)) at = parents_[at];
      return at == hash;
    });
  }

  void CloseOne() {
    if (sessions_ < 2) return;
    const SessionId session = ranks_[Below(ranks_.size())].session;
    world_.Close(session);
    std::erase_if(ranks_, [&](const Rank& rank) { return rank.session == session; });
    --sessions_;
  }

  void StepOnce() {
    struct Choice {
      uint32_t weight;
      void (History::*what)();
    };
    static constexpr Choice kChoices[] = {
        {150, &History::SaveSome},  {300, &History::FinishSome}, {15, &History::FailOne},
        {200, &History::QuerySome}, {100, &History::LoadSome},   {35, &History::ReleaseOne},
        {30, &History::CancelOne},  {2, &History::ClearOne},     {4, &History::PurgeOne},
        {6, &History::CloseOne},    {10, &History::OpenAnother}, {148, &History::PassTime}};
    uint32_t dice = Below(1000);
    for (const Choice& choice : kChoices) {
      if (dice < choice.weight) return (this->*choice.what)();
      dice -= choice.weight;
    }
    FAIL() << "the weights do not add up to 1000";
  }
  void FinishSome() {
    for (uint32_t i = Below(4); i < 4; ++i) FinishOne(Errc::kOk);
  }
  void FailOne() { FinishOne(Errc::kIo); }
  void ReleaseOne() {
    if (leases_.empty()) return;
    const wire::Release release{.leases = {leases_[Below(leases_.size())].id}};
    world_.Apply(Release{ranks_[0].session, &release});
  }
  void CancelOne() {
    const Rank& rank = ranks_[Below(ranks_.size())];
    world_.Apply(Cancel{rank.session, world_.last_request() - Below(20)});
  }
  void OpenAnother() {
    if (sessions_ < 6) OpenOne();
  }
  void PassTime() {
    world_.Advance(microseconds(Below(exact_ ? 20 : 3000)));
    world_.Apply(Tick{});
  }

  struct Use {
    int readers = 0, writers = 0;
  };
  World world_;
  std::mt19937_64 random_;
  bool exact_;
  bool orphans_;  // chains are also saved from their middle
  std::vector<Chain> chains_;
  std::vector<Rank> ranks_;
  std::vector<LeaseNote> leases_;
  uint32_t sessions_ = 0;
  uint64_t generations_[3] = {1, 1, 1};
  std::vector<Content> contents_;
  std::set<Content> stored_;
  std::set<std::string> roots_;
  std::map<std::string, std::string> parents_;
  std::map<std::pair<uint32_t, uint64_t>, Content> slots_;
  std::map<std::pair<uint32_t, uint64_t>, Use> busy_;
  std::set<Ticket> seen_;
  uint64_t hits_ = 0, loaded_ = 0;
};

TEST(Model, AnswersExactlyWhatWasSavedWhileNothingIsEvicted) {
  for (uint64_t seed = 1; seed <= 4; ++seed) {
    WorldOptions options{.pages = 400};
    options.limits.instance_max_leased = 100;
    History history(seed, options, true);
    history.Run(5000);
    EXPECT_EQ(history.world().stats().evicted_blocks, 0u);
    EXPECT_EQ(history.world().stats().hidden_expired_blocks, 0u);
    EXPECT_GT(history.hits(), 1000u);
    EXPECT_GT(history.loaded(), 300u);
  }
}

TEST(Model, NeverAnswersMoreThanIsThereUnderPressure) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    WorldOptions options{.pages = 24};
    options.limits.instance_max_leased = 1;
    options.limits.max_lease = milliseconds(50);
    options.limits.max_transfer = milliseconds(40);
    options.limits.max_hidden = milliseconds(30);
    options.limits.hidden_grace = milliseconds(5);
    options.limits.max_hidden_blocks = 40;
    options.limits.max_copies_in_flight = 64;
    History history(seed, options, false);
    history.Run(5000);
    EXPECT_GT(history.world().stats().evicted_blocks, 100u);
    EXPECT_GT(history.loaded(), 100u);
  }
}

}  // namespace
}  // namespace headrace::engine
