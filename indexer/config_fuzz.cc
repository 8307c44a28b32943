#include "indexer/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string message;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto config = headrace::indexer::ParseIndexConfig(text, &message);
  HR_CHECK(config.has_value() == message.empty());
  if (config) HR_CHECK(config->hash.block_tokens > 0);
  return 0;
}
