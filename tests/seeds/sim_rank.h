// The worker side of an instance in a history: one connection with buffers and gates, and the rules
// by which an engine may use its blocks again. Its scheduler side shares the connection code.
// One thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/seeds/sim_server.h"
#include "wire/control.h"

namespace headrace::seeds {

// A connection that registers and is made again after a hang-up.
class Connection : public Peer {
 public:
  Connection(Simulation* simulation, Coverage* coverage, SimServer* server);
  ~Connection() override;

  void Open(const std::string& instance, uint32_t uid);
  void Close();
  bool registered() const { return registration_ != 0; }
  bool open() const { return session_ != 0; }
  bool refused() const { return refused_; }

  void OnReply(const std::string& payload) override;
  void OnHangUp() override;

 protected:
  virtual wire::Register Registration() = 0;
  virtual SharedMemory Memory() { return nullptr; }
  virtual void OnBody(uint64_t id, Errc code, const wire::ReplyBody& body) = 0;
  virtual void OnLost() = 0;  // no answer will come any more, and nobody writes any more

  uint64_t SendRequest(wire::Request body);  // returns the id

  Simulation* simulation_;
  Coverage* coverage_;
  SimServer* server_;
  engine::SessionId session_ = 0;
  uint32_t registration_ = 0;
  bool refused_ = false;
  uint64_t next_id_ = 1;
  uint64_t register_id_ = 0;
};

struct RankShape {
  std::string name_space;
  uint32_t rank = 0;
  uint32_t world_size = 1;
  std::vector<wire::GroupSpec> groups;
  uint32_t gates = 8;
};

class SimRank : public Connection {
 public:
  SimRank(Simulation* simulation, Coverage* coverage, SimServer* server, RankShape shape);
  ~SimRank() override { *alive_ = false; }

  // Blocks of every group, taken from the free ones; fewer than `count` when they run out.
  struct Blocks {
    std::vector<std::vector<uint32_t>> by_group;
    uint32_t count = 0;
  };
  std::optional<Blocks> Take(uint32_t count);
  void Give(const Blocks& blocks);

  // Positions [first, first + count) of `chain` under a lease; `done(ok)` once, never after a
  // crash.
  void Load(const std::vector<wire::BlockHash>& chain, uint64_t lease, uint32_t first,
            uint32_t count, std::function<void(bool ok)> done);
  // Computes the blocks (writes their right bytes) and saves them.
  void Save(const std::vector<wire::BlockHash>& chain, uint32_t first, uint32_t count,
            std::function<void()> done);
  // Takes the blocks of a random running submission back.
  void RevokeOne();

  void CheckCanaries() const;
  bool idle() const { return submissions_.empty(); }

 protected:
  wire::Register Registration() override;
  SharedMemory Memory() override { return memory_; }
  void OnBody(uint64_t id, Errc code, const wire::ReplyBody& body) override;
  void OnLost() override;

 private:
  struct Submission {
    bool load = false;
    bool revoked = false;     // asked for back
    bool given_back = false;  // the blocks are in use for something else already
    uint32_t gate = 0;
    Blocks blocks;
    std::vector<wire::BlockHash> chain;
    uint32_t first = 0;
    std::function<void(bool)> done;
  };

  void NewMemory();
  std::optional<uint32_t> TakeGate();
  uint64_t Track(wire::Request body, Submission submission);
  void AwaitFence(uint64_t id);
  void Finish(Submission* submission, bool ok);
  void VerifyLoaded(const Submission& submission);
  bool WantsPart(uint32_t group, uint32_t position, uint32_t end) const;

  RankShape shape_;
  SharedMemory memory_;
  std::vector<std::vector<uint32_t>> free_;  // by group
  std::vector<bool> gate_taken_;
  std::map<uint64_t, Submission> submissions_;  // by request id
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace headrace::seeds
