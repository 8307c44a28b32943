// Owners of what text/rust gives, and its codes as ours.
#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include "base/result.h"
#include "text/rust/headrace_text.h"

namespace headrace::text {

inline HrView ViewOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

inline Errc CodeOf(int32_t code) {
  return code == kTextInvalid ? Errc::kInvalid : Errc::kInternal;
}

struct RustBytes {
  RustBytes() = default;
  RustBytes(const RustBytes&) = delete;
  RustBytes& operator=(const RustBytes&) = delete;
  ~RustBytes() { hr_text_bytes_free(value); }

  std::string str() const {
    return value.size == 0 ? std::string()
                           : std::string(reinterpret_cast<const char*>(value.data), value.size);
  }

  HrBytes value{};
};

struct RustTokens {
  RustTokens() = default;
  RustTokens(const RustTokens&) = delete;
  RustTokens& operator=(const RustTokens&) = delete;
  ~RustTokens() { hr_text_tokens_free(value); }

  HrTokens value{};
};

inline void QuietPanics() {
  static std::once_flag once;
  std::call_once(once, hr_text_quiet_panics);
}

}  // namespace headrace::text
