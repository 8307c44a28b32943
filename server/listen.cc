#include "server/listen.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "net/address.h"

namespace headrace::server {
namespace {

constexpr int kBacklog = 512;

tl::unexpected<Error> Refuse(std::string* message, std::string text, int os = 0) {
  *message = std::move(text);
  return Fail(os == 0 ? Errc::kInvalid : Errc::kIo, "a socket cannot be opened", os);
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// Two servers that start at once must not both find the same stale file: the folder is locked
// while the file is looked at and replaced.
Result<Fd> LockFolder(const std::string& path, std::string* message) {
  Fd folder(::open(FolderOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid()) {
    const int error = errno;
    return Refuse(
        message,
        fmt::format("--socket: the folder of {} cannot be used: {}", path, std::strerror(error)),
        error);
  }
  // Held for microseconds by those who follow the rule; nobody else may stop this start for long.
  for (int i = 0; i < 50 && ::flock(folder.get(), LOCK_EX | LOCK_NB) != 0; ++i) ::usleep(10'000);
  return folder;
}

Status RemoveStale(const sockaddr_un& name, std::string* message) {
  const char* path = name.sun_path;
  struct stat info{};
  if (::lstat(path, &info) != 0) return {};
  if (!S_ISSOCK(info.st_mode)) {
    return Refuse(message, fmt::format("--socket: {} exists and is not a socket", path));
  }
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int rc = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  if (rc == 0 || errno != ECONNREFUSED) {
    const int error = rc == 0 ? EADDRINUSE : errno;
    if (error == ENOENT) return {};
    if (error == EADDRINUSE || error == EAGAIN) {
      return Refuse(message, fmt::format("--socket: {} is in use by another server", path), error);
    }
    return Refuse(message, fmt::format("--socket: {}: {}", path, std::strerror(error)), error);
  }
  if (::unlink(path) == 0 || errno == ENOENT) return {};
  const int error = errno;
  return Refuse(
      message,
      fmt::format("--socket: the stale {} cannot be removed: {}", path, std::strerror(error)),
      error);
}

// The file gets its mode with its birth: there is no moment in which others could connect.
int BindWithMode(int fd, const sockaddr_un& name, uint32_t mode) {
  const mode_t before = ::umask(static_cast<mode_t>(~mode & 0777));
  const int rc = ::bind(fd, reinterpret_cast<const sockaddr*>(&name), sizeof(name));
  const int error = rc == 0 ? 0 : errno;
  ::umask(before);
  return error;
}

uint16_t BoundPort(int fd) {
  sockaddr_storage bound{};
  socklen_t bytes = sizeof(bound);
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &bytes) != 0) return 0;
  if (bound.ss_family == AF_INET6) {
    return ntohs(reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port);
  }
  return ntohs(reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
}

int BindTcp(const addrinfo& place, Fd* out) {
  Fd fd(::socket(place.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno;
  const int on = 1;
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(fd.get(), place.ai_addr, place.ai_addrlen) != 0) return errno;
  if (::listen(fd.get(), kBacklog) != 0) return errno;
  *out = std::move(fd);
  return 0;
}

}  // namespace

Result<UnixListener> UnixListener::Listen(const std::string& path, uint32_t mode,
                                          std::string* message) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  HR_CHECK(!path.empty() && path.size() < sizeof(name.sun_path));  // by the options
  std::memcpy(name.sun_path, path.c_str(), path.size() + 1);

  HR_TRY(const Fd folder, LockFolder(path, message));
  HR_RETURN_IF_ERROR(RemoveStale(name, message));
  UnixListener listener;
  listener.fd_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int error = listener.fd_.valid() ? 0 : errno;
  if (error == 0) error = BindWithMode(listener.fd_.get(), name, mode);
  if (error == 0 && ::listen(listener.fd_.get(), kBacklog) != 0) error = errno;
  struct stat info{};
  if (error == 0 && ::lstat(path.c_str(), &info) != 0) error = errno;
  if (error != 0) {
    return Refuse(message, fmt::format("--socket: {}: {}", path, std::strerror(error)), error);
  }
  listener.path_ = path;
  listener.device_ = info.st_dev;
  listener.inode_ = info.st_ino;
  return listener;
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::exchange(other.path_, {})),
      device_(other.device_),
      inode_(other.inode_) {}

UnixListener& UnixListener::operator=(UnixListener&& other) noexcept {
  if (this == &other) return *this;
  RemoveFile();
  fd_ = std::move(other.fd_);
  path_ = std::exchange(other.path_, {});
  device_ = other.device_;
  inode_ = other.inode_;
  return *this;
}

UnixListener::~UnixListener() {
  RemoveFile();
}

void UnixListener::RemoveFile() {
  if (path_.empty()) return;
  struct stat info{};
  if (::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  path_.clear();
}

Result<Fd> ListenTcp(const std::string& address, uint16_t* port, std::string* message) {
  const auto place = net::ParseHostPort(address);
  if (!place) {
    return Refuse(message, fmt::format("--addr: \"{}\" is not an address; write for example "
                                       "127.0.0.1:50055",
                                       address));
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string number = std::to_string(place->port);
  const int rc = ::getaddrinfo(place->host.c_str(), number.c_str(), &hints, &found);
  if (rc != 0) {
    return Refuse(message, fmt::format("--addr: \"{}\" is not an address of this machine: {}",
                                       address, ::gai_strerror(rc)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> places(found, &::freeaddrinfo);
  Fd fd;
  const int error = BindTcp(*places, &fd);
  if (error == EADDRINUSE) {
    return Refuse(
        message, fmt::format("--addr: {} is in use by another program; name another port", address),
        error);
  }
  if (error != 0) {
    return Refuse(message, fmt::format("--addr: {}: {}", address, std::strerror(error)), error);
  }
  *port = BoundPort(fd.get());
  return fd;
}

}  // namespace headrace::server
