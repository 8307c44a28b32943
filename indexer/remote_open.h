// From the configuration to the remote index that it names.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/loop.h"
#include "indexer/config.h"
#include "indexer/remote_index.h"

namespace headrace::indexer {

// Begins to connect. On failure `*message` is the line for the user, without any password.
// kUnsupported in a build without the feature `redis`. The loop outlives the index.
Result<std::shared_ptr<RemoteIndex>> OpenRemoteIndex(Loop* loop, const RedisConfig& config,
                                                     const std::vector<TierWeight>& weights,
                                                     std::string* message);

}  // namespace headrace::indexer
