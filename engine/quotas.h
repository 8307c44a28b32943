// Instances and tenants: what each holds, and whether it may have more. An instance is an engine
// deployment by its name within a tenant; it lives while a session, a slot or a lease names it.
// The core's thread.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/context.h"
#include "engine/types.h"

namespace headrace::engine {

using TenantId = uint32_t;

class Quotas {
 public:
  explicit Quotas(Context* context);

  // One more session of this instance. Fails with kLimit at max_instances.
  Result<InstanceId> Join(std::string_view instance, std::string_view tenant);
  void Leave(InstanceId id);

  // Bytes of slots that the instance wrote.
  void Charge(InstanceId id, uint64_t bytes);
  void Refund(InstanceId id, uint64_t bytes);
  // Bytes under leases of the instance.
  void ChargeLease(InstanceId id, uint64_t bytes);
  void RefundLease(InstanceId id, uint64_t bytes);

  enum class Over : uint8_t { kNo, kInstance, kTenant };
  // Whether `bytes` more would pass a cap.
  Over OverBytes(InstanceId id, uint64_t bytes) const;
  // Whether the instance may lease so many bytes more; `held` bounds what it can hold at all.
  bool MayLease(InstanceId id, uint64_t bytes, uint64_t held) const;
  // Takes one block from the instance's saves a second; false when there is none left now.
  bool TakeSave(InstanceId id);
  void GiveSaveBack(InstanceId id);

  TenantId tenant_of(InstanceId id) const { return instances_[id].tenant; }
  uint32_t name_hash(InstanceId id) const { return instances_[id].name_hash; }
  uint64_t bytes(InstanceId id) const { return instances_[id].bytes; }
  uint64_t leased_bytes(InstanceId id) const { return instances_[id].leased_bytes; }
  size_t size() const { return by_name_.size(); }

 private:
  struct Instance {
    std::string key;  // tenant, a zero byte, name
    TenantId tenant = 0;
    uint32_t name_hash = 0;
    uint64_t refs = 0;  // sessions, slots and leases
    uint64_t bytes = 0;
    uint64_t leased_bytes = 0;
    double saves_left = 0;
    Time refilled{};
  };
  struct Tenant {
    std::string name;
    uint64_t instances = 0;
    uint64_t bytes = 0;
  };

  TenantId JoinTenant(std::string_view name);
  void Unref(InstanceId id);

  Context* context_;
  std::vector<Instance> instances_;
  std::vector<InstanceId> free_instances_;
  std::unordered_map<std::string, InstanceId> by_name_;
  std::vector<Tenant> tenants_;
  std::vector<TenantId> free_tenants_;
  std::unordered_map<std::string, TenantId> tenants_by_name_;
};

}  // namespace headrace::engine
