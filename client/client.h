// The C++ client of headrace-server: one connection, made lazily and made again when it breaks.
// No call blocks longer than its deadline and none fails an engine: while the server is absent,
// frozen or restarting, queries answer "miss" and submissions answer kUnavailable at once.
//
// Any thread (one lock); no thread of its own. Completions are read inside Query, Poll and Wait.
// Fences: a load or save that was submitted owns its blocks until its Completion is returned.
// Revoke asks for them back without the server's help (wire::Gate); from a server without gates
// only its reply or its hang-up gives them back.
//
// After fork(2) the child's copy answers kUnavailable to everything and has closed its socket.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "wire/block_hash.h"
#include "wire/control.h"
#include "wire/layout.h"

namespace headrace::client {

struct ClientOptions {
  std::string endpoint;  // ipc:///path, a path, or empty: HEADRACE_ENGINE_ENDPOINT, else
                         // ipc:///tmp/headrace.sock
  std::string instance;  // empty: HEADRACE_INSTANCE_ID, else a random name
  std::string tenant;
  std::string program = "headrace-client";
  // As in the topics of the engine's own events, kv@<pod>@<model>: what the namespace holds counts
  // for these pods in an index (wire::Register). Empty: for none.
  std::vector<std::string> pods;
  std::string pods_model;
  Duration call_timeout = milliseconds(5);    // of Query
  Duration transfer_timeout = seconds(30);    // of a save or load
  Duration breaker_open = milliseconds(200);  // first pause after a failure; doubles
  Duration breaker_open_max = seconds(5);
  uint32_t gates = 1024;  // saves and loads in flight
};

// A KV buffer that the server may read and write.
struct BufferHandle {
  int fd = -1;  // not owned; duplicated by the client
  uint64_t offset = 0;
  uint64_t bytes = 0;
};

struct Registration {
  std::string name_space;
  uint32_t rank = 0;
  uint32_t world_size = 1;
  uint32_t block_tokens = 0;
  std::vector<BufferHandle> buffers;  // empty: scheduler side
  std::vector<wire::GroupSpec> groups;
};

struct QuerySpec {
  uint64_t prefix = 0;         // 0, or a prefix returned by an earlier answer
  uint32_t prefix_blocks = 0;  // how many hashes it stands for
  wire::HashList hashes;       // the hashes after it
  bool want_lease = false;
  bool want_prefix = false;
  uint32_t min_blocks = 0;
  uint32_t consumers = 1;
};
struct QueryResult {
  uint32_t hit_blocks = 0;
  uint64_t lease = 0;
  uint64_t prefix = 0;    // 0 where one was given: send all hashes next time
  Errc code = Errc::kOk;  // kUnavailable, kTimeout: a miss because nobody answered
};

using Submission = uint64_t;  // 0: none
struct Completion {
  Submission submission = 0;
  Errc code = Errc::kOk;                                      // a load is all or error
  uint32_t stored = 0, deduped = 0, refused = 0, failed = 0;  // of a save
  uint32_t loaded = 0;
  uint64_t bytes = 0;
};

struct ClientStats {
  uint64_t connects = 0, registrations = 0, epochs = 0;  // epochs: how often a new one was seen
  uint64_t queries = 0, query_timeouts = 0, query_unavailable = 0;
  uint64_t saves = 0, loads = 0, revoked = 0, late_replies = 0;
  uint64_t breaker_opens = 0;
  bool connected = false, registered = false, breaker_closed = false;
};

class Client {
 public:
  // Fails only on options that are wrong (an endpoint that is no path); never because of the
  // server.
  static Result<std::unique_ptr<Client>> Create(ClientOptions options);
  virtual ~Client() = default;

  // Remembered, and sent again by itself after every reconnect. Waits up to `wait` for the first
  // answer; kUnavailable or kTimeout still leave it remembered. One registration a client.
  // What the server refuses (any other code) is forgotten; last_refusal() is the server's text.
  virtual Status Register(const Registration& registration, Duration wait) = 0;
  virtual std::string last_refusal() = 0;
  virtual bool ready() = 0;  // connected and registered now

  // All queries of a scheduler step in one call. Never fails: every item has an answer.
  virtual void Query(std::span<const QuerySpec> items, std::span<QueryResult> results) = 0;
  virtual void Release(std::span<const uint64_t> leases) = 0;
  virtual void DropPrefixes(std::span<const uint64_t> prefixes) = 0;

  // `chains` and `blocks_by_group` as in wire::Save and wire::Load.
  virtual Result<Submission> SubmitSave(std::span<const wire::SaveChain> chains) = 0;
  virtual Result<Submission> SubmitLoad(uint64_t lease, uint32_t first, uint32_t count,
                                        const std::vector<std::vector<uint32_t>>& blocks) = 0;
  // Completions that are here, without waiting; also notices hang-ups, deadlines and fences.
  virtual size_t Poll(std::vector<Completion>* out) = 0;
  // Until one completion is here or `wait` is over. Appends at most `most`; the rest stays.
  virtual size_t Wait(Duration wait, std::vector<Completion>* out, size_t most = SIZE_MAX) = 0;
  // Sets the gate and asks the server to cancel. The Completion (kCancelled, or how it really
  // ended) comes by Poll as soon as no writer is inside, even from a frozen server.
  virtual void Revoke(Submission submission) = 0;

  // Bumps the namespace's generation: what was saved before is not found any more.
  virtual Result<uint64_t> Clear(Duration wait) = 0;
  virtual Result<bool> Purge(const wire::BlockHash& hash, Duration wait) = 0;
  virtual Result<std::string> ServerStatus(Duration wait) = 0;  // JSON

  // Revokes what runs, waits up to `wait` until nobody touches the blocks, hangs up. After it every
  // call answers as if the server were absent; Poll still returns completions. The destructor
  // closes with kCloseWait.
  static constexpr Duration kCloseWait = seconds(2);
  virtual void Close(Duration wait) = 0;

  virtual ClientStats stats() = 0;
};

}  // namespace headrace::client
