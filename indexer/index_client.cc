#include "indexer/index_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "net/http_client.h"

namespace headrace::indexer {
namespace {

constexpr int kOk = 200;
constexpr int kMovedHere = 307;
constexpr int kUnauthorized = 401;
constexpr int kForbidden = 403;
constexpr int kServerFails = 500;  // and all above: another one may do better

}  // namespace

Result<IndexClient> IndexClient::Create(Options options) {
  if (options.replicas.empty()) return Fail(Errc::kInvalid, "no index replica is named");
  return IndexClient(std::move(options));
}

bool IndexClient::LearnFrom(const std::string& address) {
  const net::HttpCall call{
      .method = "GET", .target = "/v1/index/replicas", .body = "", .bearer = options_.token};
  const auto reply = net::HttpAsk(address, call, {options_.timeout, kMaxAnswerBytes});
  if (!reply || reply->status != kOk) return false;
  auto list = ParseReplicaList(reply->body);
  if (!list) return false;
  map_.reset();
  keys_.reset();
  hash_ = list->hash;
  if (list->addresses.empty()) return true;
  auto map = ShardMap::Create({list->addresses, list->first_blocks});
  if (!map) return false;
  options_.replicas = std::move(list->addresses);
  map_ = std::move(*map);
  return true;
}

void IndexClient::Learn() {
  const std::vector<std::string> known = options_.replicas;
  learnt_ = std::any_of(known.begin(), known.end(),
                        [this](const std::string& address) { return LearnFrom(address); });
}

// False: a replica has to make tokens of it first, or nobody but a replica knows.
bool IndexClient::OwnersOf(const ScoreCall& call, std::vector<std::string>* owners) {
  if (!map_ || map_->whole() || call.input != ScoreCall::Input::kTokens) return false;
  if (keys_ == nullptr) {
    auto made = IngestKeys::Create(hash_);
    if (!made) return false;
    keys_ = std::move(*made);
  }
  const size_t deciding = size_t{map_->first_blocks()} * hash_.block_tokens;
  const std::span<const uint32_t> tokens(call.tokens);
  std::vector<RequestKey> keys;
  const auto head = tokens.first(std::min(deciding, tokens.size()));
  if (!keys_->PromptKeys(call.model, call.extras, head, &keys)) {
    keys_.reset();  // too many models: all are forgotten
    return false;
  }
  std::vector<size_t> places;
  map_->Ask(keys, &places);
  for (const size_t place : places) owners->push_back(map_->name(place));
  return !owners->empty();
}

std::vector<std::string> IndexClient::Order(const ScoreCall& call) {
  std::vector<std::string> order;
  if (OwnersOf(call, &order)) return order;
  order = options_.replicas;
  std::rotate(order.begin(), order.begin() + static_cast<ptrdiff_t>(first_ % order.size()),
              order.end());
  return order;
}

IndexClient::Reply IndexClient::Ask(const std::string& address, const std::string& body,
                                    std::string* message) {
  ++counters_.asked;
  const net::HttpCall call{
      .method = "POST", .target = "/v1/score", .body = body, .bearer = options_.token};
  const auto reply = net::HttpAsk(address, call, {options_.timeout, kMaxAnswerBytes});
  Reply outcome;
  if (!reply) {
    ++counters_.unreachable;
    *message = fmt::format("{}: {}", address, reply.error().what);
    return outcome;
  }
  if (reply->status == kMovedHere) {
    auto others = ParseOtherReplicas(reply->body);
    ++counters_.moved;
    *message = fmt::format("{} says that another has it, and not who", address);
    if (others) {
      outcome.outcome = Outcome::kMoved;
      outcome.others = std::move(*others);
    }
    return outcome;
  }
  if (reply->status == kOk) {
    auto answer = ParseScoreAnswer(reply->body);
    *message = fmt::format("{}: {}", address, answer ? "" : answer.error().what);
    if (!answer) return outcome;
    outcome.outcome = Outcome::kAnswered;
    outcome.answer = std::move(*answer);
    return outcome;
  }
  *message = fmt::format("{} answers {} {}", address, reply->status, ErrorText(reply->body));
  if (reply->status >= kServerFails) return outcome;
  const bool closed = reply->status == kUnauthorized || reply->status == kForbidden;
  outcome.outcome = Outcome::kRefused;
  outcome.why = closed ? Errc::kPermission : Errc::kInvalid;
  return outcome;
}

Result<ScoreAnswer> IndexClient::AskInOrder(std::vector<std::string> order, const std::string& body,
                                            std::string* message) {
  std::vector<ScoreAnswer> answers;
  int moves = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    Reply reply = Ask(order[i], body, message);
    if (reply.outcome == Outcome::kRefused) {
      return Fail(reply.why, "the question is refused");
    }
    if (reply.outcome == Outcome::kMoved) {
      learnt_ = false;  // what is known of the split is not so any more, or was never
      if (++moves > kMaxMoves) break;
      order = std::move(reply.others);  // only they can know
      i = static_cast<size_t>(-1);
      continue;
    }
    if (reply.outcome != Outcome::kAnswered) continue;
    const auto place = std::find(options_.replicas.begin(), options_.replicas.end(), order[i]);
    if (place != options_.replicas.end()) {
      first_ = static_cast<size_t>(place - options_.replicas.begin());
    }
    answers.push_back(std::move(reply.answer));
    const bool merges = options_.ask_all && (!map_ || map_->whole());
    if (!merges) break;
  }
  if (answers.empty()) return Fail(Errc::kUnavailable, "no replica that could know answers");
  return MergeScores(answers);
}

Result<ScoreAnswer> IndexClient::Score(const ScoreCall& call, std::string* message) {
  const auto body = ScoreQuestion(call);
  if (!body) {
    *message = body.error().what;
    return Fail(body.error());
  }
  if (!learnt_) Learn();
  return AskInOrder(Order(call), *body, message);
}

}  // namespace headrace::indexer
