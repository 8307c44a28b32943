// Which of several index replicas this one is: what is configured, whose a prompt is when it is not
// this one's, and what clients are told. docs/scale.md says how replicas share an index. Immutable;
// any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "indexer/shard.h"
#include "wire/hash.h"

namespace headrace::indexer {

class ReplicaPlace {
 public:
  struct Config {
    std::vector<std::string> all;  // addresses of HTTP, "10.0.0.1:9091"; ShardMap's names
    std::string self;              // one of them
    uint32_t first_blocks = 0;     // ShardMap's; 0: each keeps everything
  };

  ReplicaPlace() = default;  // there are no others
  // With an empty config that, too. On failure `*message` is the line for the user, which names
  // the key of the configuration.
  static Result<ReplicaPlace> Create(const Config& config, std::string* message);

  // Null unless the index is split. Stays where it is as long as this object.
  const ShardMap* split() const { return map_ && !map_->whole() ? &*map_ : nullptr; }
  size_t self() const { return self_; }

  // The address of the one that has a prompt with these keys; null when this one can answer.
  const std::string* Elsewhere(std::span<const uint64_t> keys) const;

  // GET /v1/index/replicas: all that a client needs to find the owner itself.
  std::string ListBody(const wire::HasherOptions& hash) const;

 private:
  std::optional<ShardMap> map_;
  size_t self_ = 0;
};

// The body of an answer that names another replica.
std::string MovedBody(const std::string& address);

}  // namespace headrace::indexer
