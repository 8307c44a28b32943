// Survives SIGBUS while touching memory whose file somebody else may shorten, or that the machine
// cannot back any more. The handler is the process's (signals have no other owner); what it looks
// at is the thread's own. Faults outside the guarded ranges go to whoever handled them before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace headrace::transport {

struct GuardedRange {
  const uint8_t* data = nullptr;
  uint64_t size = 0;
};

// Installs the handler; every call after the first does nothing. Any thread.
void InstallFaultGuard();

// Calls f(argument). False when it was left by a jump because it touched a page of `ranges` that
// cannot be had; then whatever it had not yet stored is unknown.
// REQUIRES: InstallFaultGuard was called; f and what it calls own nothing that needs a destructor.
bool CallGuarded(std::span<const GuardedRange> ranges, void (*f)(void*), void* argument);

template <typename F>
bool RunGuarded(std::span<const GuardedRange> ranges, F&& f) {
  using Function = std::remove_reference_t<F>;
  return CallGuarded(ranges, [](void* function) { (*static_cast<Function*>(function))(); }, &f);
}

}  // namespace headrace::transport
