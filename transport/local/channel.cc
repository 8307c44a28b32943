#include "transport/local/channel.h"

#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <new>
#include <span>

namespace headrace::transport {
namespace {

constexpr uint32_t kMinBlocks = 16;
constexpr uint32_t kMaxBlocks = 1u << 22;

constexpr uint64_t Align(uint64_t bytes) {
  return (bytes + kRingLine - 1) / kRingLine * kRingLine;
}

// Where the parts lie, from the capacity alone.
struct Places {
  uint64_t words, heads, blocks, done, end;
  explicit Places(uint64_t capacity) {
    words = Align(sizeof(ChannelHeader));
    heads = words + Align(capacity * sizeof(std::atomic<uint32_t>));
    blocks = heads + Align(Ring<JobHead>::Bytes(capacity));
    done = blocks + Align(Ring<wire::BlockCopy>::Bytes(capacity));
    end = done + Align(Ring<wire::CopyDone>::Bytes(capacity));
  }
};

template <typename T>
Status OpenRing(std::span<uint8_t> memory, bool make, std::optional<Ring<T>>* ring) {
  auto opened = make ? Ring<T>::Create(memory) : Ring<T>::Attach(memory);
  if (!opened) return Fail(opened.error());
  *ring = *opened;
  return {};
}

void AddToEvent(int fd, uint64_t count) {
  // Fails only when the counter is full, and then the sleeper is awake anyway.
  const ssize_t wrote = ::write(fd, &count, sizeof count);
  HR_CHECK(wrote == sizeof count || errno == EAGAIN || errno == EINTR);
}

}  // namespace

Result<Channel> Channel::Create(uint32_t blocks) {
  if (blocks > kMaxBlocks) return Fail(Errc::kInvalid, "command ring is larger than 4 Mi blocks");
  const uint32_t capacity = std::bit_ceil(std::max(blocks, kMinBlocks));
  HR_TRY(auto region, CreateRegion("rings", Places(capacity).end, HugePages::kOff));
  HR_RETURN_IF_ERROR(Populate(region, 0, region.mapping.size(), false));
  Channel channel;
  channel.memory_ = std::move(region.fd);
  channel.mapping_ = std::move(region.mapping);
  channel.wake_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE));
  channel.done_event_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!channel.wake_.valid() || !channel.done_event_.valid()) {
    return Fail(Errc::kIo, "eventfd", errno);
  }
  auto* header = new (channel.mapping_.data()) ChannelHeader{};
  header->version = kChannelVersion;
  header->capacity = capacity;
  HR_RETURN_IF_ERROR(channel.Open(capacity, Rings::kMake));
  return channel;
}

Result<Channel> Channel::Attach(Fd memory, Fd wake, Fd done) {
  struct stat info{};
  if (::fstat(memory.get(), &info) != 0) return Fail(Errc::kIo, "fstat of the rings", errno);
  const auto bytes = static_cast<uint64_t>(info.st_size);
  if (bytes < sizeof(ChannelHeader)) return Fail(Errc::kCorrupt, "the rings' memory is too small");
  Channel channel;
  HR_TRY(channel.mapping_, Mapping::Map(memory.get(), 0, bytes));
  channel.memory_ = std::move(memory);
  channel.wake_ = std::move(wake);
  channel.done_event_ = std::move(done);
  const auto* header = reinterpret_cast<const ChannelHeader*>(channel.mapping_.data());
  if (header->version != kChannelVersion) {
    return Fail(Errc::kUnsupported, "server and mover are of different versions");
  }
  const uint32_t capacity = header->capacity;
  if (capacity > kMaxBlocks || Places(capacity).end > bytes) {
    return Fail(Errc::kCorrupt, "the rings do not fit their memory");
  }
  HR_RETURN_IF_ERROR(channel.Open(capacity, Rings::kJoin));
  return channel;
}

Status Channel::Open(uint32_t capacity, Rings rings) {
  const Places places(capacity);
  HR_CHECK(mapping_.size() >= places.end);
  capacity_ = capacity;
  header_ = reinterpret_cast<ChannelHeader*>(mapping_.data());
  cancel_words_ = reinterpret_cast<std::atomic<uint32_t>*>(mapping_.data() + places.words);
  const auto part = [this](uint64_t from, uint64_t to) {
    return std::span(mapping_.data() + from, to - from);
  };
  const bool make = rings == Rings::kMake;
  HR_RETURN_IF_ERROR(OpenRing(part(places.heads, places.blocks), make, &heads_));
  HR_RETURN_IF_ERROR(OpenRing(part(places.blocks, places.done), make, &blocks_));
  HR_RETURN_IF_ERROR(OpenRing(part(places.done, places.end), make, &done_));
  const bool equal = heads_->capacity() == capacity && blocks_->capacity() == capacity &&
                     done_->capacity() == capacity;
  return equal ? Status{} : Fail(Errc::kCorrupt, "the rings differ in capacity");
}

void Channel::Reset() {
  header_->sleepers = 0;
  header_->stop = 0;
  for (uint32_t i = 0; i < capacity_; ++i) cancel_words_[i] = 0;
  HR_CHECK(Open(capacity_, Rings::kMake).has_value());
  ClearDone();
}

std::atomic<uint32_t>& Channel::cancel_word(uint32_t slot) const {
  HR_CHECK(slot < capacity_);
  return cancel_words_[slot];
}

void Channel::Wake(uint32_t threads) {
  // Changes nothing, but as a change it stands before or after that of AnnounceSleep: either the
  // sleeper is seen here, or it sees what was pushed before.
  const uint32_t sleeping = header_->sleepers.fetch_add(0, std::memory_order_acq_rel);
  if (sleeping != 0) AddToEvent(wake_.get(), std::min(threads, sleeping));
}

void Channel::AnnounceSleep() {
  header_->sleepers.fetch_add(1, std::memory_order_acq_rel);
}

void Channel::Sleep() {
  if (heads_->empty() && header_->stop.load() == 0) {
    uint64_t count = 0;
    const ssize_t got = ::read(wake_.get(), &count, sizeof count);
    HR_CHECK(got == sizeof count || errno == EINTR);
  }
  header_->sleepers.fetch_sub(1);
}

void Channel::SignalDone() {
  AddToEvent(done_event_.get(), 1);
}

void Channel::ClearDone() {
  uint64_t count = 0;
  const ssize_t got = ::read(done_event_.get(), &count, sizeof count);
  HR_CHECK(got == sizeof count || errno == EAGAIN || errno == EINTR);
}

}  // namespace headrace::transport
