// The mover of a history: copies one run of bytes an event, in any order among jobs, and can be
// frozen between the two halves of a chunk or killed anywhere. It keeps the contract of
// transport/mover.h: one completion a ticket, sent when nothing of it will be touched any more.
// One thread.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "engine/effect.h"
#include "tests/seeds/coverage.h"
#include "tests/seeds/memory.h"
#include "tests/seeds/simulation.h"

namespace headrace::seeds {

class SimMover {
 public:
  using OnDone = std::function<void(const wire::CopyDone&)>;

  SimMover(Simulation* simulation, Coverage* coverage, std::vector<std::vector<uint8_t>>* regions,
           OnDone on_done);

  void AddBuffer(wire::BufferId id, SharedMemory memory, uint32_t group,
                 const wire::Layout& layout);
  void DropBuffer(wire::BufferId id);  // aborts when a job still needs it
  void Submit(const engine::CopyJob& job);
  void Cancel(wire::Ticket ticket);

  // Every job ends where it is; their completions say kIo.
  void Kill();
  // The whole server is gone: no completion will be delivered. A chunk that was being written is
  // torn.
  void Destroy();
  void set_frozen(bool frozen) { frozen_ = frozen; }

  bool busy() const { return !jobs_.empty(); }
  bool inside_chunk() const;
  size_t num_buffers() const { return buffers_.size(); }

 private:
  struct Buffer {
    SharedMemory memory;
    uint32_t group = 0;
    wire::Layout layout;
  };
  struct Job {
    engine::CopyJob job;
    size_t block = 0;      // next to copy
    uint32_t segment = 0;  // of that block
    bool inside = false;   // between the two halves of a chunk of a load
    bool cancelled = false;
    uint64_t bytes = 0;
  };

  void ScheduleStep();
  void Step();
  void StepJob(wire::Ticket ticket);
  bool EnterChunk(Job* job);
  void CopySegment(Job* job, uint64_t bytes);
  void LeaveChunk(Job* job);
  void Finish(wire::Ticket ticket, Errc code);
  uint32_t* GateOf(const Job& job);

  Simulation* simulation_;
  Coverage* coverage_;
  std::vector<std::vector<uint8_t>>* regions_;
  OnDone on_done_;
  std::map<wire::BufferId, Buffer> buffers_;
  std::map<wire::Ticket, Job> jobs_;
  bool frozen_ = false;
  bool step_scheduled_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace headrace::seeds
