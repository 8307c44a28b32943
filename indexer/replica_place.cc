#include "indexer/replica_place.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "indexer/api_json.h"
#include "net/address.h"

namespace headrace::indexer {
namespace {

// It stands in headers and in URLs.
bool IsAddress(const std::string& text) {
  const bool plain = std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
  const auto parsed = net::ParseHostPort(text);
  return plain && parsed && parsed->port != 0;
}

// "" when nothing is wrong.
std::string WrongConfig(const ReplicaPlace::Config& config) {
  if (config.all.empty()) {
    if (!config.self.empty()) return "replica: needs replicas, the list of all";
    if (config.first_blocks != 0) return "shardBlocks: needs replicas, who share the index";
    return "";
  }
  for (size_t i = 0; i < config.all.size(); ++i) {
    if (IsAddress(config.all[i])) continue;
    return fmt::format("replicas[{}]: \"{}\" is not HOST:PORT; write for example 10.0.0.1:9091", i,
                       config.all[i]);
  }
  if (config.self.empty()) return "replica: is missing: which of replicas this one is";
  if (std::ranges::find(config.all, config.self) == config.all.end()) {
    return fmt::format("replica: \"{}\" does not stand in replicas", config.self);
  }
  return "";
}

}  // namespace

Result<ReplicaPlace> ReplicaPlace::Create(const Config& config, std::string* message) {
  *message = WrongConfig(config);
  if (!message->empty()) return Fail(Errc::kInvalid, "the replicas are wrong");
  ReplicaPlace place;
  if (config.all.empty()) return place;
  auto map = ShardMap::Create({.replicas = config.all, .first_blocks = config.first_blocks});
  if (!map) {
    *message = fmt::format("replicas: {}", map.error().what);
    return Fail(map.error());
  }
  place.map_ = std::move(*map);
  place.self_ =
      static_cast<size_t>(std::ranges::find(config.all, config.self) - config.all.begin());
  return place;
}

const std::string* ReplicaPlace::Elsewhere(std::span<const uint64_t> keys) const {
  const ShardMap* const map = split();
  if (map == nullptr || keys.empty() || map->InStem(keys.size() - 1)) return nullptr;
  const size_t owner = map->OwnerOf(keys);
  return owner == self_ ? nullptr : &map->name(owner);
}

std::string ReplicaPlace::ListBody(const wire::HasherOptions& hash) const {
  std::string names;
  const char* comma = "";
  for (size_t i = 0; map_ && i < map_->size(); ++i) {
    names += comma;
    names += JsonText(map_->name(i));
    comma = ",";
  }
  return fmt::format(
      "{{\"replicas\":[{}],\"replica\":{},\"shardBlocks\":{},"
      "\"hash\":{{\"algorithm\":{},\"seed\":{},\"blockTokens\":{}}}}}\n",
      names, JsonText(map_ ? map_->name(self_) : ""), map_ ? map_->first_blocks() : 0,
      JsonText(wire::HashAlgoName(hash.algo)), JsonText(hash.seed.value_or("")), hash.block_tokens);
}

std::string MovedBody(const std::string& address) {
  return fmt::format("{{\"replica\":{{\"addresses\":[{}]}}}}\n", JsonText(address));
}

}  // namespace headrace::indexer
