// What DecodeReply accepts is what EncodeReply writes: decoded again it is the same message.
#include "base/result.h"
#include "wire/control.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto frame = wire::DecodeReply({data, size});
  if (!frame) {
    HR_CHECK(frame.error().code == Errc::kInvalid);
    return 0;
  }
  std::string encoded;
  EncodeReply(*frame, &encoded);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(encoded.data()),
                                       encoded.size());
  const auto again = wire::DecodeReply(bytes.subspan(4));
  HR_CHECK(again);
  std::string encoded_again;
  EncodeReply(*again, &encoded_again);
  HR_CHECK(encoded == encoded_again);
  return 0;
}
