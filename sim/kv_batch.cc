#include "sim/kv_batch.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "wire/msgpack.h"

namespace headrace::sim {
namespace {

constexpr std::string_view kMedium = "GPU";
constexpr size_t kMaxSpares = 8;

void PackAtom(const wire::KeyAtom& atom, wire::MsgpackWriter* to) {
  if (const auto* text = std::get_if<std::string>(&atom)) {
    to->Str(*text);
  } else if (const auto* number = std::get_if<int64_t>(&atom)) {
    to->Int(*number);
  } else {
    to->Bin(std::get<std::vector<uint8_t>>(atom));
  }
}

// One entry a block: nil, or an array of its keys, of which tuples are arrays again.
void PackExtras(std::span<const wire::ExtraKeys> blocks, std::string* out) {
  const bool any = std::any_of(blocks.begin(), blocks.end(),
                               [](const wire::ExtraKeys& keys) { return !keys.empty(); });
  if (!any) return;
  wire::MsgpackWriter to(out);
  to.Array(static_cast<uint32_t>(blocks.size()));
  for (const wire::ExtraKeys& keys : blocks) {
    if (keys.empty()) {
      to.Nil();
      continue;
    }
    size_t count = 0;
    for (const wire::ExtraKey& key : keys) count += key.bare ? key.atoms.size() : 1;
    to.Array(static_cast<uint32_t>(count));
    for (const wire::ExtraKey& key : keys) {
      if (!key.bare) to.Array(static_cast<uint32_t>(key.atoms.size()));
      for (const wire::KeyAtom& atom : key.atoms) PackAtom(atom, &to);
    }
  }
}

wire::EventType TypeOf(KvChange::Kind kind) {
  switch (kind) {
    case KvChange::Kind::kStored:
      return wire::EventType::kStored;
    case KvChange::Kind::kRemoved:
      return wire::EventType::kRemoved;
    case KvChange::Kind::kCleared:
      return wire::EventType::kCleared;
  }
  HR_CHECK(false);
}

// The part of a list from `*begin` to `end`, which is where the next part begins.
template <typename List>
auto Part(const List& list, size_t* begin, size_t end) {
  const std::span part(list.data() + *begin, end - *begin);
  *begin = end;
  return part;
}

std::span<const uint8_t> Bytes(std::span<const char> text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

void KvBatch::Add(const KvChange& change) {
  Item& item = items_.emplace_back();
  item.kind = change.kind;
  for (const wire::BlockHash& hash : change.hashes) {
    hashes_.push_back(wire::BlockHasher::Low64(hash));
    bytes_.insert(bytes_.end(), hash.view().begin(), hash.view().end());
    item.hash_bytes = hash.size;
  }
  item.has_parent = change.parent != nullptr;
  if (item.has_parent) item.parent = *change.parent;
  tokens_.insert(tokens_.end(), change.tokens.begin(), change.tokens.end());
  PackExtras(change.extras, &extras_);
  item.lora_slot = change.lora_slot;
  names_ += change.lora_name;
  item.hashes_end = hashes_.size();
  item.bytes_end = bytes_.size();
  item.tokens_end = tokens_.size();
  item.extras_end = extras_.size();
  item.names_end = names_.size();
}

void KvBatch::Clear() {
  items_.clear();
  hashes_.clear();
  bytes_.clear();
  tokens_.clear();
  extras_.clear();
  names_.clear();
}

std::string KvBatch::Encode(double timestamp, const Form& form) const {
  std::vector<wire::Event> events;
  events.reserve(items_.size());
  size_t hash = 0, byte = 0, token = 0, extra = 0, name = 0;
  for (const Item& item : items_) {
    wire::Event& event = events.emplace_back();
    event.type = TypeOf(item.kind);
    event.hashes = Part(hashes_, &hash, item.hashes_end);
    event.full_hashes = Part(bytes_, &byte, item.bytes_end);
    event.hash_bytes = item.hash_bytes;
    event.tokens = Part(tokens_, &token, item.tokens_end);
    event.extra_keys = Bytes(Part(extras_, &extra, item.extras_end));
    const auto lora_name = Part(names_, &name, item.names_end);
    event.lora_name = {lora_name.data(), lora_name.size()};
    if (item.kind != KvChange::Kind::kCleared) event.medium = kMedium;
    if (item.kind == KvChange::Kind::kStored) event.block_size = form.block_tokens;
    if (item.lora_slot != 0) event.lora_id = item.lora_slot;
    if (item.has_parent) {
      event.parent = wire::BlockHasher::Low64(item.parent);
      event.full_parent = item.parent.view();
    }
  }
  std::string payload;
  wire::EncodeEventBatch({.timestamp = timestamp, .rank = form.rank, .events = events}, form.wire,
                         &payload);
  return payload;
}

KvQueue::KvQueue(size_t batch_events, size_t max_batches)
    : batch_events_(batch_events), max_batches_(max_batches) {
  HR_CHECK(batch_events_ > 0 && max_batches_ > 0);
}

bool KvQueue::Push(const KvChange& change) {
  std::unique_lock lock(mutex_);
  const bool begins = begun_.empty();
  begun_.Add(change);
  if (begun_.events() < batch_events_) return begins;
  if (full_.size() >= max_batches_ && !closed_) {
    ++waits_;
    room_.wait(lock, [this] { return full_.size() < max_batches_ || closed_; });
  }
  if (full_.size() >= max_batches_) {
    thrown_ += begun_.events();
    begun_.Clear();
    return false;
  }
  // The consumer may have taken what had begun while this waited.
  if (begun_.empty()) return false;
  full_.push_back(std::move(begun_));
  begun_ = KvBatch();
  if (!spare_.empty()) {
    begun_ = std::move(spare_.back());
    spare_.pop_back();
  }
  return true;
}

bool KvQueue::Pop(KvBatch* out) {
  {
    const std::lock_guard lock(mutex_);
    if (full_.empty()) return false;
    out->Clear();
    if (spare_.size() < kMaxSpares) spare_.push_back(std::move(*out));
    *out = std::move(full_.front());
    full_.pop_front();
  }
  room_.notify_one();
  return true;
}

bool KvQueue::PopBegun(KvBatch* out) {
  const std::lock_guard lock(mutex_);
  // What is full is older.
  if (!full_.empty() || begun_.empty()) return false;
  out->Clear();
  std::swap(*out, begun_);
  return true;
}

bool KvQueue::begun() const {
  const std::lock_guard lock(mutex_);
  return !begun_.empty();
}

void KvQueue::Close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  room_.notify_all();
}

uint64_t KvQueue::waits() const {
  const std::lock_guard lock(mutex_);
  return waits_;
}

uint64_t KvQueue::thrown() const {
  const std::lock_guard lock(mutex_);
  return thrown_;
}

}  // namespace headrace::sim
