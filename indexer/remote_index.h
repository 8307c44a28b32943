// Who holds which block, kept in another process (Redis, Valkey) that several servers share.
// Beside Index of index.h: what is a function call there is a round trip here, so everything is
// asked with a callback, and the other process may be away. Holders are named, not numbered:
// numbers of one server mean nothing to another. One thread owns it: the thread of the loop it was
// made with; every callback comes from there, later, never out of the call itself.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "indexer/index.h"
#include "indexer/scorer.h"

namespace headrace::indexer {

// One kind of copy that a pod may hold; two that differ in any member are two holders.
struct RemoteHolder {
  std::string pod;
  std::string tier = "gpu";  // lower case
  int16_t group = -1;        // KV group, -1: the model has one
  bool speculative = false;  // announced by the router, not by the pod

  friend bool operator==(const RemoteHolder&, const RemoteHolder&) = default;
};

// How the copies of a pod, or of a member of one, count where not each is a hit of its own.
struct RemoteRules {
  std::vector<GroupSpec> groups;    // empty: one group that needs every block
  std::vector<std::string> serves;  // of a node: pods that its copies count for, too,
  uint64_t serve_space = 0;         // and the name space of the members of them

  bool empty() const { return groups.empty() && serves.empty(); }
  friend bool operator==(const RemoteRules&, const RemoteRules&) = default;
};
using RemoteRulesByPod = std::map<std::string, RemoteRules, std::less<>>;

struct RemoteBlock {
  RequestKey key = 0;
  std::vector<RemoteHolder> holders;
};

struct RemoteScore {
  std::string pod;
  double score = 0;       // sum over the prefix of the best weight that the pod has a block in
  double normalized = 0;  // score / (blocks asked * the highest weight), 0 to 1
  uint32_t blocks = 0;    // length of the prefix
};

struct RemoteScoreRequest {
  std::vector<RequestKey> keys;
  std::vector<std::string> pods;  // only these, when `filter`
  bool filter = false;
  uint32_t key_tokens = 16;  // tokens of one key, for windows
};

struct RemoteStats {
  uint64_t round_trips = 0;   // waits for the other process, of reads and of writes
  uint64_t added = 0;         // copies
  uint64_t removed = 0;       // copies that were there to take
  uint64_t queued_keys = 0;   // waiting to be written
  uint64_t dropped_keys = 0;  // of streams that were reported as lost
  uint64_t lost_streams = 0;  // reports
  uint64_t swept_fields = 0;  // holders that a clear or a removed pod left behind
  uint64_t swept_keys = 0;    // engine keys whose blocks nobody holds
  uint64_t unreadable = 0;    // fields that no schema explains
  uint64_t reconnects = 0;
  uint64_t moved = 0, asked = 0;  // redirections inside a Cluster
};

class RemoteIndex {
 public:
  // What was said about this pod since its last Clear is not all there any more (writes were given
  // up, or the other process forgot): the pod needs Clear and a snapshot. Until its next Clear
  // everything that is said about it is thrown away and counted.
  using LostHandler = std::function<void(const std::string& pod, const Error& why)>;
  using ScoreDone = std::function<void(Result<std::vector<RemoteScore>>)>;
  using LookupDone = std::function<void(Result<std::vector<RemoteBlock>>)>;
  using ResolveDone = std::function<void(Result<std::vector<std::vector<RequestKey>>>)>;
  using Done = std::function<void(Status)>;

  virtual ~RemoteIndex() = default;

  virtual void OnLost(LostHandler handler) = 0;

  // Writes: of one pod in the order in which they were said, never waiting. While the other process
  // is away they queue up to a bound; beyond it the pod's stream is lost.
  // The holder has these blocks. `engine` is empty or names them: position k of
  // max(engine, keys) joins engine[k*n/max] and keys[k*m/max]. A copy that is there is counted.
  virtual void Add(const RemoteHolder& holder, std::span<const EngineKey> engine,
                   std::span<const RequestKey> keys) = 0;
  // The same blocks, known by engine keys alone; those that name nothing are ignored.
  virtual void AddKnown(const RemoteHolder& holder, std::span<const EngineKey> engine) = 0;
  // One copy less of what each key names.
  virtual void Remove(const RemoteHolder& holder, std::span<const EngineKey> engine) = 0;
  virtual void RemoveKeys(const RemoteHolder& holder, std::span<const RequestKey> keys) = 0;
  // The pod holds nothing any more, in any tier: a new epoch. What was said before does not count,
  // what is said later does.
  virtual void Clear(std::string_view pod) = 0;
  // Clear, and the pod is forgotten.
  virtual void RemovePod(std::string_view pod) = 0;
  // Replaces what was said of the pod before; it stands until empty rules are said, whatever the
  // pod holds. Kept here, and said again to one that forgot.
  virtual void Describe(std::string_view pod, const RemoteRules& rules) = 0;
  // When everything said before about `pod` is written, or is lost (kGone).
  virtual void Flush(std::string_view pod, Done done) = 0;

  // Reads. kUnavailable while the other process is away: nothing here answers for it.
  // Best first; pods whose prefix is empty are not in the answer.
  virtual void Score(RemoteScoreRequest request, ScoreDone done) = 0;
  // The holders of each key, up to the first that nobody holds.
  virtual void Lookup(std::vector<RequestKey> keys, LookupDone done) = 0;
  // All request keys that each engine key names, first position first.
  virtual void Resolve(std::vector<EngineKey> engine, ResolveDone done) = 0;

  virtual bool available() const = 0;
  // Why it is not available, for people; "" when it is.
  virtual std::string trouble() const = 0;
  virtual RemoteStats stats() const = 0;
};

}  // namespace headrace::indexer
