#include "client/fake_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

namespace headrace::client {
namespace {

using wire::MessageType;

constexpr uint64_t kCapabilities = wire::kCapHandles | wire::kCapGates | wire::kCapDescriptors;

std::string UniquePath() {
  static std::atomic<int> number{0};
  const char* directory = std::getenv("TMPDIR");
  return std::string(directory == nullptr ? "/tmp" : directory) + "/headrace-fake-" +
         std::to_string(::getpid()) + "-" + std::to_string(++number) + ".sock";
}

// A success for each kind of request.
struct PlainAnswer {
  wire::ReplyBody operator()(const wire::Hello&) const {
    return wire::HelloReply{"fake", kCapabilities, 1, wire::kMaxFrameBytes, 60'000};
  }
  wire::ReplyBody operator()(const wire::Register&) const { return wire::RegisterReply{1, 7}; }
  wire::ReplyBody operator()(const wire::Query& query) const {
    wire::QueryReply reply;
    for (const wire::QueryItem& item : query.items) {
      const auto hits = static_cast<uint32_t>(item.handle_blocks + item.hashes.size());
      reply.answers.push_back({hits, item.want_lease ? 11u : 0u, item.want_handle ? 22u : 0u});
    }
    return reply;
  }
  wire::ReplyBody operator()(const wire::Save& save) const {
    uint32_t blocks = 0;
    for (const wire::SaveChain& chain : save.chains) blocks += uint32_t(chain.blocks.size());
    return wire::SaveReply{.stored = blocks};
  }
  wire::ReplyBody operator()(const wire::Load& load) const {
    return wire::LoadReply{load.count, uint64_t{load.count} * 4096};
  }
  wire::ReplyBody operator()(const wire::Clear&) const { return wire::ClearReply{2}; }
  wire::ReplyBody operator()(const wire::Purge&) const { return wire::PurgeReply{true}; }
  wire::ReplyBody operator()(const wire::StatusRequest&) const {
    return wire::StatusReply{"{\"ok\":1}"};
  }
  template <typename Other>
  wire::ReplyBody operator()(const Other&) const {
    return wire::EmptyReply{};
  }
};

}  // namespace

FakeServer::FakeServer() : path_(UniquePath()), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  Listen();
  thread_ = std::thread([this] { Run(); });
}

FakeServer::~FakeServer() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    frozen_ = false;
    changed_.notify_all();
  }
  Wake();
  thread_.join();
  ::unlink(path_.c_str());
}

void FakeServer::Listen() {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  HR_CHECK(path_.size() < sizeof(address.sun_path));
  std::memcpy(address.sun_path, path_.data(), path_.size());
  ::unlink(path_.c_str());
  HR_CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  HR_CHECK(::listen(fd.get(), 4) == 0);
  {
    const std::lock_guard lock(mutex_);
    listener_ = std::move(fd);
  }
  Wake();
}

void FakeServer::SetScript(Script script) {
  const std::lock_guard lock(mutex_);
  script_ = std::move(script);
}

void FakeServer::SetEpoch(uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  epoch_ = epoch;
}

void FakeServer::Freeze() {
  std::unique_lock lock(mutex_);
  frozen_ = true;
  Wake();
  changed_.wait(lock, [this] { return parked_; });
}

void FakeServer::Thaw() {
  const std::lock_guard lock(mutex_);
  frozen_ = false;
  changed_.notify_all();
}

void FakeServer::HangUp() {
  const std::lock_guard lock(mutex_);
  Drop();
}

void FakeServer::Stop() {
  const std::lock_guard lock(mutex_);
  Drop();
  listener_.Reset();
  ::unlink(path_.c_str());
}

// The server's thread may hold a connection for a moment longer: its end must show at once.
void FakeServer::Drop() {
  for (const auto& connection : connections_) ::shutdown(connection->fd.get(), SHUT_RDWR);
  connections_.clear();
  Wake();
}

void FakeServer::Reply(wire::ReplyFrame reply) {
  std::string frame;
  {
    const std::lock_guard lock(mutex_);
    reply.epoch = epoch_;
    wire::EncodeReply(reply, &frame);
  }
  SendRaw(frame);
}

void FakeServer::SendRaw(std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (connections_.empty()) return;
  const int fd = connections_.back()->fd.get();
  const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  HR_CHECK(sent < 0 || static_cast<size_t>(sent) == bytes.size());
}

int FakeServer::Count(MessageType type) {
  const std::lock_guard lock(mutex_);
  return counts_[type];
}

std::vector<uint64_t> FakeServer::released() {
  const std::lock_guard lock(mutex_);
  return released_;
}

