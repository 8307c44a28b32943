// A server of a history: the shipped core and the shipped codec, joined as server/ joins them, over
// a simulated mover and pool. It can be frozen, crashed and started again. One thread.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "tests/seeds/sim_mover.h"

namespace headrace::seeds {

// The client's end of a connection. Both are called in order, from events.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual void OnReply(const std::string& payload) = 0;
  virtual void OnHangUp() = 0;
};

struct ServerShape {
  uint64_t page_bytes = 16384;
  uint32_t pages = 8;
  engine::Limits limits;
  bool strict_leases = true;  // no limit of the history refuses a lease
};

class SimServer {
 public:
  SimServer(Simulation* simulation, Coverage* coverage, ServerShape shape);
  ~SimServer();

  void Start();
  void Crash();  // every connection hangs up; the pool is cold afterwards
  bool running() const { return engine_ != nullptr; }
  void Freeze(Duration duration);
  bool frozen() const { return frozen_; }
  void KillMover();

  // 0 when nobody listens. The peer outlives the session or calls HangUp.
  engine::SessionId Connect(Peer* peer, const std::string& instance, uint32_t uid);
  // `frame` is what wire::EncodeRequest made; `memory` stands for descriptors sent with it.
  void Send(engine::SessionId session, std::string frame, const SharedMemory& memory = nullptr);
  void HangUp(engine::SessionId session);

  bool has_work_at_mover() const { return mover_ && mover_->busy(); }
  // After everything hung up and time went by: nothing may be left but blocks, and the index that
  // the events built must be what the core holds.
  void CheckQuiet();

 private:
  struct Session {
    Peer* peer = nullptr;  // null after the client's end is gone
    bool ended = false;    // CloseSession was applied
    std::vector<wire::BufferId> buffers;
    uint32_t uid = 0;
    Time next_delivery;  // so that replies keep their order
  };
  struct Indexed {
    wire::BlockHash parent;
    uint32_t depth = 0;
  };
  using IndexKey = std::pair<engine::NamespaceId, std::array<uint8_t, 33>>;

  void Deliver(std::function<void()> input);  // now, or when the server thaws
  void OnFrame(engine::SessionId session, const std::string& frame, const SharedMemory& memory);
  void OnRegister(engine::SessionId session, const wire::RequestFrame& request,
                  const SharedMemory& memory);
  void ExpectHits(engine::SessionId session, const wire::RequestFrame& request);
  void Apply(const engine::Command& command);
  void Listen(const engine::BlockEvent& event);
  void Carry(engine::Effects* effects);
  void CarryReply(const engine::Reply& reply);
  void ForgetBuffer(wire::BufferId id);
  void ScheduleTicks();
  void ScheduleGrowth();
  void CountStats();

  Simulation* simulation_;
  Coverage* coverage_;
  ServerShape shape_;
  uint64_t incarnation_ = 0;
  std::vector<uint8_t> meta_bytes_;
  std::vector<std::vector<uint8_t>> regions_;
  std::unique_ptr<SimMover> mover_;
  std::unique_ptr<engine::Engine> engine_;
  std::optional<engine::PoolMeta> meta_;
  std::map<engine::SessionId, Session> sessions_;
  std::map<wire::BufferId, engine::SessionId> buffer_owner_;
  using RequestKey = std::pair<engine::SessionId, engine::RequestId>;
  struct Expected {
    engine::NamespaceId name_space = 0;
    std::vector<wire::BlockHash> hashes;
    uint32_t hit = 0;  // by a walk just before the query
    bool wants_lease = false;
    bool wants_handle = false;  // else the handle that it names stays as it is
    uint32_t min_blocks = 0;
  };
  // The end of a prefix that a lease promised to keep.
  struct Promise {
    engine::SessionId session = 0;
    IndexKey tip;
    Time until;
  };
  void CheckPromises(const IndexKey& gone, engine::RemoveReason reason);
  void CheckHits(const engine::Reply& reply);
  void CheckHit(engine::SessionId session, const wire::QueryAnswer& answer,
                const Expected& expected);

  std::map<std::pair<engine::SessionId, uint32_t>, std::string> registration_names_;
  std::map<RequestKey, std::string> registering_;
  std::map<RequestKey, std::vector<Expected>> expected_;
  std::map<std::pair<engine::SessionId, uint64_t>, std::vector<wire::BlockHash>> handles_;
  std::map<IndexKey, Indexed> index_;
  std::map<uint64_t, Promise> promises_;    // by lease, until its release or first load
  std::set<wire::Ticket> cancelled_;        // and not answered yet
  std::deque<std::function<void()>> held_;  // while frozen
  engine::SessionId next_session_ = 1;
  wire::BufferId next_buffer_ = 1;
  bool frozen_ = false;
  bool tick_scheduled_ = false;
  std::optional<Time> deadline_scheduled_;
};

}  // namespace headrace::seeds
