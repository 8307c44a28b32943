// Reads any bytes as values: typed reads and Skip pass the same bytes, and a value that was read is
// never longer when our writer writes it.
#include "base/result.h"
#include "wire/msgpack.h"

using namespace headrace;
using wire::MsgpackReader;
using wire::MsgpackWriter;

namespace {

bool CopyScalar(MsgpackReader* in, MsgpackWriter* out) {
  uint64_t number = 0;
  int64_t negative = 0;
  bool flag = false;
  std::string_view text;
  std::span<const uint8_t> bytes;
  if (in->Nil()) return out->Nil(), true;
  if (in->Bool(&flag)) return out->Bool(flag), true;
  if (in->Uint(&number)) return out->Uint(number), true;
  if (in->Int(&negative)) return out->Int(negative), true;
  if (in->Str(&text)) return out->Str(text), true;
  if (in->Bin(&bytes)) return out->Bin(bytes), true;
  return false;
}

// False for kinds that have no typed read, for what is malformed and for what nests too deep.
bool Copy(MsgpackReader* in, MsgpackWriter* out, size_t depth) {
  if (CopyScalar(in, out)) return true;
  uint32_t count = 0;
  uint64_t values = 0;
  if (in->Array(&count)) {
    out->Array(count);
    values = count;
  } else if (in->Map(&count)) {
    out->Map(count);
    values = 2 * uint64_t{count};
  } else {
    return false;
  }
  if (values > 0 && depth == 0) return false;
  for (; values > 0; --values) {
    if (!Copy(in, out, depth - 1)) return false;
  }
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MsgpackReader reader({data, size});
  while (!reader.AtEnd()) {
    MsgpackReader skipped = reader;
    const bool skips = skipped.Skip();
    HR_CHECK(skips || skipped.remaining() == reader.remaining());
    MsgpackReader copied = reader;
    std::string copy;
    MsgpackWriter writer(&copy);
    if (Copy(&copied, &writer, MsgpackReader::kMaxDepth)) {
      HR_CHECK(skips && copied.remaining() == skipped.remaining());
      HR_CHECK(copy.size() <= reader.remaining() - copied.remaining());
      MsgpackReader again({reinterpret_cast<const uint8_t*>(copy.data()), copy.size()});
      HR_CHECK(again.Skip() && again.AtEnd());
    }
    if (!skips) break;
    reader = skipped;
  }
  return 0;
}
