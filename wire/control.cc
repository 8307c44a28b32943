#include "wire/control.h"

#include <cstring>
#include <type_traits>

namespace headrace::wire {
namespace {

// The order of the alternatives is the order of the types, from 1.
template <MessageType kType, typename Message>
constexpr bool kInPlace =
    std::is_same_v<std::variant_alternative_t<static_cast<size_t>(kType) - 1, Request>, Message>;

static_assert(kInPlace<MessageType::kHello, Hello> && kInPlace<MessageType::kRegister, Register> &&
              kInPlace<MessageType::kUnregister, Unregister> &&
              kInPlace<MessageType::kQuery, Query> && kInPlace<MessageType::kSave, Save> &&
              kInPlace<MessageType::kLoad, Load> && kInPlace<MessageType::kRelease, Release> &&
              kInPlace<MessageType::kClear, Clear> && kInPlace<MessageType::kCancel, Cancel> &&
              kInPlace<MessageType::kPing, Ping> &&
              kInPlace<MessageType::kDropHandle, DropHandle> &&
              kInPlace<MessageType::kPurge, Purge> &&
              kInPlace<MessageType::kStatus, StatusRequest>);
static_assert(std::variant_size_v<Request> == static_cast<size_t>(MessageType::kStatus));

}  // namespace

MessageType TypeOf(const Request& request) {
  return static_cast<MessageType>(request.index() + 1);
}

Result<uint32_t> PeekFrame(std::span<const uint8_t> bytes, uint32_t max_frame) {
  uint32_t length = 0;
  if (bytes.size() < sizeof(length)) return kNoFrame;
  std::memcpy(&length, bytes.data(), sizeof(length));
  if (length > max_frame || length == kNoFrame) {
    return Fail(Errc::kLimit, "frame: longer than max_frame");
  }
  return length;
}

}  // namespace headrace::wire
