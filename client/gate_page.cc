#include "client/gate_page.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>

#include "wire/copy.h"

namespace headrace::client {

using wire::Gate;

Result<std::shared_ptr<GatePage>> GatePage::Create(uint32_t words) {
  HR_CHECK(words > 0);
  Fd fd(::memfd_create("headrace-gates", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return Fail(Errc::kIo, "memfd_create of the gate page", errno);
  const size_t bytes = size_t{words} * sizeof(uint32_t);
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Fail(Errc::kIo, "size and seals of the gate page", errno);
  }
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (memory == MAP_FAILED) return Fail(Errc::kIo, "mmap of the gate page", errno);
  return std::make_shared<GatePage>(std::move(fd), static_cast<uint32_t*>(memory), words);
}

GatePage::~GatePage() {
  ::munmap(words_, size_t{count_} * sizeof(uint32_t));
}

std::atomic_ref<uint32_t> GatePage::Word(uint32_t index) const {
  HR_CHECK(index < count_);
  return std::atomic_ref<uint32_t>(words_[index]);
}

void GatePage::Reset(uint32_t index) {
  Word(index).store(0);
}

void GatePage::Revoke(uint32_t index) {
  Word(index).fetch_or(Gate::kRevoked);
}

bool GatePage::Writing(uint32_t index) const {
  return (Word(index).load() & Gate::kWriters) != 0;
}

bool GatePage::Committed(uint32_t index) const {
  return (Word(index).load() & Gate::kCommitted) != 0;
}

}  // namespace headrace::client