std::vector<uint64_t> FakeServer::cancelled() {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

std::vector<uint64_t> FakeServer::transfers() {
  const std::lock_guard lock(mutex_);
  return transfers_;
}

uint32_t FakeServer::last_gate() {
  const std::lock_guard lock(mutex_);
  return last_gate_;
}

std::vector<int> FakeServer::descriptors() {
  const std::lock_guard lock(mutex_);
  std::vector<int> numbers;
  for (const Fd& fd : descriptors_) numbers.push_back(fd.get());
  return numbers;
}

bool FakeServer::WaitForCount(MessageType type, int count) {
  return WaitFor([&] { return counts_[type] >= count; });
}

bool FakeServer::WaitFor(const std::function<bool()>& reached) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, seconds(10), reached);
}

void FakeServer::Wake() {
  const uint64_t one = 1;
  HR_CHECK(::write(wake_.get(), &one, sizeof(one)) == sizeof(one));
}

void FakeServer::Run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      parked_ = frozen_;
      changed_.notify_all();
      changed_.wait(lock, [this] { return !frozen_; });
      parked_ = false;
      if (stopping_) return;
    }
    Step();
  }
}

void FakeServer::Step() {
  std::vector<pollfd> entries{{wake_.get(), POLLIN, 0}};
  std::vector<std::shared_ptr<Connection>> connections;
  {
    const std::lock_guard lock(mutex_);
    connections = connections_;
    for (const auto& connection : connections) entries.push_back({connection->fd.get(), POLLIN, 0});
    if (listener_.valid()) entries.push_back({listener_.get(), POLLIN, 0});
  }
  ::poll(entries.data(), entries.size(), -1);
  uint64_t drained;
  if (::read(wake_.get(), &drained, sizeof(drained)) == sizeof(drained)) return;
  Accept();
  for (const auto& connection : connections) Serve(connection);
}

void FakeServer::Accept() {
  const std::lock_guard lock(mutex_);
  if (!listener_.valid()) return;
  Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd.valid()) return;
  connections_.push_back(std::make_shared<Connection>());
  connections_.back()->fd = std::move(fd);
}

void FakeServer::Serve(const std::shared_ptr<Connection>& connection) {
  if (Read(connection.get())) return TakeFrames(connection.get());
  const std::lock_guard lock(mutex_);
  std::erase(connections_, connection);
}

bool FakeServer::Read(Connection* connection) {
  std::vector<char> bytes(1 << 20);
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 32)];
  iovec io{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t n = ::recvmsg(connection->fd.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0) return errno == EAGAIN;
  if (n == 0) return false;
  connection->input.append(bytes.data(), static_cast<size_t>(n));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::vector<int> numbers(count);
    std::memcpy(numbers.data(), CMSG_DATA(header), count * sizeof(int));
    const std::lock_guard lock(mutex_);
    descriptors_.clear();
    for (const int number : numbers) descriptors_.emplace_back(number);
  }
  return true;
}

void FakeServer::TakeFrames(Connection* connection) {
  while (true) {
    const auto* data = reinterpret_cast<const uint8_t*>(connection->input.data());
    const std::span<const uint8_t> bytes(data, connection->input.size());
    const auto length = wire::PeekFrame(bytes, wire::kMaxFrameBytes);
    HR_CHECK(length.has_value());
    if (*length == wire::kNoFrame || bytes.size() < 4 + *length) return;
    const auto request = wire::DecodeRequest(bytes.subspan(4, *length));
    HR_CHECK(request.has_value());
    Script script;
    {
      const std::lock_guard lock(mutex_);
      script = script_;
    }
    if (!script || !script(*this, *request)) Answer(*request);
    Note(*request);
    connection->input.erase(0, 4 + *length);
  }
}

void FakeServer::Note(const wire::RequestFrame& request) {
  const std::lock_guard lock(mutex_);
  ++counts_[wire::TypeOf(request.body)];
  if (const auto* release = std::get_if<wire::Release>(&request.body)) {
    released_.insert(released_.end(), release->leases.begin(), release->leases.end());
  } else if (const auto* cancel = std::get_if<wire::Cancel>(&request.body)) {
    cancelled_.push_back(cancel->request);
  } else if (const auto* save = std::get_if<wire::Save>(&request.body)) {
    transfers_.push_back(request.id);
    last_gate_ = save->gate;
  } else if (const auto* load = std::get_if<wire::Load>(&request.body)) {
    transfers_.push_back(request.id);
    last_gate_ = load->gate;
  }
  changed_.notify_all();
}

void FakeServer::Answer(const wire::RequestFrame& request) {
  if (request.id == 0) return;
  wire::ReplyFrame reply;
  reply.type = wire::TypeOf(request.body);
  reply.id = request.id;
  reply.body = std::visit(PlainAnswer{}, request.body);
  Reply(std::move(reply));
}

}  // namespace headrace::client
