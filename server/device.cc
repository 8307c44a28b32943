#include "server/device.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace headrace::server {

bool HasCudaDriver() {
  void* const library = ::dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (library == nullptr) return false;
  ::dlclose(library);
  return true;
}

Status CheckDevice(const ServerOptions& options, bool has_cuda_driver, std::string* message) {
  if (options.cpu_only()) return {};
  HR_CHECK(!options.devices.empty());
  const char* const reason = has_cuda_driver ? "GPU import is not part of this version"
                                             : "this machine has no CUDA driver (libcuda.so.1)";
  *message = fmt::format("--device {}: {}; use --device cpu", options.devices[0], reason);
  return Fail(Errc::kUnsupported, "the device cannot be served");
}

}  // namespace headrace::server
