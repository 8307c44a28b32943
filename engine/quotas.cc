#include "engine/quotas.h"

#include <algorithm>
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace headrace::engine {

Quotas::Quotas(Context* context) : context_(context) {
  const size_t capacity = context->limits.max_instances;
  instances_.reserve(capacity);
  tenants_.reserve(capacity);
  free_instances_.reserve(capacity);
  free_tenants_.reserve(capacity);
  by_name_.reserve(capacity);
  tenants_by_name_.reserve(capacity);
}

TenantId Quotas::JoinTenant(std::string_view name) {
  std::string key(name);
  if (auto it = tenants_by_name_.find(key); it != tenants_by_name_.end()) {
    ++tenants_[it->second].instances;
    return it->second;
  }
  TenantId id = static_cast<TenantId>(tenants_.size());
  if (free_tenants_.empty()) {
    tenants_.emplace_back();
  } else {
    id = free_tenants_.back();
    free_tenants_.pop_back();
  }
  tenants_[id] = {key, 1, 0};
  tenants_by_name_.emplace(std::move(key), id);
  return id;
}

Result<InstanceId> Quotas::Join(std::string_view instance, std::string_view tenant) {
  if (instance.size() > wire::kMaxNameBytes || tenant.size() > wire::kMaxNameBytes) {
    return Fail(Errc::kInvalid, "instance and tenant may have 256 bytes");
  }
  std::string key;
  key.append(tenant).append(1, '\0').append(instance);
  if (auto it = by_name_.find(key); it != by_name_.end()) {
    ++instances_[it->second].refs;
    return it->second;
  }
  if (by_name_.size() >= context_->limits.max_instances) {
    ++context_->stats.limit_instances;
    ++context_->stats.limit_hits;
    return Fail(Errc::kLimit, "max-instances reached");
  }
  InstanceId id = static_cast<InstanceId>(instances_.size());
  if (free_instances_.empty()) {
    instances_.emplace_back();
  } else {
    id = free_instances_.back();
    free_instances_.pop_back();
  }
  Instance& made = instances_[id];
  made = {};
  made.tenant = JoinTenant(tenant);
  made.name_hash = static_cast<uint32_t>(XXH3_64bits(instance.data(), instance.size()));
  made.refs = 1;
  made.saves_left = static_cast<double>(context_->limits.instance_max_saves_per_second);
  made.refilled = context_->now;
  made.key = key;
  by_name_.emplace(std::move(key), id);
  return id;
}

void Quotas::Leave(InstanceId id) {
  Unref(id);
}

void Quotas::Unref(InstanceId id) {
  Instance& instance = instances_[id];
  HR_CHECK(instance.refs > 0);
  if (--instance.refs > 0) return;
  HR_CHECK(instance.bytes == 0 && instance.leased_bytes == 0);
  by_name_.erase(instance.key);
  free_instances_.push_back(id);
  Tenant& tenant = tenants_[instance.tenant];
  HR_CHECK(tenant.instances > 0);
  if (--tenant.instances > 0) return;
  HR_CHECK(tenant.bytes == 0);
  tenants_by_name_.erase(tenant.name);
  free_tenants_.push_back(instance.tenant);
}

void Quotas::Charge(InstanceId id, uint64_t bytes) {
  ++instances_[id].refs;
  instances_[id].bytes += bytes;
  tenants_[instances_[id].tenant].bytes += bytes;
}

void Quotas::Refund(InstanceId id, uint64_t bytes) {
  HR_CHECK(instances_[id].bytes >= bytes);
  instances_[id].bytes -= bytes;
  tenants_[instances_[id].tenant].bytes -= bytes;
  Unref(id);
}

void Quotas::ChargeLease(InstanceId id, uint64_t bytes) {
  ++instances_[id].refs;
  instances_[id].leased_bytes += bytes;
  context_->stats.leased_bytes += bytes;
}

void Quotas::RefundLease(InstanceId id, uint64_t bytes) {
  HR_CHECK(instances_[id].leased_bytes >= bytes);
  instances_[id].leased_bytes -= bytes;
  context_->stats.leased_bytes -= bytes;
  Unref(id);
}

Quotas::Over Quotas::OverBytes(InstanceId id, uint64_t bytes) const {
  const Instance& instance = instances_[id];
  const uint64_t instance_cap = context_->limits.instance_max_bytes;
  if (instance_cap != 0 && instance.bytes + bytes > instance_cap) return Over::kInstance;
  const uint64_t tenant_cap = context_->limits.tenant_max_bytes;
  if (tenant_cap != 0 && tenants_[instance.tenant].bytes + bytes > tenant_cap) {
    return Over::kTenant;
  }
  return Over::kNo;
}

bool Quotas::MayLease(InstanceId id, uint64_t bytes, uint64_t held) const {
  const double cap =
      context_->limits.instance_max_leased * static_cast<double>(context_->stats.ready_bytes);
  // Leases that share a prefix are counted each, so the sum may be far over what they pin.
  const uint64_t pinned = std::min(instances_[id].leased_bytes + bytes, held);
  return static_cast<double>(pinned) <= cap;
}

bool Quotas::TakeSave(InstanceId id) {
  const uint64_t rate = context_->limits.instance_max_saves_per_second;
  if (rate == 0) return true;
  Instance& instance = instances_[id];
  const double seconds_past =
      std::chrono::duration<double>(context_->now - instance.refilled).count();
  const double most = static_cast<double>(rate);  // a burst of one second
  instance.saves_left = std::min(most, instance.saves_left + seconds_past * most);
  instance.refilled = context_->now;
  if (instance.saves_left < 1) return false;
  instance.saves_left -= 1;
  return true;
}

void Quotas::GiveSaveBack(InstanceId id) {
  if (context_->limits.instance_max_saves_per_second != 0) instances_[id].saves_left += 1;
}

}  // namespace headrace::engine
