#include "net/redis_client.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/log.h"

namespace headrace::net {
namespace {

constexpr Duration kPause = milliseconds(20);  // before saying again what a server cannot do yet

struct Redirection {
  bool ask = false;
  uint16_t slot = 0;
  std::string_view address;
};

// "MOVED 3999 127.0.0.1:6381", "ASK 3999 127.0.0.1:6381".
Result<Redirection> ParseRedirection(std::string_view text) {
  Redirection found;
  found.ask = text.starts_with("ASK ");
  if (!found.ask && !text.starts_with("MOVED ")) {
    return Fail(Errc::kInvalid, "no redirection");
  }
  text.remove_prefix(text.find(' ') + 1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), found.slot);
  const auto length = static_cast<size_t>(end - text.data());
  if (error != std::errc() || found.slot >= kRedisSlots || length >= text.size() ||
      text[length] != ' ') {
    return Fail(Errc::kInvalid, "a redirection names no slot");
  }
  found.address = text.substr(length + 1);
  return found;
}

bool IsTemporary(std::string_view error) {
  return error.starts_with("TRYAGAIN ") || error.starts_with("CLUSTERDOWN ") ||
         error.starts_with("LOADING ") || error.starts_with("MASTERDOWN ") ||
         error.starts_with("READONLY ");
}

// A command that is to be sent, or sent again.
struct Todo {
  uint32_t index = 0;
  RedisConnection* node = nullptr;  // null: who has its slot
  bool asking = false;
  bool load = false;  // its script first
};

}  // namespace

struct RedisClient::Exchange {
  RedisBatch batch;
  Done done;
  Time deadline;
  RedisConnection* node = nullptr;  // the one for all
  std::vector<Todo> todo, again;
  size_t open = 0;  // parts on their way
  bool sent = false, pause = false;
  bool pinned = false;  // values view copies, not the connection's buffer
  Error failed{Errc::kOk, 0, ""};
  RedisReplies replies;
};

// What goes to one node.
struct RedisClient::Part {
  RedisConnection* node = nullptr;
  std::vector<Todo> todo;
  std::string bytes;  // empty: the whole batch as it is
  uint32_t num_replies = 0;

  void Take(const RedisBatch& batch, const Todo& one) {
    todo.push_back(one);
    RespWriter writer(&bytes);
    if (one.load) writer.Command({"SCRIPT", "LOAD", batch.script(one.index)->text()});
    if (one.asking) writer.Command({"ASKING"});
    bytes.append(batch.command(one.index));
    num_replies += 1u + (one.load ? 1u : 0u) + (one.asking ? 1u : 0u);
  }
};

const RespValue* RedisReplies::error() const {
  auto found = std::find_if(values_.begin(), values_.end(),
                            [](const RespValue& value) { return value.is_error(); });
  return found == values_.end() ? nullptr : &*found;
}

Result<std::unique_ptr<RedisClient>> RedisClient::Create(Loop* loop, RedisOptions options,
                                                         Events events, std::string* message) {
  HR_CHECK(loop != nullptr && message != nullptr);
  std::unique_ptr<TlsContext> tls;
  if (options.url.tls) {
    HR_TRY(tls, TlsContext::Create(options.tls, message));
  }
  std::unique_ptr<RedisClient> client(new RedisClient(loop));
  client->nodes_ =
      std::make_unique<RedisNodes>(loop, std::move(options), std::move(tls), std::move(events));
  return client;
}

RedisClient::~RedisClient() {
  *alive_ = false;
}

void RedisClient::Call(RedisBatch batch, Done done) {
  CallNode(nullptr, std::move(batch), std::move(done));
}

void RedisClient::CallNode(RedisConnection* node, RedisBatch batch, Done done) {
  HR_CHECK(!batch.empty() && done != nullptr);
  auto exchange = std::make_shared<Exchange>();
  exchange->batch = std::move(batch);
  exchange->done = std::move(done);
  exchange->deadline = MonotonicNow() + nodes_->options().command_timeout;
  exchange->node = node;
  exchange->todo.resize(exchange->batch.size());
  for (uint32_t i = 0; i < exchange->todo.size(); ++i) exchange->todo[i] = {i, node, false, false};
  exchange->replies.values_.resize(exchange->batch.size(), RespValue(nullptr, 0, nullptr));
  Begin(exchange);
}

// Sends what is to do, all of it or none.
void RedisClient::Begin(const ExchangePtr& exchange) {
  std::vector<Part> parts;
  if (!nodes_->up() || !Route(exchange.get(), &parts)) {
    if (nodes_->cluster()) nodes_->Refresh();
    const bool gone = exchange->failed.code != Errc::kOk || !nodes_->up();
    if (!gone && MonotonicNow() < exchange->deadline) {
      Later(exchange, kPause);  // a connection is being made
      return;
    }
    exchange->failed = exchange->sent ? Error{Errc::kGone, 0, "a node went away in the middle"}
                                      : Error{Errc::kUnavailable, 0, "no connection to the server"};
    loop_->Post([this, alive = alive_, exchange] {
      if (*alive) Finish(exchange);
    });
    return;
  }
  exchange->todo.clear();
  exchange->open = parts.size();
  exchange->pinned |= parts.size() > 1;
  for (Part& part : parts) SendPart(exchange, std::move(part));
}

