// Any bytes as a text: the prefix store answers as the tokenizer, replaced bytes are replaced the
// same way on both sides of the C ABI, and ids are in the vocabulary. Any bytes as a tokenizer.json
// are read or refused.
#include "text/prefix_store.h"
#include "text/utf8.h"

using namespace headrace;

namespace {

const text::Tokenizer& Small() {
  static const std::unique_ptr<text::Tokenizer> loaded = [] {
    std::string why;
    auto made = text::LoadTokenizer(HEADRACE_TEXT_DATA, &why);
    HR_CHECK(made);
    return std::move(*made);
  }();
  return *loaded;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static text::PrefixStore store(Small(), {.max_bytes = 1u << 20, .chunk_bytes = 4});
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string why;
  if (bytes.starts_with("{")) (void)text::ParseTokenizer(bytes, &why);
  const text::Special special = size % 2 == 0 ? text::Special::kAdd : text::Special::kNone;
  const auto ids = Small().Encode(bytes, special);
  HR_CHECK(ids);
  for (const uint32_t id : *ids) HR_CHECK(id < Small().vocab_size());
  HR_CHECK(*Small().Encode(text::ToUtf8(bytes), special) == *ids);
  HR_CHECK(*store.Encode(bytes, special) == *ids);
  HR_CHECK(*store.Encode(bytes, special) == *ids);
  const auto placed = Small().EncodeWithOffsets(bytes, special);
  HR_CHECK(placed && placed->ids == *ids && placed->offsets.size() == ids->size());
  return 0;
}
