#include "engine/prefix_query.h"

#include <algorithm>

namespace headrace::engine {

uint64_t HashSpan::Terms(const ChainSum& sum, uint32_t from, uint32_t to) const {
  const auto split = static_cast<uint32_t>(base.size());
  uint64_t total = 0;
  if (from < split) total += sum.Terms(base, 0, from, std::min(to, split));
  if (to > split) total += sum.Terms(tail, split, std::max(from, split) - split, to - split);
  return total;
}

// Requests.

PrefixQuery::Item PrefixQuery::MakeItem(Session* session, const wire::QueryItem& item) const {
  Item made{.handle = item.handle,
            .tail = item.hashes,
            .want_lease = item.want_lease,
            .want_handle = item.want_handle,
            .min_blocks = item.min_blocks};
  if (item.hashes.size() > wire::kMaxHashes ||
      (!item.hashes.empty() &&
       (item.hashes.hash_bytes() == 0 || item.hashes.hash_bytes() > BlockHash::kMaxBytes))) {
    made.code = Errc::kInvalid;
    return made;
  }
  if (item.handle == 0) return made;
  made.prefix = session->handles.Find(item.handle);
  made.prefix_blocks = item.handle_blocks;
  if (made.prefix == nullptr || made.prefix->count() < item.handle_blocks) {
    made.code = Errc::kGone;
  } else if (!item.hashes.empty() && item.hashes.hash_bytes() != made.prefix->hash_bytes) {
    made.code = Errc::kInvalid;
  } else if (uint64_t{item.handle_blocks} + item.hashes.size() > wire::kMaxHashes) {
    made.code = Errc::kInvalid;
  }
  return made;
}

void PrefixQuery::Start(Registration* registration, const Query& command) {
  Session* session = registration->session;
  const wire::Query& query = *command.query;
  Running running{.session = session,
                  .request = command.request,
                  .name_space = registration->name_space,
                  .deadline = query.deadline,
                  .consumers = query.consumers};
  running.items.reserve(query.items.size());
  running.reply.answers.reserve(query.items.size());
  for (const auto& item : query.items) running.items.push_back(MakeItem(session, item));
  if (Step(&running)) return;
  Wait(std::move(running));
}

// The message's bytes are not there any more after this Apply.
void PrefixQuery::Wait(Running running) {
  for (size_t i = running.next; i < running.items.size(); ++i) {
    Item& item = running.items[i];
    if (item.tail.empty()) continue;
    const auto raw = item.tail.raw();
    item.kept.assign(raw.begin(), raw.end());
    item.tail = HashList(item.kept.data(), item.tail.hash_bytes(), item.tail.size());
  }
  ++p_.context->stats.sliced_queries;
  PinWalk(running.walk);
  p_.namespaces->Hold(running.name_space);
  waiting_.push_back(std::move(running));
}

void PrefixQuery::PinWalk(const Walk& walk) {
  if (!walk.active) return;
  ++p_.context->stats.sliced_walks;
  if (walk.at != kNone) p_.cache->Pin(walk.at);
  if (walk.tip != kNone) p_.cache->Pin(walk.tip);
}

// False when what the walk stood on is gone: the item starts again.
bool PrefixQuery::UnpinWalk(Running* running) {
  Walk& walk = running->walk;
  if (!walk.active) return true;
  const Namespace& ns = (*p_.namespaces)[running->name_space];
  bool stands = walk.generation == ns.generation_low() && walk.purge_count == ns.purge_count;
  for (const BlockIndex block : {walk.at, walk.tip}) {
    if (block == kNone) continue;
    stands = stands && (*p_.cache)[block].visible();
    p_.cache->Unpin(block);
  }
  if (!stands) walk = {};
  return stands;
}

void PrefixQuery::RunBackground() {
  while (!waiting_.empty() && !p_.context->spent()) {
    Running& running = waiting_.front();
    (void)UnpinWalk(&running);
    if (!Step(&running)) {
      PinWalk(running.walk);
      return;
    }
    p_.namespaces->Leave(running.name_space);
    waiting_.pop_front();
  }
}

void PrefixQuery::DropSession(const Session* session) {
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if (it->session != session) {
      ++it;
      continue;
    }
    (void)UnpinWalk(&*it);
    p_.namespaces->Leave(it->name_space);
    it = waiting_.erase(it);
  }
}

