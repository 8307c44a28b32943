// Asks a Headrace publisher for everything that one topic has resident (docs/protocol.md). Blocks
// its thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "net/zmq.h"
#include "wire/event.h"

namespace headrace::cli {

struct ResidentBlock {
  uint64_t hash = 0;  // its low 64 bits
  std::string tier;   // in lower case; "gpu" where the publisher names none
};

struct SnapshotQuestion {
  std::string endpoint;  // the publisher's replay socket
  std::string topic;
  std::optional<net::ZmqCurve> curve;
  Duration patience = seconds(5);  // with a publisher that is silent
};

// Collects the answers to one question. Pure.
class SnapshotReader {
 public:
  // [empty][topic][sequence][payload]. kInvalid: it is none of a snapshot; `what` says why.
  Status Take(const net::ZmqMessage& answer);
  bool done() const { return done_; }
  std::vector<ResidentBlock>& blocks() { return blocks_; }

 private:
  wire::EventDecoder decoder_;
  std::vector<ResidentBlock> blocks_;
  bool done_ = false;
};

// On failure `*message` is the line for the user.
Result<std::vector<ResidentBlock>> AskSnapshot(const SnapshotQuestion& question,
                                               std::string* message);

}  // namespace headrace::cli
