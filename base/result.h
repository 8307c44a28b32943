// Errors as values: Result<T>, Fail, HR_TRY and the checks that abort.
// Any thread. Nothing here allocates: an Error carries a string literal, details are logged
// where the error is decided.
#pragma once

#include <cstdint>
#include <tl/expected.hpp>
#include <utility>

namespace headrace {

enum class Errc : uint8_t {
  kOk = 0,
  kInvalid,      // malformed or out-of-range input
  kNotFound,     // the named thing does not exist
  kGone,         // it existed; lease expired, block purged, epoch over
  kExists,       // name already taken with other properties
  kNoSpace,      // pool, table or queue is full
  kTimeout,      // deadline passed
  kCancelled,    // revoked by its owner; fenced
  kUnavailable,  // server absent, breaker open, not registered yet
  kPermission,   // credential may not do this
  kLimit,        // a named limit was reached
  kIo,           // the operating system said no; see Error::os
  kCorrupt,      // a checksum or self-description does not hold
  kUnsupported,  // not built in, or the machine lacks it
  kInternal,     // a bug
};

// Lower-case name as it appears in protocol errors, logs and metrics ("no_space").
const char* ErrcName(Errc code);

struct Error {
  Errc code = Errc::kInternal;
  int32_t os = 0;         // errno, or 0
  const char* what = "";  // string literal: never freed, never null
};

template <typename T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

inline tl::unexpected<Error> Fail(Errc code, const char* what, int32_t os = 0) {
  return tl::unexpected<Error>(Error{code, os, what});
}

inline tl::unexpected<Error> Fail(const Error& error) {
  return tl::unexpected<Error>(error);
}

// Prints the expression and place to standard error and aborts.
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);

}  // namespace headrace

#define HR_CONCAT_INNER(a, b) a##b
#define HR_CONCAT(a, b) HR_CONCAT_INNER(a, b)

// HR_TRY(auto slots, TakeSlots(n)): declares slots, or returns the error from this function.
#define HR_TRY(declaration, expression) \
  HR_TRY_INNER(HR_CONCAT(hr_try_, __LINE__), declaration, expression)
#define HR_TRY_INNER(temporary, declaration, expression)      \
  auto temporary = (expression);                              \
  if (!temporary) return ::headrace::Fail(temporary.error()); \
  declaration = std::move(*temporary)

// HR_RETURN_IF_ERROR(Validate(x)): for a Status.
#define HR_RETURN_IF_ERROR(expression)                          \
  do {                                                          \
    auto hr_status = (expression);                              \
    if (!hr_status) return ::headrace::Fail(hr_status.error()); \
  } while (false)

// Always on: what must hold in a correct program. Input from outside is parsed, never checked.
#define HR_CHECK(condition)                                    \
  do {                                                         \
    if (!(condition)) [[unlikely]]                             \
      ::headrace::CheckFailed(#condition, __FILE__, __LINE__); \
  } while (false)

#ifdef HEADRACE_DEBUG
#define HR_DCHECK(condition) HR_CHECK(condition)
#else
#define HR_DCHECK(condition) \
  do {                       \
    if (false) {             \
      (void)(condition);     \
    }                        \
  } while (false)
#endif