bool PrefixQuery::Step(Running* running) {
  for (; running->next < running->items.size(); ++running->next) {
    if (running->next > 0 && p_.context->spent()) return false;
    Item& item = running->items[running->next];
    Hit hit;
    if (item.code == Errc::kOk) {
      HashSpan span{.tail = item.tail};
      if (item.prefix != nullptr) span.base = item.prefix->first(item.prefix_blocks);
      // Only once: a walk that goes on must not find its Apply spent each time.
      if (!running->walk.active) p_.context->Spend(2 + static_cast<int>(span.size() / 1024));
      if (!Search(running, span, &hit)) return false;
      ++p_.context->stats.queries;
      p_.context->stats.query_blocks += span.size();
    }
    AnswerItem(running, hit);
  }
  p_.context->effects->replies.push_back({.session = running->session->id,
                                          .request = running->request,
                                          .type = wire::MessageType::kQuery,
                                          .body = std::move(running->reply)});
  return true;
}

void PrefixQuery::AnswerItem(Running* running, Hit hit) {
  Item& item = running->items[running->next];
  wire::QueryAnswer answer{.hit_blocks = hit.blocks, .code = item.code};
  if (hit.blocks > 0) {
    p_.cache->Touch(hit.tip);
    if (item.want_lease && hit.blocks > item.min_blocks) {
      const bool late = running->deadline != 0 && running->deadline < p_.context->now_nanos();
      const Result<LeaseId> lease =
          late ? Result<LeaseId>(Fail(Errc::kTimeout, "the deadline is over"))
               : p_.leasing->Grant(running->session, hit.tip, running->consumers);
      if (lease) {
        answer.lease = *lease;
      } else {  // what may go before it is loaded is no hit
        answer.hit_blocks = 0;
        answer.code = lease.error().code;
      }
    }
  }
  p_.context->stats.query_hit_blocks += answer.hit_blocks;
  if (item.want_handle && item.code == Errc::kOk) {
    item.prefix.reset();  // the store may grow it in place now
    const HandleId fresh = last_handle_ + 1;
    answer.handle = running->session->handles.Keep(item.handle, item.prefix_blocks, item.tail,
                                                   fresh, p_.context);
    if (answer.handle == fresh) last_handle_ = fresh;
  } else if (item.code == Errc::kOk) {
    answer.handle = item.handle;
  }
  running->reply.answers.push_back(answer);
}

// The search.

// A subtree that is being purged is not there, however much of it still is.
uint32_t PrefixQuery::Cut(NamespaceId name_space, const HashSpan& span) const {
  uint32_t blocks = span.size();
  for (const Sweeper::Root& root : p_.sweeper->roots()) {
    if (root.key.name_space != name_space || root.depth >= blocks) continue;
    if (span[root.depth] == root.key.hash) blocks = root.depth;
  }
  return blocks;
}

PrefixQuery::Hit PrefixQuery::Bisect(NamespaceId name_space, const HashSpan& span,
                                     uint32_t blocks) const {
  const BlockTable& table = p_.cache->table();
  BlockKey key{name_space, (*p_.namespaces)[name_space].generation_low(), {}};
  Hit hit;
  uint64_t sum = 0;  // of the hit
  uint32_t most = blocks;
  for (uint32_t probe = blocks; hit.blocks < most;
       probe = hit.blocks + (most - hit.blocks + 1) / 2) {
    key.hash = span[probe - 1];
    const BlockIndex block = table.FindVisible(key, probe - 1);
    uint64_t probe_sum = 0;
    if (block != kNone) {
      probe_sum = sum + span.Terms(p_.cache->chain_sum(), hit.blocks, probe);
    }
    if (block != kNone && table[block].chain_sum == probe_sum) {
      hit = {probe, block};
      sum = probe_sum;
    } else {
      most = probe - 1;
    }
  }
  return hit;
}

bool PrefixQuery::Search(Running* running, const HashSpan& span, Hit* hit) {
  const Namespace& ns = (*p_.namespaces)[running->name_space];
  if (!running->walk.active) {
    const uint32_t blocks = Cut(running->name_space, span);
    Hit full{blocks, kNone};
    if (ns.closed()) full = Bisect(running->name_space, span, blocks);
    if (ns.other_groups == 0) {
      if (ns.closed()) *hit = full;
      return true;
    }
    running->walk = {.active = true,
                     .candidate = full.blocks,
                     .next = full.blocks,
                     .at = full.tip,
                     .tip = kNone,
                     .purge_count = ns.purge_count,
                     .generation = ns.generation_low()};
  }
  return RunWalk(running, span, hit);
}

