// Names that the core's commands and effects share. Pure values; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

#include "base/time.h"
#include "wire/block_hash.h"
#include "wire/control.h"
#include "wire/copy.h"
#include "wire/layout.h"

namespace headrace::engine {

using wire::BlockHash;
using wire::BufferId;
using wire::HashList;
using wire::Ticket;

using SessionId = uint64_t;
using RequestId = uint64_t;  // chosen by the client, unique in its session while it runs
using LeaseId = uint64_t;    // 0: none
using HandleId = uint64_t;   // 0: none
using NamespaceId = uint32_t;
using InstanceId = uint32_t;
using BlockIndex = uint32_t;  // in the block table
using SlotIndex = uint32_t;   // in the header table
using PageIndex = uint32_t;

inline constexpr uint32_t kNone = std::numeric_limits<uint32_t>::max();

}  // namespace headrace::engine
