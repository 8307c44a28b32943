// For tests: a RemoteIndex in a real Redis, on a loop of its own, asked as if it answered at once.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/loop.h"
#include "indexer/redis_index.h"
#include "net/redis_rig.h"

namespace headrace::indexer {

// For tests that begin with "what if": the sweep stays away, connections come back soon.
RedisIndexOptions IndexOptions(const std::string& url, RedisSchema schema = RedisSchema::kNative);

class IndexRig {
 public:
  explicit IndexRig(RedisIndexOptions options);
  explicit IndexRig(const std::string& url, RedisSchema schema = RedisSchema::kNative)
      : IndexRig(IndexOptions(url, schema)) {}

  bool Up();
  bool Until(const std::function<bool()>& done) { return RunUntil(loop_.get(), done); }
  RemoteIndex* operator->() { return index_.get(); }

  // When everything said about the pod is written: false when it is lost.
  bool Flush(const std::string& pod = "a");
  // "pod/tier", with "/g1" for a group and "/s" for a speculative one.
  std::set<std::string> Holders(RequestKey key);
  std::map<std::string, double> Score(std::vector<RequestKey> keys,
                                      std::vector<std::string> only = {});
  std::vector<RequestKey> Resolve(EngineKey engine);
  // The error of a score, or kOk.
  Errc ScoreError();
  const std::vector<std::string>& lost() const { return lost_; }

 private:
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<RemoteIndex> index_;
  std::vector<std::string> lost_;
};

}  // namespace headrace::indexer
