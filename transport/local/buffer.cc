#include "transport/local/buffer.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"
#include "transport/local/copy.h"
#include "transport/local/fault_guard.h"
#include "transport/shared_buffer.h"
#include "wire/segments.h"

#ifndef MADV_POPULATE_READ  // Linux 5.14; older headers lack the name
#define MADV_POPULATE_READ 22
#endif

namespace headrace::transport {
namespace {

constexpr uint64_t kMaxAddress = uint64_t{1} << 47;

Result<Fd> Duplicate(int fd) {
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return Fail(Errc::kInvalid, "descriptor cannot be duplicated", errno);
  return copy;
}

Status ImportGates(int fd, BufferImport* import) {
  struct stat info{};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || info.st_size <= 0) {
    return Fail(Errc::kInvalid, "the gate page is not a file of memory");
  }
  import->gate_bytes = std::min(static_cast<uint64_t>(info.st_size), kMaxGateBytes);
  HR_TRY(import->gates, Duplicate(fd));
  return {};
}

GuardedRange RangeOf(const TouchedMapping& mapping) {
  return {mapping.data(), mapping.size()};
}

// Whether the chunk may be copied; from then on a load is counted as a writer.
bool MayCopy(bool load, uint32_t* gate, volatile bool* entered) {
  if (gate == nullptr) return true;
  if (!load) return !GateRevoked(gate);
  *entered = EnterGate(gate);
  return *entered;
}

void CopyRuns(bool load, uint8_t* base, std::span<const Run> runs, const Run* next) {
  const auto copy = BestCopyKernel().copy;
  const auto slot = [](const Run& run) { return run.region->data() + run.region_offset; };
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run* after = i + 1 < runs.size() ? &runs[i + 1] : next;
    uint8_t* const lent = base + runs[i].buffer_offset;
    const uint8_t* ahead = nullptr;
    if (after != nullptr) ahead = load ? slot(*after) : base + after->buffer_offset;
    if (load) {
      copy(lent, slot(runs[i]), runs[i].bytes, ahead);
    } else {
      copy(slot(runs[i]), lent, runs[i].bytes, ahead);
    }
  }
}

}  // namespace

Result<BufferImport> MakeImport(wire::BufferId id, const BufferSource& source,
                                const wire::Layout& layout) {
  BufferImport import;
  import.id = id;
  import.offset = source.offset;
  import.bytes = source.bytes;
  import.layout = layout;
  if (source.bytes == 0 || source.bytes > kMaxAddress || source.offset > kMaxAddress) {
    return Fail(Errc::kInvalid, "size or address of the buffer is out of range");
  }
  HR_RETURN_IF_ERROR(wire::ValidateLayout(layout, source.bytes));
  if (source.fd >= 0) {
    HR_TRY(import.file, Duplicate(source.fd));
    HR_DEBUG("buffer {}: {} bytes, {}", id, source.bytes,
             CannotShrink(source.fd) ? "sealed against shrinking" : "may shrink under the copy");
  } else {
    if (source.pid <= 0) return Fail(Errc::kInvalid, "buffer has neither descriptor nor process");
    import.pid = source.pid;
    HR_TRY(import.process, OpenPidFd(source.pid));
  }
  if (source.gate_fd >= 0) HR_RETURN_IF_ERROR(ImportGates(source.gate_fd, &import));
  if (source.session_fd >= 0) {
    HR_TRY(import.session, Duplicate(source.session_fd));
  }
  return import;
}

Result<std::unique_ptr<TouchedMapping>> TouchedMapping::Map(int fd, uint64_t offset,
                                                            uint64_t bytes) {
  HR_TRY(auto mapping, Mapping::Map(fd, offset, bytes));
  auto touched = std::unique_ptr<TouchedMapping>(new TouchedMapping(mapping.data(), bytes));
  touched->own_ = std::move(mapping);
  return touched;
}

std::unique_ptr<TouchedMapping> TouchedMapping::Borrow(const Mapping& mapping) {
  auto touched =
      std::unique_ptr<TouchedMapping>(new TouchedMapping(mapping.data(), mapping.size()));
  for (auto& piece : touched->touched_) piece.store(true, std::memory_order_relaxed);
  return touched;
}

void TouchedMapping::Touch(uint64_t piece) {
  static const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  touched_[piece].store(true, std::memory_order_relaxed);
  const uint64_t from = piece * kPiece;
  const uint64_t to = std::min(from + kPiece, size());
  const auto start = reinterpret_cast<uintptr_t>(data() + from) / page * page;
  const auto end = reinterpret_cast<uintptr_t>(data() + to);
  // Only a hint: what is wrong with the memory is found by the copy itself.
  (void)::madvise(reinterpret_cast<void*>(start), end - start, MADV_POPULATE_READ);
}

