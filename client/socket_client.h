// The Client over one Unix socket. Whoever waits for a reply reads the socket for all: one thread
// polls without the lock, hands every reply to whom it belongs and wakes the others.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client/breaker.h"
#include "client/client.h"
#include "client/session.h"
#include "client/transfers.h"

namespace headrace::client {

class SocketClient final : public Client {
 public:
  // REQUIRES: path is valid, options.gates is 1 to Transfers::kMaxSlots.
  SocketClient(ClientOptions options, std::string path);
  ~SocketClient() override;

  Status Register(const Registration& registration, Duration wait) override;
  std::string last_refusal() override;
  bool ready() override;
  void Query(std::span<const QuerySpec> items, std::span<QueryResult> results) override;
  void Release(std::span<const uint64_t> leases) override;
  void DropPrefixes(std::span<const uint64_t> prefixes) override;
  Result<Submission> SubmitSave(std::span<const wire::SaveChain> chains) override;
  Result<Submission> SubmitLoad(uint64_t lease, uint32_t first, uint32_t count,
                                const std::vector<std::vector<uint32_t>>& blocks) override;
  size_t Poll(std::vector<Completion>* out) override;
  size_t Wait(Duration wait, std::vector<Completion>* out, size_t most) override;
  void Revoke(Submission submission) override;
  Result<uint64_t> Clear(Duration wait) override;
  Result<bool> Purge(const wire::BlockHash& hash, Duration wait) override;
  Result<std::string> ServerStatus(Duration wait) override;
  void Close(Duration wait) override;
  ClientStats stats() override;

  // The socket's number or -1, without the lock: for a forked child, which may not take it.
  std::atomic<int>& socket_number() { return socket_number_; }

 private:
  using Lock = std::unique_lock<std::mutex>;

  // A call that waits for one reply; lives on its thread's stack.
  struct Waiter {
    uint64_t id = 0;
    wire::MessageType type = wire::MessageType::kPing;
    std::span<const QuerySpec> items;  // of a query
    std::span<QueryResult> results;
    bool done = false;  // answered
    bool lost = false;  // the connection ended
    Errc code = Errc::kOk;
    uint64_t number = 0;  // generation, or whether a purged block was there
    std::string text;     // status
    Waiter* next = nullptr;
  };
  enum class Level : uint8_t { kGreeted, kRegistered };
  enum class Ending : uint8_t { kHangUp, kProtocol, kRefused, kClosed };

  // Connection (socket_client.cc). All hold the lock.
  void Drive(Time now);
  void Connect(Time now);
  void Disconnect(Ending ending, Time now);
  bool RegisterNow();
  void Probe(Time now);
  void ReadAll(Time now);  // REQUIRES: a session
  Status TakeFrames(Link* link);
  Status OnFrame(std::span<const uint8_t> payload);
  Status OnSessionReply(Session::Answer answer, const wire::ReplyFrame& reply);
  Status OnWaited(Waiter& waiter, const wire::ReplyFrame& reply);
  Status OnQueryReply(Waiter& waiter, const wire::QueryReply& reply);
  void OnLateReply(const wire::ReplyFrame& reply);
  void WaitForBytes(Lock& lock, Time deadline);
  void Await(Lock& lock, Waiter* waiter, Time deadline);
  bool AwaitReady(Lock& lock, Time deadline, Level level);
  bool ReadyNow() const;
  Status SendOneWay(wire::Request body);
  uint64_t NextId();

  // Calls (socket_client_calls.cc). All hold the lock.
  void AwaitRegistered(Lock& lock, Time deadline);
  size_t FillQuery(std::span<const QuerySpec> items, std::span<QueryResult> results);
  bool RunQuery(Lock& lock, Waiter* waiter, Time deadline);
  Status Call(Lock& lock, wire::Request body, Waiter* waiter, Duration wait);
  Result<Submission> Submit(wire::MessageType type, wire::Request body, Time now);
  void CheckTransfers(Time now);
  void SendCancels();

  // Set once.
  const ClientOptions options_;
  const std::string path_;
  const std::string instance_;

  std::mutex mutex_;
  std::condition_variable changed_;  // bytes were read, or the session changed

  // Guarded by mutex_.
  Breaker breaker_;
  Transfers transfers_;
  std::optional<Session> session_;
  std::optional<OwnedRegistration> registration_;
  uint32_t register_waiters_ = 0;  // Register calls that wait for the first answer
  Status refusal_;
  std::string refusal_text_;
  const Link* reading_ = nullptr;  // what a thread polls now, without the lock
  Waiter* waiters_ = nullptr;
  uint64_t connections_ = 0;
  uint64_t ids_ = 0;
  uint64_t last_epoch_ = 0;
  bool epoch_seen_ = false;
  bool closed_ = false;
  ClientStats stats_;
  wire::RequestFrame query_;  // reused, so that a query allocates nothing
  std::string frame_;
  std::vector<Submission> cancels_;

  // Read by a forked child.
  std::atomic<int> socket_number_{-1};
};

}  // namespace headrace::client
