#include "client/session.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

namespace headrace::client {
namespace {

constexpr uint64_t kCapabilities = wire::kCapHandles | wire::kCapGates | wire::kCapDescriptors |
                                   wire::kCapPurge | wire::kCapTokens;
constexpr uint32_t kMinFrameBytes = 4096;  // a server that takes less could not be registered with

// splitmix64: spreads numbers that differ a little over all 64 bits.
uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

Status CheckShape(const Registration& spec) {
  if (spec.name_space.empty() || spec.name_space.size() > wire::kMaxNameBytes) {
    return Fail(Errc::kInvalid, "namespace must have 1 to 256 bytes");
  }
  if (spec.world_size == 0 || spec.world_size > wire::kMaxRanks) {
    return Fail(Errc::kInvalid, "world_size must be 1 to 256");
  }
  if (spec.rank >= spec.world_size) return Fail(Errc::kInvalid, "rank must be below world_size");
  if (spec.block_tokens == 0) return Fail(Errc::kInvalid, "block_tokens must not be 0");
  if (spec.buffers.size() > wire::kMaxBuffers) return Fail(Errc::kLimit, "at most 16 buffers");
  if (spec.groups.size() > wire::kMaxGroups) return Fail(Errc::kLimit, "at most 16 groups");
  if (spec.buffers.empty() != spec.groups.empty()) {
    return Fail(Errc::kInvalid, "buffers and groups: a rank gives both, a scheduler neither");
  }
  return {};
}

}  // namespace

Result<OwnedRegistration> OwnedRegistration::Copy(const Registration& registration) {
  HR_RETURN_IF_ERROR(CheckShape(registration));
  for (const wire::GroupSpec& group : registration.groups) {
    if (group.buffer >= registration.buffers.size()) {
      return Fail(Errc::kInvalid, "group.buffer must be an index into buffers");
    }
    HR_RETURN_IF_ERROR(
        wire::ValidateLayout(group.layout, registration.buffers[group.buffer].bytes));
  }
  OwnedRegistration copy;
  copy.spec = registration;
  for (BufferHandle& buffer : copy.spec.buffers) {
    Fd fd(::fcntl(buffer.fd, F_DUPFD_CLOEXEC, 0));
    if (!fd.valid()) return Fail(Errc::kIo, "buffer.fd cannot be duplicated", errno);
    buffer.fd = fd.get();
    copy.descriptors.push_back(std::move(fd));
  }
  return copy;
}

Session::Session(std::shared_ptr<Link> link, uint64_t number, Time opened)
    : link_(std::move(link)), number_(number), opened_(opened) {}

Status Session::SendHello(uint64_t id, const HelloNames& names) {
  HR_CHECK(hello_id_ == 0 && id != 0);
  wire::Hello hello;
  hello.client = names.program;
  hello.instance = names.instance;
  hello.tenant = names.tenant;
  hello.capabilities = kCapabilities;
  std::string frame;
  wire::EncodeRequest({id, hello}, &frame);
  hello_id_ = id;
  return link_->Send(frame);
}

Status Session::SendRegister(uint64_t id, const OwnedRegistration& registration,
                             uint32_t gate_words) {
  HR_CHECK(id != 0);
  if (link_->queued()) return Fail(Errc::kUnavailable, "the server does not read");
  const Registration& spec = registration.spec;
  if (gate_words > 0) {
    HR_TRY(gates_, GatePage::Create(gate_words));
  }
  wire::Register message;
  message.name_space = spec.name_space;
  message.rank = spec.rank;
  message.world_size = spec.world_size;
  message.block_tokens = spec.block_tokens;
  message.has_gates = gates_ != nullptr;
  std::vector<int> descriptors;
  for (const BufferHandle& buffer : spec.buffers) {
    message.buffers.push_back({wire::BufferKind::kDescriptor, buffer.bytes, buffer.offset});
    descriptors.push_back(buffer.fd);
  }
  if (gates_) descriptors.push_back(gates_->fd());
  message.groups = spec.groups;
  message.pods.assign(registration.pods.begin(), registration.pods.end());
  message.pods_model = registration.pods_model;
  std::string frame;
  wire::EncodeRequest({id, std::move(message)}, &frame);
  register_id_ = id;
  return link_->SendWithDescriptors(frame, descriptors);
}

Result<Session::Answer> Session::OnReply(const wire::ReplyFrame& reply) {
  if (!epoch_known_) SetEpoch(reply.epoch);
  if (reply.epoch != epoch_) return Fail(Errc::kCorrupt, "epoch changed within a connection");
  if (reply.id == 0) return Answer::kNotOurs;
  if (reply.id == hello_id_) return OnHello(reply);
  if (reply.id == register_id_) return OnRegister(reply);
  return Answer::kNotOurs;
}

Result<Session::Answer> Session::OnHello(const wire::ReplyFrame& reply) {
  if (reply.type != wire::MessageType::kHello || greeted_) {
    return Fail(Errc::kCorrupt, "a reply to Hello of another type");
  }
  if (reply.code != Errc::kOk) return Answer::kRefused;
  const auto* hello = std::get_if<wire::HelloReply>(&reply.body);
  if (hello == nullptr) return Fail(Errc::kCorrupt, "a reply to Hello without fields");
  greeted_ = true;
  if (hello->max_frame != 0) {
    max_frame_ = std::clamp(hello->max_frame, kMinFrameBytes, wire::kMaxFrameBytes);
  }
  if ((hello->capabilities & wire::kCapGates) == 0) gates_.reset();
  return Answer::kTaken;
}

Result<Session::Answer> Session::OnRegister(const wire::ReplyFrame& reply) {
  if (reply.type != wire::MessageType::kRegister || registered_) {
    return Fail(Errc::kCorrupt, "a reply to Register of another type");
  }
  if (reply.code != Errc::kOk) {
    register_id_ = 0;
    return Answer::kRefused;
  }
  const auto* answer = std::get_if<wire::RegisterReply>(&reply.body);
  if (answer == nullptr || !greeted_) {
    return Fail(Errc::kCorrupt, "a reply to Register without fields");
  }
  registered_ = true;
  registration_ = answer->registration;
  return Answer::kTaken;
}

void Session::SetEpoch(uint64_t epoch) {
  epoch_known_ = true;
  epoch_ = epoch;
  lease_key_ = Mix(epoch);
  prefix_key_ = Mix(lease_key_ + number_);
}

}  // namespace headrace::client
