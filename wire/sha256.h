// SHA-256 by OpenSSL's libcrypto.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"

struct evp_md_st;
struct evp_md_ctx_st;

namespace headrace::wire {

// The algorithm as libcrypto knows it: looked up once. Immutable after Create: any thread.
class Sha256Algorithm {
 public:
  // kUnsupported: this libcrypto was configured without SHA-256.
  static Result<std::shared_ptr<const Sha256Algorithm>> Create();
  ~Sha256Algorithm();
  Sha256Algorithm(const Sha256Algorithm&) = delete;
  Sha256Algorithm& operator=(const Sha256Algorithm&) = delete;

 private:
  friend class Sha256;
  explicit Sha256Algorithm(evp_md_st* method) : method_(method) {}

  evp_md_st* const method_;
};

// Working memory of digests. Made at the first digest; one thread at a time.
class Sha256 {
 public:
  static constexpr size_t kBytes = 32;

  Sha256() = default;
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void Digest(const Sha256Algorithm& algorithm, std::span<const uint8_t> data, uint8_t out[kBytes]);

 private:
  evp_md_ctx_st* context_ = nullptr;
};

}  // namespace headrace::wire
