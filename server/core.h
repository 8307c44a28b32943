// The core's thread: joins the engine, the sessions and the mover on one loop. Every command goes
// through Apply here, every effect is carried out here. Loop-bound but for what says otherwise.
// It decides nothing: what is kept is the engine's, how bytes move the mover's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/loop.h"
#include "engine/engine.h"
#include "server/acceptor.h"
#include "server/buffers.h"
#include "server/effects.h"
#include "server/event_feed.h"
#include "server/event_pods.h"
#include "server/options.h"
#include "server/requests.h"
#include "server/session_table.h"
#include "server/snapshot.h"
#include "transport/mover.h"

namespace headrace::server {

class Core final : private SessionHost, private RequestHost, private EffectSink {
 public:
  struct Parts {
    Loop* loop = nullptr;
    engine::Engine* engine = nullptr;
    transport::Mover* mover = nullptr;
    RpcMetrics* rpc = nullptr;
    SnapshotBoard* board = nullptr;
    // The status of the whole server as JSON, for the protocol's StatusRequest.
    std::function<std::string(const Snapshot&)> status_json;
    EventFeed* events = nullptr;  // null: nobody listens
    // What the publisher at the feed's other end counted. Set when `events` is.
    std::function<EventTotals()> event_totals;
    // Hears which pods sessions serve, and whom to tell of a change. Set when `events` is.
    PodBoard* pods = nullptr;
    std::function<void()> pods_changed;
  };
  Core(const ServerOptions& options, uint64_t epoch, Parts parts);
  ~Core() override;

  // Watches the mover and takes connections. `local` and `remote` are listening sockets.
  Status Start(Fd local, Fd remote);

  // Pages that are backed now.
  void AddPages(uint32_t first, uint32_t count);
  // A new snapshot goes to the board.
  void Publish();
  // No new connections and no new work; when copies have ended or had their time, sessions are
  // closed and fenced, and the loop stops. A second call closes at once.
  void Drain();

 private:
  void OnFrame(Session& session, std::span<const uint8_t> payload) override;
  void OnBadStream(Session& session, const Error& error) override;
  void OnClosing(Session& session) override;

  void Apply(const engine::Command& command) override;
  bool draining() const override { return phase_ != Phase::kServing; }
  std::string StatusJson() override;

  void OnReply(const engine::Reply& reply) override;
  void OnMoved(SessionId session, wire::Direction direction, uint64_t bytes) override;
  void OnGone(SessionId session) override;

  void ApplyOne(const engine::Command& command);
  void OnMover();
  bool OnIdle();
  bool AdvanceEvents();
  void TellOfPods();
  void ArmTimer();
  void AdvanceDrain();
  void CloseSessions();
  Snapshot TakeSnapshot() const;

  const ServerOptions& options_;
  const Parts parts_;
  engine::Effects effects_;
  BufferBook buffers_;
  EffectCarrier carrier_;
  SessionTable sessions_;
  RequestRouter router_;
  Acceptor acceptor_;

  std::vector<wire::CopyDone> done_;
  uint64_t timer_ = 0;  // of the engine's next deadline; 0: none
  Time timer_at_;
  bool events_wait_ = false;  // a timer will try again to tell what was lost
  bool applying_ = false;
  uint64_t pods_version_ = 0;  // that was told of

  enum class Phase : uint8_t { kServing, kDraining, kClosing, kStopped };
  Phase phase_ = Phase::kServing;
  Time phase_ends_;
  LoopCounters counters_;
};

}  // namespace headrace::server
