#include "server/buffers.h"

#include <fmt/format.h>

#include <cstring>
#include <utility>

namespace headrace::server {
namespace {

size_t DescriptorsOf(const wire::Register& spec) {
  size_t count = spec.has_gates ? 1 : 0;
  for (const wire::BufferSpec& buffer : spec.buffers) {
    if (buffer.kind == wire::BufferKind::kDescriptor) ++count;
  }
  return count;
}

std::string Describe(const Error& error) {
  return error.os == 0 ? std::string(error.what)
                       : fmt::format("{} ({})", error.what, std::strerror(error.os));
}

// What the mover needs for each buffer of the message, in the message's order.
std::vector<transport::BufferSource> SourcesOf(const Session& session, const wire::Register& spec,
                                               const std::vector<Fd>& descriptors) {
  std::vector<transport::BufferSource> sources;
  size_t next = 0;
  for (const wire::BufferSpec& buffer : spec.buffers) {
    transport::BufferSource source;
    if (buffer.kind == wire::BufferKind::kDescriptor) {
      source.fd = descriptors[next++].get();
    } else {
      source.pid = session.peer().pid;
    }
    source.offset = buffer.offset;
    source.bytes = buffer.bytes;
    source.session_fd = session.fd();
    sources.push_back(source);
  }
  if (spec.has_gates) {
    for (transport::BufferSource& source : sources) source.gate_fd = descriptors[next].get();
  }
  return sources;
}

}  // namespace

Status BufferBook::Check(const Session& session, const wire::Register& spec, size_t num_descriptors,
                         std::string* why) const {
  const auto refuse = [&](Errc code, std::string text) {
    *why = std::move(text);
    return Fail(code, "the registration is refused");
  };
  if (spec.buffers.empty() != spec.groups.empty()) {
    return refuse(Errc::kInvalid,
                  "Register.groups: a rank sends buffers and groups, a scheduler neither");
  }
  if (!spec.buffers.empty() && !session.peer().local) {
    return refuse(Errc::kPermission,
                  "Register.buffers: buffers can be handed over on the unix socket only");
  }
  if (const size_t wanted = DescriptorsOf(spec); num_descriptors != wanted) {
    return refuse(Errc::kInvalid,
                  fmt::format("Register.buffers: {} descriptors came with the message, not {}",
                              num_descriptors, wanted));
  }
  for (size_t i = 0; i < spec.buffers.size(); ++i) {
    if (spec.buffers[i].bytes == 0) {
      return refuse(Errc::kInvalid, fmt::format("Register.buffers[{}].bytes: 0", i));
    }
    if (spec.buffers[i].kind == wire::BufferKind::kProcess && session.peer().pid <= 0) {
      return refuse(
          Errc::kPermission,
          fmt::format("Register.buffers[{}].kind: the client's process is not known here", i));
    }
  }
  for (size_t i = 0; i < spec.groups.size(); ++i) {
    const wire::GroupSpec& group = spec.groups[i];
    if (group.buffer >= spec.buffers.size()) {
      return refuse(Errc::kInvalid, fmt::format("Register.groups[{}].buffer: no such buffer", i));
    }
    const Status valid = wire::ValidateLayout(group.layout, spec.buffers[group.buffer].bytes);
    if (!valid) {
      return refuse(valid.error().code,
                    fmt::format("Register.groups[{}].{}", i, valid.error().what));
    }
  }
  return {};
}

Result<std::vector<wire::BufferId>> BufferBook::Add(const Session& session,
                                                    const wire::Register& spec,
                                                    const std::vector<Fd>& descriptors,
                                                    std::string* why) {
  HR_RETURN_IF_ERROR(Check(session, spec, descriptors.size(), why));
  const auto sources = SourcesOf(session, spec, descriptors);
  HR_CHECK(sources.size() == spec.buffers.size());
  std::vector<wire::BufferId> ids;
  for (const wire::GroupSpec& group : spec.groups) {
    const wire::BufferId id = next_++;
    const Status added = mover_->AddBuffer(id, sources[group.buffer], group.layout);
    if (!added) {
      *why = fmt::format("Register.buffers[{}]: {}", group.buffer, Describe(added.error()));
      for (const wire::BufferId undone : ids) Drop(undone);
      return Fail(added.error());
    }
    const bool fresh = owners_.emplace(id, session.id()).second;
    HR_CHECK(fresh);
    ids.push_back(id);
  }
  return ids;
}

void BufferBook::Drop(wire::BufferId id) {
  if (owners_.erase(id) == 0) return;
  mover_->DropBuffer(id);
}

std::optional<SessionId> BufferBook::Owner(wire::BufferId id) const {
  const auto found = owners_.find(id);
  if (found == owners_.end()) return std::nullopt;
  return found->second;
}

}  // namespace headrace::server
