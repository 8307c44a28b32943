#include "engine/save_worker.h"

namespace headrace::engine {

namespace {

constexpr uint32_t kMaxDepth = 1u << 30;

uint32_t PartsFrom(const wire::SaveChain& chain, uint32_t position) {
  uint32_t parts = 0;
  for (size_t i = position; i < chain.blocks.size(); ++i) {
    parts += chain.blocks[i] != wire::kNoBlock ? 1 : 0;
  }
  return parts;
}

Status ValidateHashes(const wire::SaveChain& chain, uint32_t block_tokens) {
  const size_t count = chain.hashes.size();
  if (count > wire::kMaxHashes) return Fail(Errc::kInvalid, "chains.hashes: more than 65536");
  const uint8_t hash_bytes = chain.hashes.hash_bytes();
  if (count > 0 && (hash_bytes == 0 || hash_bytes > BlockHash::kMaxBytes)) {
    return Fail(Errc::kInvalid, "chains.hashes: a hash has 1 to 32 bytes");
  }
  if (!chain.tokens.empty() && chain.tokens.size() != count * block_tokens) {
    return Fail(Errc::kInvalid, "chains.tokens must have block_tokens entries a hash");
  }
  if (chain.depth > kMaxDepth) return Fail(Errc::kInvalid, "chains.depth is out of range");
  if ((chain.depth == 0) != chain.parent.empty()) {
    return Fail(Errc::kInvalid, "chains.parent must be given exactly when depth is not 0");
  }
  return {};
}

Status ValidateBlocks(const wire::SaveChain& chain, const Registration& registration) {
  if (chain.group >= registration.groups.size()) {
    return Fail(Errc::kInvalid, "chains.group is not a group of the registration");
  }
  if (chain.blocks.size() != chain.hashes.size()) {
    return Fail(Errc::kInvalid, "chains.blocks must have one entry a hash");
  }
  const uint64_t num_blocks = registration.groups[chain.group].num_blocks;
  for (const uint32_t block : chain.blocks) {
    if (block >= num_blocks && block != wire::kNoBlock) {
      return Fail(Errc::kInvalid, "chains.blocks: a block id is beyond the buffer");
    }
  }
  return {};
}

}  // namespace

Status SaveWorker::Validate(const wire::Save& save, const Registration& registration) const {
  if (registration.groups.empty()) {
    return Fail(Errc::kInvalid, "registration has no buffers: only a rank can save");
  }
  const Namespace& ns = (*p_.namespaces)[registration.name_space];
  for (const auto& chain : save.chains) {
    HR_RETURN_IF_ERROR(ValidateHashes(chain, ns.block_tokens));
    HR_RETURN_IF_ERROR(ValidateBlocks(chain, registration));
  }
  return {};
}

void SaveWorker::Prepare(Transfer* transfer, const Save& command) {
  SaveWork& work = transfer->work.emplace<SaveWork>();
  if (command.owner != nullptr) {
    work.owner = command.owner;
    work.chains = &command.save->chains;
    return;
  }
  if (!spare_.empty()) {
    work.hashes = std::move(spare_.back());
    spare_.pop_back();
  }
  size_t bytes = 0;
  for (const auto& chain : command.save->chains) bytes += chain.hashes.raw().size();
  work.hashes.reserve(bytes);
  work.copied = command.save->chains;
  for (auto& chain : work.copied) {
    const auto raw = chain.hashes.raw();
    const uint8_t* at = work.hashes.data() + work.hashes.size();
    work.hashes.insert(work.hashes.end(), raw.begin(), raw.end());
    chain.hashes = HashList(at, chain.hashes.hash_bytes(), chain.hashes.size());
  }
  work.chains = &work.copied;
}

// Fresh memory for a long list costs the machine a microsecond a page.
void SaveWorker::Recycle(SaveWork* work) {
  constexpr size_t kSpares = 16, kMaxBytes = 1 << 20;
  work->hashes.clear();
  const size_t bytes = work->hashes.capacity();
  if (bytes == 0 || bytes > kMaxBytes || spare_.size() >= kSpares) return;
  spare_.push_back(std::move(work->hashes));
}

void SaveWorker::MoveCursor(Transfer* transfer, BlockIndex block) {
  if (transfer->cursor != kNone) p_.cache->Unpin(transfer->cursor);
  transfer->cursor = block;
}

// What was begun may have lost its ground since the last slice.
bool SaveWorker::StillStands(Transfer* transfer) {
  const Namespace& ns = (*p_.namespaces)[transfer->name_space];
  if (transfer->generation != ns.generation_low()) {
    p_.transfers->End(transfer, Errc::kGone, "the namespace was cleared during the save");
    return false;
  }
  if (transfer->cursor != kNone && (*p_.cache)[transfer->cursor].is(kZombie)) {
    p_.transfers->End(transfer, Errc::kGone, "the chain was purged during the save");
    return false;
  }
  return true;
}

bool SaveWorker::StartChain(Transfer* transfer, const wire::SaveChain& chain) {
  HR_CHECK(transfer->cursor == kNone);
  transfer->save().started = true;
  if (chain.depth == 0) return true;
  const BlockKey key{transfer->name_space, transfer->generation, chain.parent};
  BlockIndex parent = kNone;
  if ((*p_.namespaces)[transfer->name_space].closed()) {
    const auto entered = p_.cache->EnterParent(key, chain.depth - 1);
    if (!entered) return false;
    parent = *entered;
  } else {
    parent = p_.cache->Find(key);
    if (parent != kNone && (*p_.cache)[parent].depth >= chain.depth) return false;
  }
  if (parent == kNone) return true;
  p_.cache->Pin(parent);
  transfer->cursor = parent;
  return true;
}

void SaveWorker::EndChain(Transfer* transfer) {
  SaveWork& work = transfer->save();
  MoveCursor(transfer, kNone);
  ++work.chain;
  work.position = 0;
  work.started = false;
}

// A chain without this block is worth nothing further on.
void SaveWorker::Refuse(Transfer* transfer, const wire::SaveChain& chain) {
  SaveWork& work = transfer->save();
  work.counts.refused += PartsFrom(chain, work.position);
  work.position = static_cast<uint32_t>(chain.hashes.size());
}

void SaveWorker::Flush(Transfer* transfer, const wire::SaveChain& chain, Batch* batch) {
  if (batch->slots.empty()) return;
  p_.transfers->Emit(transfer, transfer->registration->groups[chain.group].buffer,
                     std::move(batch->slots), std::move(batch->copies));
  *batch = {};
}

void SaveWorker::Slice(Transfer* transfer) {
  if (!StillStands(transfer)) return;
  SaveWork& work = transfer->save();
  Batch batch;
  uint32_t done = 0;
  while (work.chain < work.chains->size()) {
    const wire::SaveChain& chain = (*work.chains)[work.chain];
    if (!work.started && !StartChain(transfer, chain)) Refuse(transfer, chain);
    if (work.position == chain.hashes.size()) {
      Flush(transfer, chain, &batch);
      EndChain(transfer);
      p_.context->Spend(1);
      continue;
    }
    Outcome outcome = Outcome::kLater;
    if (done < p_.context->limits.slice_blocks && !p_.context->spent() &&
        p_.transfers->room_in_flight() > batch.slots.size()) {
      outcome = PlaceOne(transfer, chain, &batch);
    }
    if (outcome == Outcome::kLater) {
      Flush(transfer, chain, &batch);
      return;
    }
    if (outcome == Outcome::kRefused) {
      Refuse(transfer, chain);
    } else {
      ++work.position;
      ++done;
    }
    p_.context->Spend(1);
  }
  transfer->walking = false;
}

// The hashes of the next few blocks are known: their cache misses overlap.
void SaveWorker::LookAhead(const Transfer& transfer, const wire::SaveChain& chain,
                           uint32_t position) const {
  constexpr uint32_t kCells = 8, kBlocks = 4;
  BlockKey key{transfer.name_space, transfer.generation, {}};
  if (position + kCells < chain.hashes.size()) {
    key.hash = chain.hashes[position + kCells];
    p_.cache->table().PrefetchCell(key);
  }
  if (position + kBlocks < chain.hashes.size()) {
    key.hash = chain.hashes[position + kBlocks];
    p_.cache->table().PrefetchBlock(key);
  }
}

SaveWorker::Outcome SaveWorker::PlaceOne(Transfer* transfer, const wire::SaveChain& chain,
                                         Batch* batch) {
  const uint32_t position = transfer->save().position;
  const BlockKey key{transfer->name_space, transfer->generation, chain.hashes[position]};
  const bool closed = (*p_.namespaces)[transfer->name_space].closed();
  LookAhead(*transfer, chain, position);
  if (!closed && chain.blocks[position] == wire::kNoBlock && p_.cache->Find(key) == kNone) {
    return Outcome::kDone;  // nothing to keep, and nobody needs it as a link
  }
  const auto entered = p_.cache->Enter(key, chain.depth + position, transfer->cursor);
  if (!entered) return Outcome::kRefused;
  p_.cache->Pin(*entered);
  const Outcome outcome = FillOne(transfer, chain, *entered, batch);
  if (outcome == Outcome::kDone) {
    MoveCursor(transfer, *entered);
  } else {
    p_.cache->Unpin(*entered);
  }
  return outcome;
}

SaveWorker::Outcome SaveWorker::FillOne(Transfer* transfer, const wire::SaveChain& chain,
                                        BlockIndex block, Batch* batch) {
  SaveWork& work = transfer->save();
  const uint32_t position = work.position;
  if (chain.blocks[position] == wire::kNoBlock) return Outcome::kDone;
  const Registration& registration = *transfer->registration;
  if (p_.cache->FindPart(block, chain.group, registration.rank) != kNone) {
    ++work.counts.deduped;
    if ((*p_.cache)[block].visible()) p_.cache->Touch(block);
    return Outcome::kDone;
  }
  const SizeClass size_class = registration.groups[chain.group].size_class;
  const Outcome admitted = Admit(transfer, size_class);
  if (admitted != Outcome::kDone) return admitted;
  const SlotIndex slot = p_.cache->TakeSlot(size_class);
  HR_CHECK(slot != kNone);
  const Session& session = *transfer->session;
  p_.cache->AddPart(block, slot,
                    {.group = chain.group,
                     .rank = registration.rank,
                     .owner = session.instance,
                     .uid = session.uid,
                     .parent = position == 0 ? chain.parent : chain.hashes[position - 1]});
  if (chain.lora_id != 0 || chain.salt_id != 0 || !chain.tokens.empty()) {
    const size_t tokens = chain.tokens.size() / chain.hashes.size();
    const auto from = chain.tokens.begin() + static_cast<ptrdiff_t>(position * tokens);
    p_.cache->SetOrigin(
        block, {chain.lora_id, chain.salt_id, {from, from + static_cast<ptrdiff_t>(tokens)}});
  }
  batch->slots.push_back(slot);
  batch->copies.push_back(p_.cache->Place(slot, chain.blocks[position]));
  return Outcome::kDone;
}

// Whether one slot more may be taken, and is there. The caps come first: who is over one pays with
// blocks of its own.
SaveWorker::Outcome SaveWorker::Admit(Transfer* transfer, SizeClass size_class) {
  const InstanceId instance = transfer->session->instance;
  const uint64_t bytes = p_.cache->slot_bytes(size_class);
  Stats& stats = p_.context->stats;
  for (auto over = p_.quotas->OverBytes(instance, bytes); over != Quotas::Over::kNo;
       over = p_.quotas->OverBytes(instance, bytes)) {
    if (p_.context->spent()) return Outcome::kLater;
    if (p_.evictor->EvictOwn(size_class, instance, over)) continue;
    ++(over == Quotas::Over::kInstance ? stats.limit_instance_bytes : stats.limit_tenant_bytes);
    ++stats.limit_hits;
    return Outcome::kRefused;
  }
  switch (p_.evictor->MakeRoom(size_class)) {
    case Evictor::Room::kReady:
      break;
    case Evictor::Room::kLater:
      return Outcome::kLater;
    case Evictor::Room::kNothing:
      return Outcome::kRefused;
  }
  if (p_.quotas->TakeSave(instance)) return Outcome::kDone;
  ++stats.limit_save_rate;
  ++stats.limit_hits;
  return Outcome::kRefused;
}

const char* SaveWorker::Settle(Transfer* transfer, const Job& job, const wire::CopyDone& done) {
  wire::SaveReply& counts = transfer->save().counts;
  Stats& stats = p_.context->stats;
  for (const SlotIndex slot : job.slots) {
    if (done.code != Errc::kOk) {
      p_.cache->FailPart(slot);
      ++counts.failed;
      continue;
    }
    const uint64_t payload = p_.cache->PayloadOf(slot);
    if (p_.cache->CommitPart(slot)) {
      ++counts.stored;
      stats.saved_bytes += payload;
    } else {
      ++counts.failed;
    }
  }
  return nullptr;  // a chain that lost its ground is noticed by the next slice
}

void SaveWorker::Stop(Transfer* transfer) {
  SaveWork& work = transfer->save();
  MoveCursor(transfer, kNone);
  for (; work.chain < work.chains->size(); ++work.chain, work.position = 0) {
    work.counts.failed += PartsFrom((*work.chains)[work.chain], work.position);
  }
}

void SaveWorker::Answer(Transfer* transfer, Reply* reply) {
  const wire::SaveReply& counts = transfer->save().counts;
  Stats& stats = p_.context->stats;
  ++stats.saves;
  stats.saved_blocks += counts.stored;
  stats.deduped_blocks += counts.deduped;
  stats.refused_blocks += counts.refused;
  stats.failed_save_blocks += counts.failed;
  reply->type = wire::MessageType::kSave;
  // Ended too late to harm anything: all blocks had come in already.
  if (counts.failed > 0) {
    const bool ended = transfer->code != Errc::kOk;
    reply->error = {ended ? transfer->code : Errc::kGone, 0,
                    ended ? transfer->text : "blocks were cleared or purged during the save"};
  }
  reply->body = counts;
  Recycle(&transfer->save());
}

}  // namespace headrace::engine
