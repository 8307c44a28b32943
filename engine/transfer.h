// One save or load that was asked for and is not answered yet, and the copy jobs that it handed
// out. The core's thread.
#pragma once

#include <memory>
#include <variant>
#include <vector>

#include "engine/intrusive_list.h"
#include "engine/types.h"

namespace headrace::engine {

struct Registration;
struct Session;

struct Transfer;

// Blocks at a mover under one ticket.
struct Job {
  Ticket ticket = 0;  // 0: free
  Transfer* transfer = nullptr;
  std::vector<SlotIndex> slots;
  bool cancelled = false;
  Link<Job> in_transfer;
};

struct SaveWork {
  std::shared_ptr<const void> owner;    // keeps what `chains` points into; or:
  std::vector<uint8_t> hashes;          // our copy of the hashes,
  std::vector<wire::SaveChain> copied;  // and of the chains
  const std::vector<wire::SaveChain>* chains = nullptr;
  uint32_t chain = 0;
  uint32_t position = 0;  // in the chain
  bool started = false;   // the chain's parent was looked up
  wire::SaveReply counts;
};

struct LoadWork {
  LeaseId lease = 0;
  uint32_t first = 0;
  uint32_t count = 0;
  std::vector<std::vector<uint32_t>> blocks_by_group;
  uint64_t wanted = 0;  // parts that have a target
  uint64_t found = 0;   // of them, handed out
  wire::LoadReply counts;
};

struct Transfer {
  uint64_t number = 0;  // never reused
  Session* session = nullptr;
  Registration* registration = nullptr;
  RequestId request = 0;
  NamespaceId name_space = 0;
  uint32_t generation = 0;
  uint64_t purge_count = 0;  // of the namespace, when a load began
  uint32_t gate = wire::kNoGate;
  Time deadline{};

  bool walking = true;  // there is work to hand out
  bool ending = false;  // cancelled or failed: nothing more is handed out
  Errc code = Errc::kOk;
  const char* text = "";

  // The block where the walk stands: the predecessor of the next one to save, or the next one to
  // load. Pinned.
  BlockIndex cursor = kNone;

  IntrusiveList<Job, &Job::in_transfer> jobs;
  Link<Transfer> in_registration;
  Link<Transfer> in_queue;
  std::variant<SaveWork, LoadWork> work;

  bool is_load() const { return std::holds_alternative<LoadWork>(work); }
  SaveWork& save() { return std::get<SaveWork>(work); }
  LoadWork& load() { return std::get<LoadWork>(work); }
};

}  // namespace headrace::engine
