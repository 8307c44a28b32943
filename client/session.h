// One connection from its Hello to its hang-up: capabilities, the server's epoch, registration, and
// the numbers by which the client's callers know leases and prefixes of it. Knows the order of
// messages, not when to send them. Guarded by its client's lock.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/time.h"
#include "client/client.h"
#include "client/gate_page.h"
#include "client/link.h"
#include "wire/control.h"

namespace headrace::client {

// A Registration of its own, with duplicated descriptors.
struct OwnedRegistration {
  // Fails with kInvalid or kLimit naming the field, or kIo when a descriptor cannot be duplicated.
  static Result<OwnedRegistration> Copy(const Registration& registration);

  Registration spec;
  std::vector<Fd> descriptors;
  std::vector<std::string> pods;  // of the client's options, like its names
  std::string pods_model;
};

struct HelloNames {
  std::string_view program;
  std::string_view instance;
  std::string_view tenant;
};

class Session {
 public:
  // `number` tells the connections of one client apart.
  Session(std::shared_ptr<Link> link, uint64_t number, Time opened);

  const std::shared_ptr<Link>& link() const { return link_; }
  const std::shared_ptr<GatePage>& gates() const { return gates_; }
  Time opened() const { return opened_; }
  bool greeted() const { return greeted_; }
  bool registered() const { return registered_; }
  bool registering() const { return register_id_ != 0 && !registered_; }
  uint32_t registration() const { return registration_; }
  uint64_t epoch() const { return epoch_; }
  uint32_t max_frame() const { return max_frame_; }

  Status SendHello(uint64_t id, const HelloNames& names);
  // `gate_words` 0: no gates, as for a scheduler, which moves nothing.
  Status SendRegister(uint64_t id, const OwnedRegistration& registration, uint32_t gate_words);

  enum class Answer : uint8_t { kNotOurs, kTaken, kRefused };
  // Fails with kCorrupt when the server breaks the protocol: another epoch on one connection, a
  // reply of the wrong type.
  Result<Answer> OnReply(const wire::ReplyFrame& reply);

  // Leases and prefixes as callers see them. A number of an earlier server (of an earlier
  // connection, for prefixes) turns into one that this server never gave, so it can only be "gone".
  // Leases of one server read alike in all clients: a scheduler hands them to its ranks.
  uint64_t LeaseOut(uint64_t wire) const { return wire == 0 ? 0 : wire ^ lease_key_; }
  uint64_t LeaseIn(uint64_t lease) const { return lease == 0 ? 0 : lease ^ lease_key_; }
  uint64_t PrefixOut(uint64_t wire) const { return wire == 0 ? 0 : wire ^ prefix_key_; }
  uint64_t PrefixIn(uint64_t prefix) const { return prefix == 0 ? 0 : prefix ^ prefix_key_; }

 private:
  Result<Answer> OnHello(const wire::ReplyFrame& reply);
  Result<Answer> OnRegister(const wire::ReplyFrame& reply);
  void SetEpoch(uint64_t epoch);

  const std::shared_ptr<Link> link_;
  const uint64_t number_;
  const Time opened_;
  uint64_t hello_id_ = 0, register_id_ = 0;
  bool greeted_ = false, registered_ = false;
  std::shared_ptr<GatePage> gates_;
  uint64_t epoch_ = 0, lease_key_ = 0, prefix_key_ = 0;
  bool epoch_known_ = false;
  uint32_t registration_ = 0;
  uint32_t max_frame_ = wire::kMaxFrameBytes;
};

}  // namespace headrace::client
