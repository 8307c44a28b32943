// Which pods a node's copies count for, and the same the other way. Numbers only. One thread.
#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "indexer/index.h"

namespace headrace::indexer {

class ServedPods {
 public:
  // What `node` holds counts for these pods too, from now on, and for no others.
  void Set(PodId node, std::span<const PodId> pods) {
    const bool was = node < pods_.size() && !pods_[node].empty();
    if (!was && pods.empty()) return;
    if (node >= pods_.size()) pods_.resize(node + size_t{1});
    for (const PodId pod : pods_[node]) std::erase(nodes_[pod], node);
    pods_[node].assign(pods.begin(), pods.end());
    std::sort(pods_[node].begin(), pods_[node].end());
    pods_[node].erase(std::unique(pods_[node].begin(), pods_[node].end()), pods_[node].end());
    std::erase(pods_[node], node);
    for (const PodId pod : pods_[node]) {
      if (pod >= nodes_.size()) nodes_.resize(pod + size_t{1});
      nodes_[pod].push_back(node);
    }
    listed_ += (pods_[node].empty() ? 0 : 1) - (was ? 1 : 0);
  }

  bool any() const { return listed_ > 0; }
  std::span<const PodId> Of(PodId node) const { return At(pods_, node); }
  std::span<const PodId> NodesOf(PodId pod) const { return At(nodes_, pod); }
  size_t pods() const { return nodes_.size(); }  // every served pod is below

 private:
  using Lists = std::vector<std::vector<PodId>>;
  static std::span<const PodId> At(const Lists& lists, PodId pod) {
    return pod < lists.size() ? std::span<const PodId>(lists[pod]) : std::span<const PodId>();
  }

  Lists pods_;   // by node
  Lists nodes_;  // by pod
  int64_t listed_ = 0;
};

}  // namespace headrace::indexer
