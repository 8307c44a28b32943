#include "net/redis_nodes.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace headrace::net {
namespace {

constexpr Duration kRefreshPause = milliseconds(100);

std::string Address(const StreamTarget& target) {
  return target.host.empty() ? target.path : fmt::format("{}:{}", target.host, target.port);
}

}  // namespace

RedisNodes::RedisNodes(Loop* loop, RedisOptions options, std::unique_ptr<TlsContext> tls,
                       Events events)
    : loop_(loop), options_(std::move(options)), tls_(std::move(tls)), events_(std::move(events)) {
  HR_CHECK(events_.up && events_.down);
  if (!options_.url.path.empty()) Node({"", 0, options_.url.path});
  for (const HostPort& host : options_.url.hosts) Node({host.host, host.port, ""});
  HR_CHECK(!nodes_.empty());
}

RedisNodes::~RedisNodes() {
  loop_->CancelTimer(refresh_timer_);
}

std::string RedisNodes::trouble() const {
  if (ready_) return {};
  if (!refusal_.empty()) return refusal_;
  for (const auto& [address, node] : nodes_) {
    if (!node->trouble().empty()) return fmt::format("{}: {}", address, node->trouble());
  }
  return "asking who has which slots";
}

RedisConnection* RedisNodes::Node(const StreamTarget& target) {
  std::unique_ptr<RedisConnection>& node = nodes_[Address(target)];
  if (node == nullptr) {
    auto self = std::make_shared<RedisConnection*>(nullptr);  // it calls only later
    node = std::make_unique<RedisConnection>(
        loop_, &options_, target, tls_.get(),
        RedisConnection::Events{[this, self](bool restarted) { OnUp(*self, restarted); },
                                [this](const Error& error) { OnDown(error); }});
    *self = node.get();
  }
  return node.get();
}

void RedisNodes::OnUp(RedisConnection* node, bool restarted) {
  lost_ |= restarted;
  if (mode_ == Mode::kSingle) {
    SetReady(true);
  } else {
    Ask(node);
  }
}

void RedisNodes::OnDown(const Error& error) {
  const bool any = std::any_of(nodes_.begin(), nodes_.end(),
                               [](const auto& entry) { return entry.second->up(); });
  if (any) {
    Refresh();
    return;
  }
  if (std::exchange(ready_, false)) events_.down(error);
}

void RedisNodes::Refresh() {
  if (refresh_timer_ != 0 || asking_ || mode_ == Mode::kSingle) return;
  refresh_timer_ = loop_->At(MonotonicNow() + kRefreshPause, [this] {
    refresh_timer_ = 0;
    for (auto& [address, node] : nodes_) {
      if (!node->up()) continue;
      Ask(node.get());
      return;
    }
  });
}

void RedisNodes::Ask(RedisConnection* node) {
  if (asking_) return;
  std::string command;
  RespWriter(&command).Command({"CLUSTER", "SLOTS"});
  auto sent = node->Call(command, 1, [this, node](const Result<RespValue>& replies) {
    asking_ = false;
    OnSlots(node, replies);
  });
  asking_ = sent.has_value();
}

void RedisNodes::OnSlots(RedisConnection* node, const Result<RespValue>& replies) {
  if (!replies) return;  // the connection broke: the next that comes up is asked
  const RespValue slots = replies->first();
  if (slots.is_error() && slots.text().starts_with("LOADING ")) {
    Refresh();
    return;
  }
  if (slots.is_error() && mode_ != Mode::kCluster) {
    if (nodes_.size() > 1) {
      refusal_ = "several hosts are named, but they are no Cluster";
      HR_ERROR("redis: {}", refusal_);
      return;
    }
    mode_ = Mode::kSingle;
    owners_.fill(node);
    SetReady(true);
    return;
  }
  if (options_.url.database != 0) {
    refusal_ = "a Cluster has no database but 0";
    HR_ERROR("redis: {}", refusal_);
    return;
  }
  if (!ReadSlots(slots, *node)) {
    Refresh();  // not all slots have an owner yet
    return;
  }
  mode_ = Mode::kCluster;
  SetReady(lost_);
}

// One range of the map: [first, last, [host, port, ...], replicas...]. False: it is none.
bool RedisNodes::ReadRange(const RespValue& range, const RedisConnection& from, Owned* owners) {
  if (range.size() < 3 || range[2].size() < 2) return false;
  const int64_t low = range[0].integer();
  const int64_t high = range[1].integer();
  if (low < 0 || high >= int64_t{kRedisSlots} || low > high) return false;
  const RespValue master = range[2];
  RedisConnection* node = At(fmt::format("{}:{}", master[0].text(), master[1].integer()), from);
  if (node == nullptr) return false;
  std::fill(owners->begin() + low, owners->begin() + high + 1, node);
  return true;
}

// The whole map. False: it has holes.
bool RedisNodes::ReadSlots(const RespValue& slots, const RedisConnection& from) {
  Owned owners{};
  if (slots.size() == 0) return false;
  RespValue range = slots.first();
  for (size_t i = 0; i < slots.size(); ++i) {
    if (!ReadRange(range, from, &owners)) return false;
    if (i + 1 < slots.size()) range = range.next();
  }
  if (std::find(owners.begin(), owners.end(), nullptr) != owners.end()) return false;
  for (size_t slot = 0; slot < kRedisSlots; ++slot) {
    // A replica took over: it may not have had the last writes.
    if (owners_[slot] != nullptr && owners_[slot] != owners[slot]) lost_ |= !owners_[slot]->up();
  }
  owners_ = owners;
  return true;
}

// `tell`: also when it was ready before.
void RedisNodes::SetReady(bool tell) {
  if (!std::exchange(ready_, true)) tell = true;
  if (tell) events_.up(std::exchange(lost_, false));
}

RedisConnection* RedisNodes::Owner(uint16_t slot) {
  HR_CHECK(slot < kRedisSlots);
  return owners_[slot];
}

RedisConnection* RedisNodes::At(std::string_view address, const RedisConnection& from) {
  std::string full(address);
  if (address.starts_with(':') || address.starts_with("?:")) {
    full = from.target().host + std::string(address.substr(address.find(':')));
  }
  const size_t colon = full.rfind(':');
  if (colon != std::string::npos && full.find(':') != colon && full[0] != '[') {
    full = fmt::format("[{}]{}", full.substr(0, colon), full.substr(colon));  // bare IPv6
  }
  auto parsed = ParseHostPort(full);
  if (!parsed || parsed->port == 0) {
    HR_WARN("redis: a Cluster names the node \"{}\", which is no address", address);
    return nullptr;
  }
  return Node({parsed->host, parsed->port, ""});
}

void RedisNodes::Assign(uint16_t slot, RedisConnection* node) {
  HR_CHECK(slot < kRedisSlots && node != nullptr);
  owners_[slot] = node;
}

std::vector<RedisConnection*> RedisNodes::Owners() {
  std::vector<RedisConnection*> found(owners_.begin(), owners_.end());
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  std::erase(found, nullptr);
  return found;
}

uint64_t RedisNodes::reconnects() const {
  uint64_t sum = 0;
  for (const auto& [address, node] : nodes_) sum += node->reconnects();
  return sum;
}

}  // namespace headrace::net
