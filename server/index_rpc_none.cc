#include "server/index_rpc.h"

namespace headrace::server {

Result<std::unique_ptr<IndexRpc>> IndexRpc::Listen(Options, indexer::IndexService*,
                                                   std::string* message) {
  *message = "--grpc-addr: this program was built without gRPC (meson option grpc)";
  return Fail(Errc::kUnsupported, "built without gRPC");
}

}  // namespace headrace::server
