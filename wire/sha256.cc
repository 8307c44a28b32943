#include "wire/sha256.h"

#include <openssl/evp.h>

namespace headrace::wire {

Result<std::shared_ptr<const Sha256Algorithm>> Sha256Algorithm::Create() {
  EVP_MD* method = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  if (method == nullptr) return Fail(Errc::kUnsupported, "libcrypto has no SHA-256");
  return std::shared_ptr<const Sha256Algorithm>(new Sha256Algorithm(method));
}

Sha256Algorithm::~Sha256Algorithm() {
  EVP_MD_free(method_);
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(context_);
}

void Sha256::Digest(const Sha256Algorithm& algorithm, std::span<const uint8_t> data,
                    uint8_t out[kBytes]) {
  if (context_ == nullptr) context_ = EVP_MD_CTX_new();
  HR_CHECK(context_ != nullptr);
  unsigned size = 0;
  const bool done = EVP_DigestInit_ex2(context_, algorithm.method_, nullptr) == 1 &&
                    EVP_DigestUpdate(context_, data.data(), data.size()) == 1 &&
                    EVP_DigestFinal_ex(context_, out, &size) == 1;
  HR_CHECK(done && size == kBytes);
}

}  // namespace headrace::wire
