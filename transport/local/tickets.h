// The core's side of a channel: which jobs are unanswered, what the regions and buffers that they
// may name look like, and how much of the rings is used. The core's thread.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "transport/local/buffer.h"
#include "transport/local/channel.h"
#include "transport/mover.h"
#include "wire/copy.h"

namespace headrace::transport {

class Tickets {
 public:
  explicit Tickets(Channel* channel);

  void AddRegion(uint64_t bytes) { region_bytes_.push_back(bytes); }
  // kExists when the id is in use.
  Status AddBuffer(const BufferImport& import);
  // False when unknown. REQUIRES: no job of this buffer is unanswered.
  bool DropBuffer(wire::BufferId id);

  // Checks the job and puts it into the rings, to be started when the copying side has carried out
  // control message `control_seq`. Does not wake anybody.
  Status Submit(const Job& job, uint64_t control_seq);
  void Cancel(wire::Ticket ticket);

  // Moves what the copying side answered into `out`.
  size_t Collect(std::vector<wire::CopyDone>* out);
  // The copying side is gone and fenced: answers everything else with `code`.
  size_t FailAll(Errc code, std::vector<wire::CopyDone>* out);

  bool idle() const { return pending_.empty(); }
  // The earliest deadline of an unanswered job; Time{} when none has one.
  Time EarliestDeadline() const;

 private:
  struct BufferFacts {
    uint64_t num_blocks = 0;
    uint64_t slot_bytes = 0;
    uint64_t num_gates = 0;
    uint32_t jobs = 0;  // unanswered
  };
  struct Pending {
    uint32_t slot = 0;
    uint32_t blocks = 0;  // what it takes of the rings
    wire::BufferId buffer = 0;
    int64_t deadline = 0;
  };
  Status Check(const Job& job, const BufferFacts& buffer) const;
  void Forget(std::unordered_map<wire::Ticket, Pending>::iterator pending);

  Channel* const channel_;
  std::vector<uint64_t> region_bytes_;
  std::unordered_map<wire::BufferId, BufferFacts> buffers_;
  std::unordered_map<wire::Ticket, Pending> pending_;
  std::vector<uint32_t> free_slots_;
  uint64_t blocks_used_ = 0;
};

}  // namespace headrace::transport
