// The engine buffers that clients handed over: gives each a number, has the mover map it, and
// remembers whose it is. Loop-bound.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "server/session.h"
#include "transport/mover.h"
#include "wire/control.h"

namespace headrace::server {

class BufferBook {
 public:
  explicit BufferBook(transport::Mover* mover) : mover_(mover) { HR_CHECK(mover_ != nullptr); }

  // One buffer for each group of `spec`: checked, mapped, numbered. All or none; `descriptors` are
  // those that came with the message. On failure `why` names the field and what would be right.
  Result<std::vector<wire::BufferId>> Add(const Session& session, const wire::Register& spec,
                                          const std::vector<Fd>& descriptors, std::string* why);
  // REQUIRES: no copy of it is in flight. Unknown numbers are ignored.
  void Drop(wire::BufferId id);

  std::optional<SessionId> Owner(wire::BufferId id) const;
  size_t size() const { return owners_.size(); }

 private:
  Status Check(const Session& session, const wire::Register& spec, size_t num_descriptors,
               std::string* why) const;

  transport::Mover* const mover_;
  std::unordered_map<wire::BufferId, SessionId> owners_;
  wire::BufferId next_ = 1;
};

}  // namespace headrace::server
