// The mover's side of the gate protocol (wire/copy.h). The word lies in memory that an untrusted
// client writes at will: whatever it holds, these functions end, and decide nothing but whether the
// client's own blocks are still lent. Any thread.
#pragma once

#include <cstdint>

#include "wire/copy.h"

namespace headrace::transport {

// Before a chunk is written. False: the owner took its blocks back, write nothing.
bool EnterGate(uint32_t* word);

// After a chunk; the caller made its bytes visible first.
void LeaveGate(uint32_t* word);

bool GateRevoked(const uint32_t* word);

// At the end of a save: true when its bytes may be published. From then on the owner knows that
// revoking came too late.
bool CommitGate(uint32_t* word);

}  // namespace headrace::transport
