// From a frame to the core and back: decodes a request, checks what the core may rely on, turns it
// into a command; turns the core's reply into a frame. Answers itself what needs no core.
// Loop-bound. Keeps nothing of a request but what its reply needs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/command.h"
#include "engine/effect.h"
#include "server/buffers.h"
#include "server/event_pods.h"
#include "server/rpc_metrics.h"
#include "server/session_table.h"

namespace headrace::server {

// What a request needs of the program around it.
class RequestHost {
 public:
  virtual ~RequestHost() = default;
  virtual void Apply(const engine::Command& command) = 0;
  virtual bool draining() const = 0;
  virtual std::string StatusJson() = 0;
};

struct RequestConfig {
  uint64_t epoch = 0;  // in every reply
  uint32_t max_frame = 0;
  uint32_t max_sessions = 0;
  Duration max_lease{};
};

struct RequestCounters {
  uint64_t malformed = 0;       // frames that could not be decoded
  uint64_t no_hello = 0;        // connections whose first message was another
  uint64_t limit_sessions = 0;  // hellos over max_sessions
};

class RequestRouter {
 public:
  struct Parts {
    RequestHost* host = nullptr;
    SessionTable* sessions = nullptr;
    BufferBook* buffers = nullptr;
    RpcMetrics* rpc = nullptr;
    PodBoard* pods = nullptr;  // null: nobody asks which pods are served
  };
  RequestRouter(const RequestConfig& config, const Parts& parts);

  void Handle(Session& session, std::span<const uint8_t> payload);
  void OnBadStream(Session& session, const Error& error);
  // The core's answer; its session may be gone by now.
  void OnReply(const engine::Reply& reply);
  // The session's copies are fenced and nothing of it is left.
  void OnGone() {
    HR_CHECK(open_sessions_ > 0);
    --open_sessions_;
  }

  const RequestCounters& counters() const { return counters_; }
  uint32_t open_sessions() const { return open_sessions_; }

 private:
  // One request on its way to the core.
  struct Call {
    Session& session;
    wire::MessageType type;
    uint64_t id;        // the client's; 0 asks for no reply
    RequestId request;  // the core's
  };
  struct Dispatch;

  bool Admit(Session& session, const wire::RequestFrame& frame);
  void Refuse(Session& session, std::span<const uint8_t> payload, const Error& error);
  void OnHello(const Call& call, const wire::Hello& hello);
  void OnRegister(const Call& call, const wire::Register& spec);
  void Account(Session& session, const engine::Reply& reply);
  void OnRegistered(Session& session, uint32_t registration);
  void OnUnregister(Session& session, uint32_t registration);
  void Answer(const Call& call, wire::ReplyBody body);
  // The answer to a request that did not begin: one of the same number may be running.
  void Reject(const Call& call, Errc code, std::string_view text);
  void Finish(Session& session, const wire::ReplyFrame& frame);

  const RequestConfig config_;
  const Parts parts_;
  uint64_t next_silent_ = 0;
  uint32_t open_sessions_ = 0;
  // Of the hello or the registration that is being applied.
  Error hello_refused_{Errc::kOk, 0, ""};
  const wire::Register* registering_ = nullptr;
  bool registration_refused_ = false;
  RequestCounters counters_;
};

}  // namespace headrace::server
