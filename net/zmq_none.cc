// Builds without libzmq.
#include "net/zmq.h"

namespace headrace::net {

namespace {

constexpr const char* kAbsent = "this build has no ZeroMQ (feature zmq)";

}  // namespace

Result<std::unique_ptr<ZmqContext>> CreateZmqContext(int) {
  return Fail(Errc::kUnsupported, kAbsent);
}

Result<CurveKeys> MakeCurveKeys() {
  return Fail(Errc::kUnsupported, kAbsent);
}

Result<std::string> CurvePublicKey(const std::string&) {
  return Fail(Errc::kUnsupported, kAbsent);
}

}  // namespace headrace::net
