#include "engine/slab.h"

namespace headrace::engine {

namespace {
constexpr uint64_t kSlotAlign = 4096;
}

Result<Slab> Slab::Create(PoolMeta* meta, Stats* stats) {
  Slab slab;
  slab.meta_ = meta;
  slab.stats_ = stats;
  slab.page_bytes_ = meta->header().page_bytes;
  slab.min_slot_bytes_ = meta->header().min_slot_bytes;
  slab.slots_per_page_ = meta->header().slots_per_page;
  slab.pages_.resize(meta->pages().size());
  HR_TRY(slab.records_, ZeroedArray<SlotRecord>::Create(meta->slots().size()));
  return slab;
}

Result<SizeClass> Slab::OpenClass(uint64_t payload_bytes) {
  if (payload_bytes == 0) return Fail(Errc::kInvalid, "a block of zero bytes");
  if (payload_bytes > page_bytes_) {
    return Fail(Errc::kInvalid, "a block is larger than a page of the pool: raise --page-size");
  }
  const uint64_t rounded = (payload_bytes + kSlotAlign - 1) / kSlotAlign * kSlotAlign;
  const uint64_t slot_bytes = std::max(rounded, min_slot_bytes_);
  if (slot_bytes > page_bytes_) {
    return Fail(Errc::kInvalid, "a block is larger than a page of the pool: raise --page-size");
  }
  SizeClass unused = kNone;
  for (SizeClass c = 0; c < num_classes_; ++c) {
    if (classes_[c].slot_bytes == slot_bytes) {
      ++classes_[c].users;
      return c;
    }
    if (classes_[c].users == 0 && classes_[c].pages == 0) unused = c;
  }
  if (unused == kNone) {
    if (num_classes_ == kMaxClasses) {
      return Fail(Errc::kLimit, "more than 32 block sizes in one pool");
    }
    unused = num_classes_++;
  }
  classes_[unused] = {.slot_bytes = slot_bytes,
                      .slots = static_cast<uint32_t>(page_bytes_ / slot_bytes),
                      .users = 1};
  HR_CHECK(classes_[unused].slots >= 1 && classes_[unused].slots <= slots_per_page_);
  return unused;
}

void Slab::CloseClass(SizeClass size_class) {
  HR_CHECK(size_class < num_classes_ && classes_[size_class].users > 0);
  --classes_[size_class].users;
}

void Slab::AddPage(PageIndex index) {
  if (index >= pages_.size() || pages_[index].ready) return;
  pages_[index].ready = true;
  meta_->pages()[index].ready = 1;
  List(&empty_, index);
  ++empty_pages_;
  stats_->ready_bytes += page_bytes_;
}

bool Slab::TakePage(SizeClass size_class, uint32_t numa_node) {
  PageIndex chosen = empty_;
  if (chosen == kNone) return false;
  if (numa_node != kNone) {
    constexpr int kLooked = 64;  // a preference, not worth a walk over a terabyte of pages
    PageIndex at = empty_;
    for (int i = 0; i < kLooked && at != kNone; ++i, at = pages_[at].next) {
      if (meta_->pages()[at].numa_node != numa_node) continue;
      chosen = at;
      break;
    }
  }
  Page& page = pages_[chosen];
  HR_CHECK(page.ready && page.used == 0 && page.size_class == kNone);
  Unlist(&empty_, chosen);
  --empty_pages_;
  page.size_class = size_class;
  page.touched = 0;
  page.free_head = kNone;
  meta_->pages()[chosen].slot_bytes = classes_[size_class].slot_bytes;
  ++classes_[size_class].pages;
  List(&classes_[size_class].with_room, chosen);
  return true;
}

SlotIndex Slab::Take(SizeClass size_class, uint32_t numa_node) {
  HR_DCHECK(size_class < num_classes_);
  Class& cls = classes_[size_class];
  if (cls.with_room == kNone && !TakePage(size_class, numa_node)) return kNone;
  const PageIndex index = cls.with_room;
  Page& page = pages_[index];
  SlotIndex slot = page.free_head;
  if (slot != kNone) {
    page.free_head = records_[slot].next;
  } else {
    slot = first_slot(index) + page.touched++;
  }
  SlotRecord& record = records_[slot];
  HR_CHECK(record.use == SlotUse::kFree);
  record = {kNone, kNone, kNone, 0, 0, SlotUse::kFilling};
  ++page.used;
  if (!HasFree(page)) Unlist(&cls.with_room, index);
  stats_->used_bytes += cls.slot_bytes;
  return slot;
}

void Slab::Give(SlotIndex slot) {
  SlotRecord& record = records_[slot];
  HR_CHECK(record.use != SlotUse::kFree);
  const PageIndex index = page_of(slot);
  Page& page = pages_[index];
  Class& cls = classes_[page.size_class];
  record = {page.free_head, kNone, kNone, 0, 0, SlotUse::kFree};
  page.free_head = slot;
  HR_CHECK(page.used > 0);
  --page.used;
  stats_->used_bytes -= cls.slot_bytes;
  if (page.used == 0) {
    if (page.listed) Unlist(&cls.with_room, index);
    --cls.pages;
    meta_->pages()[index].slot_bytes = 0;
    page.size_class = kNone;
    page.draining = false;
    List(&empty_, index);
    ++empty_pages_;
  } else if (!page.listed && !page.draining) {
    List(&cls.with_room, index);
  }
}

bool Slab::HasRoom(SizeClass size_class) const {
  return classes_[size_class].with_room != kNone || empty_ != kNone;
}

void Slab::StartDrain(PageIndex index) {
  Page& page = pages_[index];
  HR_CHECK(page.size_class != kNone && !page.draining);
  page.draining = true;
  if (page.listed) Unlist(&classes_[page.size_class].with_room, index);
}

void Slab::StopDrain(PageIndex index) {
  Page& page = pages_[index];
  if (!page.draining) return;
  page.draining = false;
  if (HasFree(page)) List(&classes_[page.size_class].with_room, index);
}

wire::BlockCopy Slab::Place(SlotIndex slot, uint32_t engine_block) const {
  const PageIndex index = page_of(slot);
  const wire::PageRecord& page = meta_->pages()[index];
  const uint64_t bytes = classes_[pages_[index].size_class].slot_bytes;
  return {.slot_offset = page.offset + uint64_t{slot - first_slot(index)} * bytes,
          .region = page.region,
          .block = engine_block};
}

Slab::PageView Slab::page(PageIndex index) const {
  const Page& page = pages_[index];
  return {page.size_class, page.used, page.touched, page.ready, page.draining};
}

void Slab::List(PageIndex* head, PageIndex index) {
  Page& page = pages_[index];
  HR_CHECK(!page.listed);
  page.listed = true;
  page.prev = kNone;
  page.next = *head;
  if (*head != kNone) pages_[*head].prev = index;
  *head = index;
}

void Slab::Unlist(PageIndex* head, PageIndex index) {
  Page& page = pages_[index];
  HR_CHECK(page.listed);
  (page.prev == kNone ? *head : pages_[page.prev].next) = page.next;
  if (page.next != kNone) pages_[page.next].prev = page.prev;
  page.listed = false;
  page.prev = page.next = kNone;
}

// One page of a class; returns the bytes in use.
uint64_t Slab::CheckUsedPage(PageIndex index) const {
  const Page& page = pages_[index];
  const Class& cls = classes_[page.size_class];
  HR_CHECK(meta_->pages()[index].slot_bytes == cls.slot_bytes && page.used > 0);
  HR_CHECK(page.listed == (HasFree(page) && !page.draining) && page.touched <= cls.slots);
  uint32_t used = 0, free = 0;
  for (uint32_t i = 0; i < page.touched; ++i) {
    const bool taken = records_[first_slot(index) + i].use != SlotUse::kFree;
    (taken ? used : free) += 1;
  }
  for (SlotIndex s = page.free_head; s != kNone; s = records_[s].next) --free;
  HR_CHECK(used == page.used && free == 0);
  return used * cls.slot_bytes;
}

void Slab::CheckPages() const {
  uint64_t used_bytes = 0, ready_bytes = 0;
  uint32_t empty = 0;
  for (PageIndex p = 0; p < pages_.size(); ++p) {
    const Page& page = pages_[p];
    ready_bytes += page.ready ? page_bytes_ : 0;
    HR_CHECK(meta_->pages()[p].ready == (page.ready ? 1u : 0u));
    if (page.size_class != kNone) {
      used_bytes += CheckUsedPage(p);
      continue;
    }
    HR_CHECK(page.used == 0 && page.listed == page.ready && meta_->pages()[p].slot_bytes == 0);
    empty += page.ready ? 1 : 0;
  }
  HR_CHECK(used_bytes == stats_->used_bytes && ready_bytes == stats_->ready_bytes);
  HR_CHECK(empty == empty_pages_);
}

}  // namespace headrace::engine
