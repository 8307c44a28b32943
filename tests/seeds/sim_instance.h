// One engine deployment of a history: a scheduler and its ranks, each with a connection. It asks
// for prefixes, loads what it finds, computes the rest, saves it, changes its mind, crashes. It
// checks every loaded byte, and that nobody writes a block that it was given back. One thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/seeds/sim_server.h"

namespace headrace::seeds {

using Chain = std::vector<wire::BlockHash>;

// The sequences that the instances of one namespace work on: a growing tree of prefixes.
struct Workload {
  std::string name_space;
  uint8_t hash_bytes = 32;
  uint32_t world_size = 1;
  std::vector<wire::GroupSpec> groups;  // layouts without buffers' contents
  std::vector<Chain> chains;

  Chain Next(Simulation* simulation);  // an old prefix with new blocks behind it
};

class SimInstance {
 public:
  struct Identity {
    std::string instance;
    uint32_t uid = 0;
  };

  SimInstance(Simulation* simulation, Coverage* coverage, SimServer* server, Workload* workload,
              Identity identity);
  ~SimInstance();

  void Run();         // starts acting; goes on until Stop
  void Stop();        // no new requests
  void Disconnect();  // hangs up everywhere
  void Crash();       // at once, whatever is in flight

  void CheckCanaries() const;

 private:
  class Rank;
  struct Request;
  class Scheduler;

  void Act();
  void Connect();
  bool ready() const;
  void StartRequest();
  void OnAnswer(uint64_t request, const wire::QueryAnswer& answer);
  void LoadHit(uint64_t id, Request* request);
  void OnLoaded(uint64_t request);
  void SaveRest(Request* request);
  void SaveOnRank(Request* request, Rank* rank, uint32_t first, uint32_t count);
  void Mischief();

  Simulation* simulation_;
  Coverage* coverage_;
  SimServer* server_;
  Workload* workload_;
  Identity identity_;
  bool acting_ = false;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<std::unique_ptr<Rank>> ranks_;
  std::map<uint64_t, std::unique_ptr<Request>> requests_;
  uint64_t next_request_ = 1;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace headrace::seeds
