// How much of a list of hashes is here. In a namespace with full attention residency is closed, so
// the answer is found by bisection: the last hash first, then halves; what is found is compared
// with the whole list by its chain sum, so that a list that is no chain is cut where it breaks.
// Groups with a rule of their own (windows, states) are then looked at from the end backwards.
// Part of an answer that does not fit in one Apply goes on in the next ones. The core's thread.
#pragma once

#include <list>

#include "engine/command.h"
#include "engine/leasing.h"
#include "engine/sweeper.h"

namespace headrace::engine {

// The hashes of one query: a stored prefix, then what came with the message.
struct HashSpan {
  HashList base;
  HashList tail;

  uint32_t size() const { return static_cast<uint32_t>(base.size() + tail.size()); }
  BlockHash operator[](uint32_t i) const {
    return i < base.size() ? base[i] : tail[i - base.size()];
  }
  uint64_t Terms(const ChainSum& sum, uint32_t from, uint32_t to) const;
};

class PrefixQuery {
 public:
  struct Parts {
    Context* context = nullptr;
    BlockCache* cache = nullptr;
    NamespaceTable* namespaces = nullptr;
    Leasing* leasing = nullptr;
    const Sweeper* sweeper = nullptr;
  };
  explicit PrefixQuery(const Parts& parts) : p_(parts) {}

  // Answers with a reply, now or by and by.
  void Start(Registration* registration, const Query& command);
  void DropSession(const Session* session);

  void RunBackground();
  bool HasBackground() const { return !waiting_.empty(); }

  // The same answer by a walk from the root.
  uint32_t LinearHit(NamespaceId name_space, const HashList& hashes) const;

  void CountPins(std::vector<uint32_t>* pins) const;

 private:
  struct Item {
    HandleId handle = 0;
    std::shared_ptr<const Prefix> prefix;
    uint32_t prefix_blocks = 0;
    HashList tail;
    std::vector<uint8_t> kept;  // the tail's bytes, once the query has to wait
    bool want_lease = false;
    bool want_handle = false;
    uint32_t min_blocks = 0;
    Errc code = Errc::kOk;
  };
  // The search for the longest prefix at which windows and states are satisfied.
  struct Walk {
    bool active = false;
    uint32_t candidate = 0;  // blocks
    uint32_t next = 0;       // position + 1 to look at, going down
    BlockIndex at = kNone;   // closed: the block at next - 1
    BlockIndex tip = kNone;  // the block at candidate - 1
    uint64_t purge_count = 0;
    uint32_t generation = 0;
  };
  struct Running {
    Session* session = nullptr;
    RequestId request = 0;
    NamespaceId name_space = 0;
    int64_t deadline = 0;
    uint32_t consumers = 1;
    std::vector<Item> items;
    wire::QueryReply reply;
    size_t next = 0;  // item
    Walk walk;
  };
  struct Hit {
    uint32_t blocks = 0;
    BlockIndex tip = kNone;
  };

  Item MakeItem(Session* session, const wire::QueryItem& item) const;
  bool Step(Running* running);  // true: all items are answered
  bool Search(Running* running, const HashSpan& span, Hit* hit);
  uint32_t Cut(NamespaceId name_space, const HashSpan& span) const;
  Hit Bisect(NamespaceId name_space, const HashSpan& span, uint32_t blocks) const;
  bool RunWalk(Running* running, const HashSpan& span, Hit* hit);
  bool WalkOne(Running* running, const HashSpan& span);
  uint32_t Required(const Namespace& ns, uint32_t candidate, uint32_t position) const;
  BlockIndex Follow(NamespaceId name_space, const BlockHash& hash, uint32_t position,
                    BlockIndex before) const;
  bool Satisfied(const Namespace& ns, const std::vector<BlockIndex>& found,
                 uint32_t candidate) const;
  uint32_t Lowest(const Namespace& ns, uint32_t candidate) const;
  void AnswerItem(Running* running, Hit hit);
  void Wait(Running running);
  void PinWalk(const Walk& walk);
  bool UnpinWalk(Running* running);

  Parts p_;
  std::list<Running> waiting_;
  HandleId last_handle_ = 0;
};

}  // namespace headrace::engine