// Groups other than full attention that a prefix of `candidate` blocks needs at `position`.
uint32_t PrefixQuery::Required(const Namespace& ns, uint32_t candidate, uint32_t position) const {
  uint32_t required = 0;
  for (uint32_t g = 0; g < ns.groups.size(); ++g) {
    const GroupInfo& group = ns.groups[g];
    const bool window = group.kind == wire::GroupKind::kWindow &&
                        uint64_t{position} + group.window_blocks >= candidate;
    const bool state = group.kind == wire::GroupKind::kState && position + 1 == candidate;
    if (window || state) required |= 1u << g;
  }
  return required;
}

// The first position that a prefix of `candidate` blocks needs anything at.
uint32_t PrefixQuery::Lowest(const Namespace& ns, uint32_t candidate) const {
  uint32_t reach = 1;
  for (const GroupInfo& group : ns.groups) {
    if (group.kind == wire::GroupKind::kWindow) reach = std::max(reach, group.window_blocks);
  }
  return candidate > reach ? candidate - reach : 0;
}

// Looks at one position; true when the candidate is satisfied.
bool PrefixQuery::WalkOne(Running* running, const HashSpan& span) {
  Walk& walk = running->walk;
  const Namespace& ns = (*p_.namespaces)[running->name_space];
  const uint32_t position = walk.next - 1;
  BlockIndex block = walk.at;
  if (!ns.closed()) {
    block = p_.cache->table().FindVisible({running->name_space, walk.generation, span[position]},
                                          position);
  }
  const uint32_t present = block == kNone ? 0 : p_.cache->GroupsPresent(block);
  if (walk.candidate == walk.next) walk.tip = block;
  walk.next = position;
  if (ns.closed()) walk.at = (*p_.cache)[block].parent;
  if ((Required(ns, walk.candidate, position) & ~present) != 0) {
    // Any longer prefix would need this position too.
    walk.candidate = position;
    walk.tip = kNone;
    return false;
  }
  return position == Lowest(ns, walk.candidate);
}

bool PrefixQuery::RunWalk(Running* running, const HashSpan& span, Hit* hit) {
  Walk& walk = running->walk;
  while (walk.candidate > 0) {
    if (p_.context->spent()) return false;
    p_.context->Spend(1);
    if (!WalkOne(running, span)) continue;
    *hit = {walk.candidate, walk.tip};
    HR_CHECK(hit->tip != kNone);
    break;
  }
  walk = {};
  return true;
}

void PrefixQuery::CountPins(std::vector<uint32_t>* pins) const {
  for (const Running& running : waiting_) {
    if (!running.walk.active) continue;
    if (running.walk.at != kNone) ++(*pins)[running.walk.at];
    if (running.walk.tip != kNone) ++(*pins)[running.walk.tip];
  }
}

// The block at position i of the list, kNone when it is not visible there or, in a closed
// namespace, does not follow the one before.
BlockIndex PrefixQuery::Follow(NamespaceId name_space, const BlockHash& hash, uint32_t position,
                               BlockIndex before) const {
  const Namespace& ns = (*p_.namespaces)[name_space];
  const BlockIndex index = p_.cache->Find({name_space, ns.generation_low(), hash});
  if (index == kNone) return kNone;
  const Block& block = (*p_.cache)[index];
  if (!block.visible() || block.depth != position) return kNone;
  return ns.closed() && block.parent != before ? kNone : index;
}

// The judge: no bisection, no chain sums, no index marks.
uint32_t PrefixQuery::LinearHit(NamespaceId name_space, const HashList& hashes) const {
  const Namespace& ns = (*p_.namespaces)[name_space];
  if (!ns.closed() && ns.other_groups == 0) return 0;
  const uint32_t blocks = Cut(name_space, {.tail = hashes});
  std::vector<BlockIndex> found;
  for (uint32_t i = 0; i < blocks; ++i) {
    found.push_back(Follow(name_space, hashes[i], i, i == 0 ? kNone : found.back()));
    if (ns.closed() && found.back() == kNone) {
      found.pop_back();
      break;
    }
  }
  auto hit = static_cast<uint32_t>(found.size());
  while (hit > 0 && !Satisfied(ns, found, hit)) --hit;
  return hit;
}

bool PrefixQuery::Satisfied(const Namespace& ns, const std::vector<BlockIndex>& found,
                            uint32_t candidate) const {
  for (uint32_t i = 0; i < candidate; ++i) {
    const uint32_t present = found[i] == kNone ? 0 : p_.cache->GroupsPresent(found[i]);
    if ((Required(ns, candidate, i) & ~present) != 0) return false;
  }
  return true;
}

}  // namespace headrace::engine
