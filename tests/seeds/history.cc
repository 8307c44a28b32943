#include "tests/seeds/history.h"

#include <memory>

#include "tests/seeds/sim_instance.h"

namespace headrace::seeds {
namespace {

wire::Layout SplitLayout(uint32_t layers, uint64_t segment, uint64_t blocks) {
  wire::Layout layout;
  layout.num_blocks = blocks;
  layout.segment_bytes = segment;
  layout.block_stride = segment;
  layout.parts = 2;
  layout.part_stride = blocks * segment;
  for (uint32_t layer = 0; layer < layers; ++layer) {
    layout.layer_offsets.push_back(layer * 2 * blocks * segment);
  }
  return layout;
}

wire::Layout PackedLayout(uint32_t layers, uint64_t segment, uint64_t blocks) {
  wire::Layout layout;
  layout.num_blocks = blocks;
  layout.segment_bytes = segment;
  layout.block_stride = segment;
  layout.parts = 1;
  for (uint32_t layer = 0; layer < layers; ++layer) {
    layout.layer_offsets.push_back(layer * blocks * segment);
  }
  return layout;
}

class History {
 public:
  explicit History(uint64_t seed) : simulation_(seed), server_(&simulation_, &coverage_, Shape()) {}

  Coverage Run();

 private:
  ServerShape Shape();
  void MakeWorkloads();
  void Spawn(size_t index);
  void ScheduleFault();
  void Fault();
  void CrashServer();
  void CrashInstance();

  Coverage coverage_;
  Simulation simulation_;
  SimServer server_;
  std::vector<Workload> workloads_;
  std::vector<std::unique_ptr<SimInstance>> instances_;
  bool faults_ = true;
};

ServerShape History::Shape() {
  ServerShape shape;
  shape.page_bytes = 16384;
  shape.pages = static_cast<uint32_t>(simulation_.Between(4, 64));
  engine::Limits& limits = shape.limits;
  limits.slice_units = static_cast<uint32_t>(simulation_.Between(1, 32));
  limits.slice_blocks = static_cast<uint32_t>(simulation_.Between(1, 8));
  limits.slice_evictions = static_cast<uint32_t>(simulation_.Between(1, 8));
  limits.slice_sweep = static_cast<uint32_t>(simulation_.Between(1, 32));
  limits.max_copies_in_flight = static_cast<uint32_t>(simulation_.Between(16, 64));
  limits.max_lease = milliseconds(simulation_.Between(10, 300));
  limits.max_transfer = milliseconds(simulation_.Between(20, 500));
  limits.max_hidden = milliseconds(simulation_.Between(5, 100));
  limits.max_hidden_blocks = static_cast<uint32_t>(simulation_.Between(4, 64));
  limits.instance_max_leased = 1e9;
  if (simulation_.Chance(120)) {
    shape.strict_leases = false;
    limits.instance_max_leased = 0.3;
    limits.max_leases_per_session = static_cast<uint32_t>(simulation_.Between(1, 6));
    limits.max_handles_per_session = static_cast<uint32_t>(simulation_.Between(1, 4));
    limits.max_requests_per_session = static_cast<uint32_t>(simulation_.Between(1, 8));
  }
  if (simulation_.Chance(150)) limits.instance_max_bytes = 16384 * simulation_.Between(1, 6);
  if (simulation_.Chance(100)) limits.instance_max_saves_per_second = simulation_.Between(50, 2000);
  return shape;
}

// Slots of 4 KiB or 8 KiB: two classes that compete for pages. One model in four is hybrid.
Workload MakeModel(Simulation* simulation) {
  constexpr uint64_t kBlocks = 40;
  Workload workload;
  workload.hash_bytes = simulation->Chance(500) ? 32 : 16;
  workload.world_size = simulation->Chance(300) ? 2 : 1;
  const uint32_t layers = static_cast<uint32_t>(simulation->Between(1, 3));
  const uint64_t segment = simulation->Chance(300) ? 5000 / (2 * layers) : 16;
  workload.groups.push_back({wire::GroupKind::kFull, 0, 0, SplitLayout(layers, segment, kBlocks)});
  if (!simulation->Chance(250)) return workload;
  const bool window = simulation->Chance(500);
  workload.groups.push_back({window ? wire::GroupKind::kWindow : wire::GroupKind::kState,
                             window ? 2u : 0u, 1, PackedLayout(layers, 24, kBlocks)});
  return workload;
}

void History::MakeWorkloads() {
  const uint64_t count = simulation_.Between(1, 3);
  for (uint64_t i = 0; i < count; ++i) {
    Workload workload = MakeModel(&simulation_);
    workload.name_space = "space-" + std::to_string(i);
    // Two namespaces with the same hashes hold different bytes.
    if (i > 0 && workload.hash_bytes == workloads_[0].hash_bytes)
      workload.chains = workloads_[0].chains;
    if (i == 0) {
      for (int chain = 0; chain < 6; ++chain) workload.Next(&simulation_);
    }
    workloads_.push_back(std::move(workload));
  }
}

void History::Spawn(size_t index) {
  Workload* workload = &workloads_[index % workloads_.size()];
  const uint32_t uid = simulation_.Chance(30) ? 1001 : 1000;
  instances_[index] = std::make_unique<SimInstance>(
      &simulation_, &coverage_, &server_, workload,
      SimInstance::Identity{"instance-" + std::to_string(index), uid});
  instances_[index]->Run();
}

void History::ScheduleFault() {
  simulation_.Soon(milliseconds(40), [this] {
    if (!faults_) return;
    Fault();
    ScheduleFault();
  });
}

void History::Fault() {
  switch (simulation_.Below(14)) {
    case 0:
      return CrashServer();
    case 1:
    case 2:
      return CrashInstance();
    case 3:
    case 4:
      if (server_.running()) server_.Freeze(milliseconds(simulation_.Between(1, 60)));
      return;
    case 5:
    case 6:
      if (server_.running()) server_.KillMover();
      return;
    default:
      for (const auto& instance : instances_) instance->CheckCanaries();
  }
}

void History::CrashServer() {
  if (!server_.running()) return;
  server_.Crash();
  simulation_.Soon(milliseconds(10), [this] {
    if (!server_.running()) server_.Start();
  });
}

void History::CrashInstance() {
  const size_t index = simulation_.Below(instances_.size());
  instances_[index]->Crash();
  instances_[index].reset();
  Spawn(index);
}

Coverage History::Run() {
  MakeWorkloads();
  server_.Start();
  instances_.resize(simulation_.Between(1, 4));
  for (size_t i = 0; i < instances_.size(); ++i) Spawn(i);
  ScheduleFault();
  const Time start = simulation_.now();
  coverage_.events += simulation_.RunUntil(start + milliseconds(simulation_.Between(60, 300)));
  faults_ = false;
  for (auto& instance : instances_) instance->Stop();
  coverage_.events += simulation_.RunUntil(simulation_.now() + seconds(1));
  for (auto& instance : instances_) {
    instance->CheckCanaries();
    instance->Disconnect();
  }
  coverage_.events += simulation_.RunUntil(simulation_.now() + seconds(2));
  server_.CheckQuiet();
  instances_.clear();
  return coverage_;
}

}  // namespace

Coverage RunHistory(uint64_t seed) {
  return History(seed).Run();
}

}  // namespace headrace::seeds
