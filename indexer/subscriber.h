// One publisher of events, over ZeroMQ: subscribes, asks for replays and snapshots, and hands what
// is told to the digest. A stream is one topic of one publisher; each counts its own sequence.
// Loop-bound.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "indexer/follow.h"
#include "indexer/ingest.h"
#include "indexer/pod_table.h"
#include "net/zmq.h"
#include "wire/event.h"

namespace headrace::indexer {

// How many replays and snapshots run in the process at a time. Loop-bound.
class AskSlots {
 public:
  static constexpr int kMost = 8;
  bool Take() {
    if (used_ >= kMost) return false;
    ++used_;
    return true;
  }
  void Give() {
    HR_CHECK(used_ > 0);
    --used_;
  }
  int used() const { return used_; }

 private:
  int used_ = 0;
};

struct SubscriberConfig {
  std::string endpoint;         // of the publisher, or ours when `bind`
  bool bind = false;            // publishers dial us: nobody to ask for replays then
  std::string replay_endpoint;  // "": none
  std::string topic_filter = "kv@";
  // For topics that name no pod, no model.
  std::string pod;
  std::string model;
  FollowLimits follow;
  std::optional<net::ZmqCurve> curve;
};

class Subscriber {
 public:
  static constexpr size_t kMaxStreams = 4096;  // topics of one publisher
  static constexpr Duration kTick = milliseconds(100);

  struct Parts {
    Loop* loop = nullptr;
    net::ZmqContext* zmq = nullptr;
    Digest* digest = nullptr;
    PodTable* pods = nullptr;
    AskSlots* slots = nullptr;
    std::function<double()> wall;  // seconds since 1970, for the lag
  };
  struct Counters {
    uint64_t messages = 0;
    uint64_t malformed = 0;  // not three frames, no sequence, no pod to be found, no batch
    uint64_t connects = 0;
    uint64_t refused = 0;    // handshakes, and topics beyond kMaxStreams
    FollowCounters streams;  // of all streams together
  };

  // Fails as Bind and Open do. All parts outlive it.
  static Result<std::unique_ptr<Subscriber>> Create(const Parts& parts,
                                                    const SubscriberConfig& config);
  ~Subscriber();
  Subscriber(const Subscriber&) = delete;
  Subscriber& operator=(const Subscriber&) = delete;

  const SubscriberConfig& config() const { return config_; }
  std::string endpoint() const { return socket_->endpoint(); }  // with the port that was taken
  Counters counters() const;
  bool uncertain() const;
  // Each stream's pod, its own counters, and whether something is missing; not those whose pod was
  // removed.
  using StreamVisit = std::function<void(PodId, const FollowCounters&, bool uncertain)>;
  void ForEachStream(const StreamVisit& visit) const;
  // The pods of its streams.
  std::vector<PodId> pods() const;

 private:
  struct Stream;
  struct Ask;

  Subscriber(const Parts& parts, const SubscriberConfig& config);
  Status Open();
  void OnReadable();
  void OnPeers();
  void OnTick();
  void TakeAllLive();
  void TakeLive();

  Stream* StreamOf(std::string_view topic);  // null, and counted: none to be had
  Stream* AddStream(std::string_view topic, Feed feed);
  void Carry(Stream* stream);
  void ApplyBatch(Stream* stream, std::string_view payload, bool* cleared);
  void Want(Stream* stream, const FollowAction& action);

  void StartAsks();
  Status Start(Ask* ask);
  void OnAnswer(Ask* ask);
  void TakeAnswer(Ask* ask);
  void TakeReplayed(Ask* ask, std::string_view topic, const FollowMessage& message);
  void EndOfReplay(Ask* ask);
  void Finish(Ask* ask);
  void EndAskOf(const Stream* stream);
  void Reap();

  const Parts parts_;
  const SubscriberConfig config_;
  std::unique_ptr<net::ZmqSocket> socket_;
  std::unique_ptr<net::ZmqWatch> watch_;
  std::unique_ptr<net::ZmqWatch> peers_;
  uint64_t tick_ = 0;
  uint64_t reap_ = 0;
  std::map<std::string, std::unique_ptr<Stream>, std::less<>> streams_;
  std::vector<std::unique_ptr<Ask>> asks_;
  bool explore_ = false;   // ask for all topics' messages: none is known yet
  bool by_topic_ = false;  // the peer answers questions about one topic
  net::ZmqMessage message_;
  net::ZmqMessage answer_;
  wire::EventDecoder decoder_;
  Counters counters_;
};

}  // namespace headrace::indexer
