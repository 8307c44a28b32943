// The tokens cover the text without a gap, Encode and its form with offsets agree, and what was
// encoded decodes to itself, as far as the table of pieces reaches.
#include "text/regex_tokenizer.h"
#include "text/utf8.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer = text::MakeRegexTokenizer();
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string clean = text::ToUtf8(bytes);
  const auto made = tokenizer->EncodeWithOffsets(bytes, text::Special::kNone);
  const auto ids = tokenizer->Encode(bytes, text::Special::kAdd);
  HR_CHECK(made && ids && made->ids == *ids && made->offsets.size() == ids->size());
  uint32_t end = 0;
  bool all_known = true;
  for (const text::ByteSpan& span : made->offsets) {
    HR_CHECK(span.begin == end && span.end > span.begin);
    end = span.end;
    all_known = all_known && span.end - span.begin <= text::kMaxKnownPieceBytes;
    HR_CHECK(text::IsUtf8(std::string_view(clean).substr(span.begin, span.end - span.begin)));
  }
  HR_CHECK(end == clean.size());
  const auto decoded = tokenizer->Decode(*ids, false);
  HR_CHECK(decoded && text::IsUtf8(*decoded));
  // Few tokens cannot fill a bucket; with more, one may have gone for another.
  if (all_known && ids->size() <= 8) HR_CHECK(*decoded == clean);
  return 0;
}