// False: a node is not there; `failed` is set when it will not be soon.
bool RedisClient::Route(Exchange* exchange, std::vector<Part>* parts) {
  const bool whole = !nodes_->cluster() && !exchange->sent;
  if (whole) parts->resize(1);
  for (const Todo& one : exchange->todo) {
    RedisConnection* node = one.node;
    if (node == nullptr) node = nodes_->Owner(exchange->batch.slot(one.index));
    if (node == nullptr || !node->up()) {
      if (node != nullptr && node->failing()) {
        exchange->failed = {Errc::kUnavailable, 0, "a node does not answer"};
      }
      return false;
    }
    if (whole) {
      parts->front().node = node;
      parts->front().todo.push_back(one);
      ++parts->front().num_replies;
      continue;
    }
    auto part = std::find_if(parts->begin(), parts->end(),
                             [node](const Part& other) { return other.node == node; });
    if (part == parts->end()) {
      parts->emplace_back();
      part = parts->end() - 1;
      part->node = node;
    }
    part->Take(exchange->batch, one);
  }
  return true;
}

void RedisClient::SendPart(const ExchangePtr& exchange, Part part) {
  const std::string bytes = std::move(part.bytes);
  RedisConnection* node = part.node;
  const uint32_t num_replies = part.num_replies;
  const std::string_view whole = bytes.empty() ? exchange->batch.bytes() : bytes;
  auto sent = node->Call(
      whole, num_replies,
      [this, alive = alive_, exchange, part = std::move(part)](const Result<RespValue>& replies) {
        if (*alive) OnPart(exchange, part, replies);
      });
  if (sent) {
    exchange->sent = true;
    return;
  }
  // Other parts may be under way: then it is some of the batch that was carried out.
  exchange->failed = {exchange->sent ? Errc::kGone : sent.error().code, 0, sent.error().what};
  if (--exchange->open == 0) {
    loop_->Post([this, alive = alive_, exchange] {
      if (*alive) Finish(exchange);
    });
  }
}

bool RedisClient::IsAgain(const Exchange& exchange, const RespValue& value) const {
  if (!value.is_error() || MonotonicNow() >= exchange.deadline) return false;
  const std::string_view text = value.text();
  return text.starts_with("NOSCRIPT ") || IsTemporary(text) || ParseRedirection(text).has_value();
}

bool RedisClient::AnyAgain(const Exchange& exchange, const Part& part,
                           const RespValue& root) const {
  RespValue value = root.first();
  for (uint32_t left = part.num_replies; !IsAgain(exchange, value); value = value.next()) {
    if (--left == 0) return false;
  }
  return true;
}

void RedisClient::OnPart(const ExchangePtr& exchange, const Part& part,
                         const Result<RespValue>& replies) {
  HR_CHECK(exchange->open > 0);
  --exchange->open;
  ++counters_.round_trips;
  if (!replies) {
    exchange->failed = replies.error();
    if (exchange->open == 0) Finish(exchange);
    return;
  }
  RespValue root = *replies;
  exchange->pinned |= AnyAgain(*exchange, part, root);
  if (exchange->pinned) {
    exchange->replies.copies_.push_back(std::make_shared<RespCopy>(root));
    root = exchange->replies.copies_.back()->root();
  }
  RespValue value = root.first();
  for (size_t i = 0; i < part.todo.size(); ++i) {
    const Todo& one = part.todo[i];
    if (one.load) value = value.next();
    if (one.asking) value = value.next();
    exchange->replies.values_[one.index] = value;
    if (IsAgain(*exchange, value)) Again(exchange.get(), part, i, value.text());
    if (i + 1 < part.todo.size()) value = value.next();
  }
  if (exchange->open == 0) Next(exchange);
}

// One command of a part has to be sent again: where, and with what before it.
void RedisClient::Again(Exchange* exchange, const Part& part, size_t position,
                        std::string_view error) {
  Todo one = part.todo[position];
  ++counters_.again;
  const bool asked = std::exchange(one.asking, false);
  one.load = false;
  if (auto to = ParseRedirection(error)) {
    ++(to->ask ? counters_.asked : counters_.moved);
    one.node = nodes_->At(to->address, *part.node);
    one.asking = to->ask;
    if (one.node != nullptr && !to->ask) nodes_->Assign(to->slot, one.node);
    if (!to->ask) nodes_->Refresh();
  } else if (error.starts_with("NOSCRIPT ") && exchange->batch.script(one.index) != nullptr) {
    ++counters_.scripts_loaded;
    one.load = true;
    one.asking = asked;
    one.node = part.node;
  } else {
    if (asked) one.node = nullptr;  // the migration may be over: ask the map
    exchange->pause = true;
    nodes_->Refresh();
  }
  exchange->again.push_back(one);
}

// All parts are in: the rest again, or done.
void RedisClient::Next(const ExchangePtr& exchange) {
  if (exchange->failed.code != Errc::kOk || exchange->again.empty()) {
    Finish(exchange);
    return;
  }
  exchange->todo = std::exchange(exchange->again, {});
  if (std::exchange(exchange->pause, false)) {
    Later(exchange, kPause);
  } else {
    Begin(exchange);
  }
}

void RedisClient::Later(const ExchangePtr& exchange, Duration pause) {
  loop_->At(MonotonicNow() + pause, [this, alive = alive_, exchange] {
    if (*alive) Begin(exchange);
  });
}

void RedisClient::Finish(const ExchangePtr& exchange) {
  Done done = std::exchange(exchange->done, nullptr);
  HR_CHECK(done != nullptr);
  if (exchange->failed.code != Errc::kOk) {
    done(Fail(exchange->failed));
  } else {
    done(std::move(exchange->replies));
  }
}

}  // namespace headrace::net
