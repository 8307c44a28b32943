// Where a copy may lie ("gpu", "cpu", "disk", "remote", ...) and what a block there is worth to a
// request. Small numbers for names, so that the index and the scorer carry no strings. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::indexer {

class TierTable {
 public:
  static constexpr size_t kMaxTiers = 255;

  struct Tier {
    std::string name;  // lower case
    double weight = 0;
    bool named = false;  // by the defaults or by configuration
  };

  // gpu 1.0, cpu 0.8, disk, storage and shared_storage 0.5, remote 0.4.
  TierTable();

  // Sets or adds. REQUIRES: weight is finite and not negative.
  void Set(std::string_view name, double weight);
  // The number of a medium as events spell it: any case, "" is "gpu". A new name weighs a little
  // less than the lowest weight that somebody set. What is beyond kMaxTiers shares the last number.
  uint8_t Intern(std::string_view medium);

  double weight(uint8_t tier) const { return weights_[tier]; }
  double highest() const { return highest_; }  // of the weights that somebody set
  std::string_view name(uint8_t tier) const { return tiers_.at(tier).name; }
  size_t size() const { return tiers_.size(); }

 private:
  uint8_t NumberOf(const std::string& name);
  void Reweigh();

  std::vector<Tier> tiers_;
  std::array<double, kMaxTiers + 1> weights_{};  // by number; of unused ones, an unknown tier's
  double highest_ = 0;
};

}  // namespace headrace::indexer
