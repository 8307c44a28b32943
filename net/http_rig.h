// For tests of what speaks HTTP: a client that sends bytes as they are.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace headrace::net {

// A client that sends bytes as they are.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    timeval limit{10, 0};  // a test that hangs fails
    HR_CHECK(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0);
    HR_CHECK(connect(fd_.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0);
  }
  void Send(const std::string& text) {
    for (size_t at = 0; at < text.size();) {
      ssize_t sent = ::send(fd_.get(), text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return;  // the server closed first, which is its right
      at += static_cast<size_t>(sent);
    }
  }
  void Finish() { shutdown(fd_.get(), SHUT_WR); }

  // Up to and with `end`; what came when the server closed first.
  std::string ReadUntil(const std::string& end) {
    while (pending_.find(end) == std::string::npos && ReadMore()) {
    }
    size_t at = std::min(pending_.size(), pending_.find(end) + end.size());
    if (pending_.find(end) == std::string::npos) at = pending_.size();
    std::string got = pending_.substr(0, at);
    pending_.erase(0, at);
    return got;
  }
  std::string ReadAll() {
    while (ReadMore()) {
    }
    return std::exchange(pending_, "");
  }
  // Header and a body of Content-Length.
  std::string ReadReply() {
    std::string header = ReadUntil("\r\n\r\n");
    size_t at = header.find("Content-Length: ");
    size_t length = at == std::string::npos ? 0 : std::stoul(header.substr(at + 16));
    while (pending_.size() < length && ReadMore()) {
    }
    std::string body = pending_.substr(0, length);
    pending_.erase(0, length);
    return header + body;
  }

 private:
  bool ReadMore() {
    char part[4096];
    ssize_t got = ::recv(fd_.get(), part, sizeof(part), 0);
    if (got <= 0) return false;
    pending_.append(part, static_cast<size_t>(got));
    return true;
  }

  Fd fd_;
  std::string pending_;
};

}  // namespace headrace::net
