#include "indexer/tiers.h"

#include <algorithm>
#include <cmath>

#include "base/result.h"

namespace headrace::indexer {
namespace {

constexpr double kUnknownShare = 0.9;  // of the lowest weight that somebody set

std::string Spelled(std::string_view medium) {
  if (medium.empty()) return "gpu";
  std::string name(medium);
  for (char& letter : name) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return name;
}

}  // namespace

TierTable::TierTable() {
  Set("gpu", 1.0);
  Set("cpu", 0.8);
  Set("disk", 0.5);
  Set("storage", 0.5);
  Set("shared_storage", 0.5);
  Set("remote", 0.4);
}

void TierTable::Set(std::string_view name, double weight) {
  HR_CHECK(std::isfinite(weight) && weight >= 0);
  Tier& tier = tiers_[NumberOf(Spelled(name))];
  tier.weight = weight;
  tier.named = true;
  Reweigh();
}

uint8_t TierTable::Intern(std::string_view medium) {
  const uint8_t tier = NumberOf(Spelled(medium));
  Reweigh();
  return tier;
}

uint8_t TierTable::NumberOf(const std::string& name) {
  const auto at = std::find_if(tiers_.begin(), tiers_.end(),
                               [&](const Tier& tier) { return tier.name == name; });
  if (at != tiers_.end()) return static_cast<uint8_t>(at - tiers_.begin());
  if (tiers_.size() < kMaxTiers) {
    // The last one is for all that come too late.
    tiers_.push_back({tiers_.size() + 1 == kMaxTiers ? "other" : name, 0, false});
  }
  return static_cast<uint8_t>(tiers_.size() - 1);
}

void TierTable::Reweigh() {
  double lowest = HUGE_VAL;
  highest_ = 0;
  for (const Tier& tier : tiers_) {
    if (!tier.named) continue;
    lowest = std::min(lowest, tier.weight);
    highest_ = std::max(highest_, tier.weight);
  }
  const double unknown = std::isfinite(lowest) ? lowest * kUnknownShare : 0;
  weights_.fill(unknown);
  for (size_t i = 0; i < tiers_.size(); ++i) {
    if (!tiers_[i].named) tiers_[i].weight = unknown;
    weights_[i] = tiers_[i].weight;
  }
}

}  // namespace headrace::indexer
