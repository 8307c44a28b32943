// What DecodeRequest accepts is what EncodeRequest writes: decoded again it is the same message.
#include "base/result.h"
#include "wire/control.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto head = wire::DecodeRequestHead({data, size});
  const auto frame = wire::DecodeRequest({data, size});
  if (!frame) {
    HR_CHECK(frame.error().code == Errc::kInvalid || frame.error().code == Errc::kUnsupported);
    return 0;
  }
  HR_CHECK(head && head->id == frame->id && head->type == TypeOf(frame->body));
  std::string encoded;
  EncodeRequest(*frame, &encoded);
  const std::span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(encoded.data()),
                                       encoded.size());
  const auto length = wire::PeekFrame(bytes, 0xfffffffe);
  HR_CHECK(length && *length == encoded.size() - 4);
  const auto again = wire::DecodeRequest(bytes.subspan(4));
  HR_CHECK(again);
  std::string encoded_again;
  EncodeRequest(*again, &encoded_again);
  HR_CHECK(encoded == encoded_again);
  return 0;
}
