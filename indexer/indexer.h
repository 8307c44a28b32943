// The indexer as one part: a thread with a loop of its own that owns the index and what fills it,
// and the service that answers from it. Create, Start, ask from any thread, destroy.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "base/loop.h"
#include "base/result.h"
#include "indexer/config.h"
#include "indexer/discovery.h"
#include "indexer/index_numbers.h"
#include "indexer/indexer_limits.h"
#include "indexer/pod_desk.h"
#include "indexer/service.h"
#include "indexer/subscriber_set.h"
#include "net/zmq.h"

namespace headrace::indexer {

class Indexer {
 public:
  struct Options {
    IndexConfig config;
    IndexerLimits limits;
    uint64_t seed = 0;                      // random: what is stored comes from outside
    std::function<int64_t()> wall_seconds;  // the local wall clock, for templates
    std::function<double()> unix_seconds;   // since 1970, for the lag of events
    std::optional<net::CurveKeys> curve;    // ours, for publishers that have a key
    ServiceObserver* observer = nullptr;    // may be null; outlives the indexer
  };
  // On failure `*message` is the line for the user.
  static Result<std::unique_ptr<Indexer>> Create(const Options& options, std::string* message);
  ~Indexer();  // ends the thread; answers that are owed are dropped
  Indexer(const Indexer&) = delete;
  Indexer& operator=(const Indexer&) = delete;

  void Start();
  IndexService* service() { return service_.get(); }
  // What the index's thread told last; at most a second or two old while it runs. Any thread.
  std::shared_ptr<const IndexNumbers> numbers() const;
  // GET /v1/index/stats, with the numbers of this moment.
  void Stats(const Grant& grant, const IndexService::Answer& answer);
  // /v1/index/pods. Any thread.
  void PutPod(const Grant& grant, std::string_view pod, std::string_view body,
              const IndexService::Answer& answer);
  void RemovePod(const Grant& grant, std::string pod, const IndexService::Answer& answer);
  void ListPods(const Grant& grant, const IndexService::Answer& answer);

 private:
  Indexer() = default;
  Status OpenSources(const Options& options, std::string* message);
  Status OpenZmq(const Options& options, bool needed, std::string* message);
  // Asks the desk on the index's thread, for those who may.
  void AtDesk(const Grant& grant, std::function<ApiReply(PodDesk*)> ask,
              const IndexService::Answer& answer);
  IndexNumbers Collect();
  void Tick();
  void Run();

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<FleetIndex> fleet_;  // the index's thread's
  std::unique_ptr<IndexService> service_;
  // The first two are null in a build without ZeroMQ. The index's thread's.
  std::unique_ptr<net::ZmqContext> zmq_;
  std::unique_ptr<SubscriberSet> sources_;
  std::unique_ptr<PodDesk> desk_;
  std::unique_ptr<Discovery> discovery_;
  std::thread thread_;

  mutable std::mutex mutex_;
  std::shared_ptr<const IndexNumbers> numbers_;  // guarded by mutex_
};

}  // namespace headrace::indexer
