#include "client/endpoint.h"

#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace headrace::client {
namespace {

constexpr const char* kDefaultEndpoint = "ipc:///tmp/headrace.sock";
constexpr const char* kScheme = "ipc://";

}  // namespace

Result<std::string> SocketPath(const std::string& endpoint) {
  std::string path = endpoint;
  if (path.empty()) {
    const char* from_environment = std::getenv("HEADRACE_ENGINE_ENDPOINT");
    const bool set = from_environment != nullptr && *from_environment != '\0';
    path = set ? from_environment : kDefaultEndpoint;
  }
  if (path.starts_with(kScheme)) path.erase(0, std::char_traits<char>::length(kScheme));
  if (path.empty() || path.find("://") != std::string::npos ||
      path.find('\0') != std::string::npos) {
    return Fail(Errc::kInvalid, "endpoint must be ipc:///path or a path");
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Fail(Errc::kLimit, "endpoint's path must be at most 107 bytes long");
  }
  return path;
}

std::string InstanceName(const std::string& instance) {
  if (!instance.empty()) return instance;
  const char* from_environment = std::getenv("HEADRACE_INSTANCE_ID");
  if (from_environment != nullptr && *from_environment != '\0') return from_environment;
  uint64_t number = 0;
  // Without random bytes the process number still tells instances of one host apart.
  if (::getrandom(&number, sizeof(number), 0) != sizeof(number)) {
    number = static_cast<uint64_t>(::getpid());
  }
  char name[32];
  std::snprintf(name, sizeof(name), "instance-%016llx", static_cast<unsigned long long>(number));
  return name;
}

}  // namespace headrace::client
