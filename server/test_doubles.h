// Stand-ins for tests of this folder: a loop turned by hand, a mover that copies nothing, a pair
// of connected sockets. One thread.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/loop.h"
#include "transport/mover.h"
#include "wire/control.h"

namespace headrace::server {

// Time and events come from the test.
class FakeLoop final : public Loop {
 public:
  Status Watch(int fd, uint32_t events, IoCallback callback) override {
    watched[fd] = {events, std::move(callback)};
    return {};
  }
  Status Rearm(int fd, uint32_t events) override {
    watched.at(fd).first = events;
    return {};
  }
  void Unwatch(int fd) override { watched.erase(fd); }
  uint64_t At(Time when, Callback callback) override {
    timers.emplace(std::pair(when, ++last_timer_), std::move(callback));
    return last_timer_;
  }
  void CancelTimer(uint64_t timer) override {
    std::erase_if(timers, [timer](const auto& entry) { return entry.first.second == timer; });
  }
  void Post(Callback callback) override { posted.push_back(std::move(callback)); }
  void SetIdle(std::function<bool()> callback) override { idle = std::move(callback); }
  void Run() override {}
  void Stop() override { stopped = true; }
  Time now() const override { return time; }

  // Hands the descriptor's events over as the kernel would.
  void Fire(int fd, uint32_t events) {
    const auto found = watched.find(fd);
    if (found == watched.end() || (found->second.first & events) == 0) return;
    const IoCallback callback = found->second.second;
    callback(events & found->second.first);
  }
  void Advance(Duration duration) {
    time += duration;
    while (!timers.empty() && timers.begin()->first.first <= time) {
      const Callback callback = std::move(timers.begin()->second);
      timers.erase(timers.begin());
      callback();
    }
  }

  std::map<int, std::pair<uint32_t, IoCallback>> watched;
  std::map<std::pair<Time, uint64_t>, Callback> timers;
  std::vector<Callback> posted;
  std::function<bool()> idle;
  bool stopped = false;
  Time time = FromWire(1'000'000'000);

 private:
  uint64_t last_timer_ = 0;
};

// Remembers what it was told; the test decides when jobs end.
class FakeMover final : public transport::Mover {
 public:
  Status AddRegion(const transport::SharedRegion&) override { return {}; }
  Status AddBuffer(wire::BufferId id, const transport::BufferSource& source,
                   const wire::Layout&) override {
    if (fail_at == static_cast<int>(added.size())) return Fail(Errc::kIo, "cannot map", ENOMEM);
    added.push_back(id);
    sources.push_back(source);
    return {};
  }
  void DropBuffer(wire::BufferId id) override { dropped.push_back(id); }
  Status Submit(const transport::Job& job) override {
    if (refuse) return Fail(Errc::kInternal, "refused by the test");
    if (submitted.size() >= room) return Fail(Errc::kLimit, "ring is full");
    submitted.push_back(job.ticket);
    return {};
  }
  void Cancel(wire::Ticket ticket) override { cancelled.push_back(ticket); }
  int event_fd() const override { return -1; }
  size_t Poll(std::vector<wire::CopyDone>* out) override {
    out->insert(out->end(), done.begin(), done.end());
    return std::exchange(done, {}).size();
  }
  transport::MoverStats stats() const override { return {}; }
  std::string Describe() const override { return "a mover for tests"; }

  size_t room = 1000;
  bool refuse = false;
  int fail_at = -1;  // which AddBuffer fails
  std::vector<wire::BufferId> added, dropped;
  std::vector<transport::BufferSource> sources;
  std::vector<wire::Ticket> submitted, cancelled;
  std::vector<wire::CopyDone> done;
};

struct SocketPair {
  Fd server, client;

  SocketPair() {
    int ends[2] = {-1, -1};
    HR_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    server = Fd(ends[0]);
    client = Fd(ends[1]);
  }

  void Send(const std::string& bytes) const {
    HR_CHECK(::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
             static_cast<ssize_t>(bytes.size()));
  }
  void SendWith(const std::string& bytes, const std::vector<int>& descriptors) const {
    iovec io{const_cast<char*>(bytes.data()), bytes.size()};
    std::vector<char> control(CMSG_SPACE(descriptors.size() * sizeof(int)));
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(descriptors.size() * sizeof(int));
    std::memcpy(CMSG_DATA(header), descriptors.data(), descriptors.size() * sizeof(int));
    HR_CHECK(::sendmsg(client.get(), &message, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
  }
  // What has arrived at the client.
  std::string Received() const {
    std::string all;
    char piece[65536];
    for (;;) {
      const ssize_t got = ::recv(client.get(), piece, sizeof(piece), MSG_DONTWAIT);
      if (got <= 0) return all;
      all.append(piece, static_cast<size_t>(got));
    }
  }
  bool HungUp() const {
    char byte = 0;
    return ::recv(client.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
  }
};

// A frame of `size` bytes, all the same.
inline std::string RawFrame(uint32_t size, char fill = 'x') {
  std::string frame(4, '\0');
  std::memcpy(frame.data(), &size, 4);
  return frame + std::string(size, fill);
}

inline std::string Encoded(uint64_t id, wire::Request body) {
  std::string out;
  wire::EncodeRequest({id, std::move(body)}, &out);
  return out;
}

}  // namespace headrace::server