Result<std::unique_ptr<Buffer>> Buffer::Open(BufferImport import) {
  HR_RETURN_IF_ERROR(wire::ValidateLayout(import.layout, import.bytes));
  auto buffer = std::make_unique<Buffer>();
  if (import.file.valid()) {
    HR_TRY(buffer->memory_, TouchedMapping::Map(import.file.get(), import.offset, import.bytes));
  } else {
    HR_CHECK(import.process.valid() && import.pid > 0);
    buffer->process_ = std::move(import.process);
    buffer->pid_ = import.pid;
    buffer->address_ = import.offset;
  }
  if (import.gates.valid()) {
    HR_TRY(buffer->gates_, Mapping::Map(import.gates.get(), 0, import.gate_bytes));
  }
  buffer->session_ = std::move(import.session);
  buffer->slot_bytes_ = import.layout.slot_bytes();
  buffer->layout_ = std::move(import.layout);
  wire::ForEachRun(buffer->layout_, 0, [&](uint64_t offset, uint64_t slot, uint64_t bytes) {
    buffer->block_runs_.push_back({offset, slot, bytes});
  });
  return buffer;
}

bool Buffer::HasGate(uint32_t index) const {
  return index == wire::kNoGate || index < gates_.size() / sizeof(uint32_t);
}

uint32_t* Buffer::gate(uint32_t index) const {
  HR_CHECK(HasGate(index));
  if (index == wire::kNoGate) return nullptr;
  return reinterpret_cast<uint32_t*>(gates_.data()) + index;
}

Errc Buffer::CopyChunk(wire::Direction direction, uint32_t* gate, std::span<const Run> runs,
                       const Run* next) const {
  for (const Run& run : runs) {
    run.region->Prepare(run.region_offset, run.bytes);
    if (memory_ != nullptr) memory_->Prepare(run.buffer_offset, run.bytes);
  }
  return by_process() ? CopyByProcess(direction, gate, runs)
                      : CopyMapped(direction, gate, runs, next);
}

Errc Buffer::CopyMapped(wire::Direction direction, uint32_t* gate, std::span<const Run> runs,
                        const Run* next) const {
  HR_CHECK(!runs.empty());
  const bool load = direction == wire::Direction::kLoad;
  const std::array<GuardedRange, 3> ranges{
      RangeOf(*memory_), RangeOf(*runs.front().region), {gates_.data(), gates_.size()}};
  volatile bool entered = false;  // volatile: read after a jump
  volatile bool revoked = false;
  const bool whole = RunGuarded(ranges, [&] {
    revoked = !MayCopy(load, gate, &entered);
    if (!revoked) CopyRuns(load, memory_->data(), runs, next);
  });
  CopyFence();  // before the gate is left, and also for what a fault left on its way
  bool left = true;
  if (entered) left = RunGuarded(ranges, [&] { LeaveGate(gate); });
  if (!whole || !left) return Errc::kIo;
  return revoked ? Errc::kCancelled : Errc::kOk;
}

Errc Buffer::CopyByProcess(wire::Direction direction, uint32_t* gate,
                           std::span<const Run> runs) const {
  const bool load = direction == wire::Direction::kLoad;
  const std::array<GuardedRange, 1> ranges{GuardedRange{gates_.data(), gates_.size()}};
  volatile bool entered = false;
  volatile bool revoked = false;
  if (!RunGuarded(ranges, [&] { revoked = !MayCopy(load, gate, &entered); })) return Errc::kIo;
  if (revoked) return Errc::kCancelled;
  thread_local std::vector<CmaRun> pieces;
  pieces.clear();
  for (const Run& run : runs) {
    pieces.push_back(
        {run.region->data() + run.region_offset, address_ + run.buffer_offset, run.bytes});
  }
  const auto way = load ? CmaDirection::kWrite : CmaDirection::kRead;
  const Status copied = CmaCopy(pid_, process_.get(), way, pieces);
  bool left = true;
  if (entered) left = RunGuarded(ranges, [&] { LeaveGate(gate); });
  return copied && left ? Errc::kOk : Errc::kIo;
}

Errc Buffer::CommitSave(uint32_t* gate) const {
  if (gate == nullptr) return Errc::kOk;
  const std::array<GuardedRange, 1> ranges{GuardedRange{gates_.data(), gates_.size()}};
  bool committed = false;
  const bool touched = RunGuarded(ranges, [&] { committed = CommitGate(gate); });
  if (!touched) return Errc::kIo;
  return committed ? Errc::kOk : Errc::kCancelled;
}

}  // namespace headrace::transport
