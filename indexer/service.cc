#include "indexer/service.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/hex.h"
#include "base/time.h"

namespace headrace::indexer {
namespace {

constexpr int kMoved = 307;
constexpr int kForbidden = 403;
constexpr int kNotFound = 404;
constexpr int kNotHere = 501;
constexpr int kBusy = 503;
constexpr const char* kSaltField = "extra.cache_salt";
constexpr const char* kLlmdSaltField = "cache_salt";

// Decimal, or hexadecimal behind 0x: how events and people write hashes.
std::optional<uint64_t> ParseHash(std::string_view text) {
  if (!text.starts_with("0x")) {
    const auto number = ParseNumber(text);
    return number ? std::optional(*number) : std::nullopt;
  }
  text.remove_prefix(2);
  if (text.empty() || text.size() > 16) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    const int digit = HexDigit(c);
    if (digit < 0) return std::nullopt;
    value = value << 4 | static_cast<uint64_t>(digit);
  }
  return value;
}

ApiReply OnlyForAll() {
  return IndexService::Refusal(
      {kForbidden, "",
       "this token is for scores with its own salt; a token without a salt is needed"});
}

// 64-bit numbers are texts: many readers of JSON keep only 53 bits of a number.
std::string BlockBody(const NamedBlock& block) {
  std::string text = fmt::format("{{\"key\":\"{}\",\"engine\":", block.key);
  text += block.engine == 0 ? "null" : fmt::format("\"{}\"", block.engine);
  text += ",\"holders\":[";
  const char* comma = "";
  for (const NamedHolder& holder : block.holders) {
    text += fmt::format("{}{{\"pod\":{},\"tier\":{}", comma, JsonText(holder.pod),
                        JsonText(holder.tier));
    if (holder.group >= 0) text += fmt::format(",\"group\":{}", holder.group);
    if (holder.speculative) text += ",\"speculative\":true";
    text += '}';
    comma = ",";
  }
  return text + "]}";
}

std::string BlocksBody(const std::vector<NamedBlock>& blocks) {
  std::string text = "\"blocks\":[";
  const char* comma = "";
  for (const NamedBlock& block : blocks) {
    text += comma;
    text += BlockBody(block);
    comma = ",";
  }
  return text + "]";
}

// An error without a message is none.
ApiError AnnounceTo(FleetIndex* fleet, const ScoreCall& call, std::span<const RequestKey> keys) {
  const Status announced = fleet->Announce(
      {.pod = call.pod, .tier = call.tier, .keys = keys, .ttl = call.ttl}, MonotonicNow());
  if (announced) return {};
  if (announced.error().code == Errc::kLimit) {
    return {kBusy, "", "too many speculative entries (--index-max-speculative); try again"};
  }
  return {kNotFound, "pod", fmt::format("there is no pod \"{}\"", call.pod)};
}

}  // namespace

IndexService::IndexService(const Options& options, std::unique_ptr<ModelTexts> texts, Ask ask,
                           ServiceObserver* observer)
    : options_(options),
      texts_(std::move(texts)),
      ask_(std::move(ask)),
      observer_(observer),
      keys_(options.threads),
      workers_(options.threads, options.max_waiting) {
  HR_CHECK(texts_ != nullptr && ask_ != nullptr && options_.wall_seconds != nullptr);
}

IndexService::Read IndexService::ReadBody(Dialect dialect, std::string body) const {
  return [dialect, body = std::move(body), limits = options_.limits](ScoreCall* call,
                                                                     ApiError* error) {
    auto read = ParseScoreCall(body, dialect, limits, error);
    if (read) *call = std::move(*read);
    return read.has_value();
  };
}

ApiReply IndexService::Refusal(const ApiError& error) {
  if (error.status == kMoved) return {kMoved, MovedBody(error.owner), error.owner};
  return {error.status, ErrorBody(error)};
}

void IndexService::Score(Dialect dialect, const Grant& grant, std::string body,
                         const Answer& answer) {
  HR_CHECK(answer != nullptr && dialect != Dialect::kAnnounce);
  const bool ours = dialect == Dialect::kHeadrace;
  ScoreBy(grant, ours ? kSaltField : kLlmdSaltField, ReadBody(dialect, std::move(body)),
          [answer, ours](const ApiError* error, const ScoreAnswer& scores) {
            if (error != nullptr) return answer(Refusal(*error));
            answer({200, ours ? ScoreBody(scores) : LlmdScoreBody(scores)});
          });
}

void IndexService::ScoreBy(const Grant& grant, const char* salt_field, Read read, Done done) {
  HR_CHECK(read != nullptr && done != nullptr);
  auto job = std::make_shared<Job>();
  job->grant = grant;
  job->salt_field = salt_field;
  job->read = std::move(read);
  job->done = std::move(done);
  Begin(job, [this, job](FleetIndex* fleet) {
    const Time begin = MonotonicNow();
    fleet->ScoreThen(job->keys, job->call.pods,
                     [this, job, fleet, begin](Result<std::vector<NamedScore>> scores) {
                       if (scores) return OnScored(job, begin, std::move(*scores));
                       const ApiError error{kBusy, "", fleet->WhyNot(scores.error())};
                       workers_.Continue([job, error](uint32_t) { job->done(&error, {}); });
                     });
  });
}

void IndexService::OnScored(const std::shared_ptr<Job>& job, Time begin,
                            std::vector<NamedScore> scores) {
  job->answer.pods = std::move(scores);
  if (observer_ != nullptr) {
    observer_->Scored(std::chrono::duration<double>(MonotonicNow() - begin).count());
  }
  workers_.Continue([job](uint32_t) { job->done(nullptr, job->answer); });
}

void IndexService::Announce(const Grant& grant, std::string body, const Answer& answer) {
  HR_CHECK(answer != nullptr);
  if (!grant.everything) return answer(OnlyForAll());
  auto job = std::make_shared<Job>();
  job->grant = grant;
  job->salt_field = kSaltField;
  job->read = ReadBody(Dialect::kAnnounce, std::move(body));
  job->done = [answer](const ApiError* error, const ScoreAnswer& announced) {
    if (error != nullptr) return answer(Refusal(*error));
    answer({200, fmt::format("{{\"model\":{},\"tokens\":{},\"blocks\":{}}}\n",
                             JsonText(announced.model), announced.tokens, announced.blocks)});
  };
  Begin(job, [this, job](FleetIndex* fleet) {
    const ApiError error = AnnounceTo(fleet, job->call, job->keys);
    workers_.Continue([job, error](uint32_t) {
      job->done(error.message.empty() ? nullptr : &error, job->answer);
    });
  });
}

void IndexService::Begin(const std::shared_ptr<Job>& job, AskJob ask) {
  const bool taken = workers_.TryPost([this, job, ask = std::move(ask)](uint32_t worker) {
    ApiError error;
    if (Prepare(job.get(), worker, &error)) return ask_(ask);
    job->done(&error, {});
  });
  if (taken) return;
  const ApiError busy{kBusy, "", "too many requests wait here (--index-max-waiting); try again"};
  job->done(&busy, {});
}

bool IndexService::Prepare(Job* job, uint32_t worker, ApiError* error) {
  if (!job->read(&job->call, error)) return false;
  job->read = nullptr;  // the body goes
  const Grant& grant = job->grant;
  if (!grant.everything && job->call.extras.salt != grant.salt) {
    *error = {kForbidden, job->salt_field, "must be the salt of the token that asks"};
    return false;
  }
  ModelTexts::Effort effort;
  if (!texts_->Tokenize(&job->call, options_.wall_seconds(), &effort, error)) return false;
  const std::string& model = job->call.model;
  if (observer_ != nullptr && job->call.input == ScoreCall::Input::kMessages) {
    observer_->Rendered(model, effort.render_seconds);
  }
  if (observer_ != nullptr && job->call.input != ScoreCall::Input::kTokens) {
    observer_->Tokenized(model, job->call.tokens.size(), effort.tokenize_seconds);
  }
  return MakeKeys(job, worker, error) && IsHere(*job, error);
}

// A replica of a split index knows nothing of others' prompts, and "nobody holds it" would be
// wrong.
bool IndexService::IsHere(const Job& job, ApiError* error) {
  const std::string* const owner = options_.place.Elsewhere(job.keys);
  if (owner == nullptr) return true;
  ++moved_;
  *error = {kMoved, "", fmt::format("the replica {} has this prompt; ask it", *owner), *owner};
  return false;
}

bool IndexService::MakeKeys(Job* job, uint32_t worker, ApiError* error) {
  HR_CHECK(worker < keys_.size());
  std::unique_ptr<IngestKeys>& keys = keys_[worker];
  const ScoreCall& call = job->call;
  const std::string& name = call.extras.lora ? call.extras.lora->name : call.model;
  if (name.size() > IngestKeys::kMaxModelBytes) {
    *error = {
        400, call.extras.lora ? "extra.lora" : "model",
        fmt::format("has {} bytes; at most {} may be", name.size(), IngestKeys::kMaxModelBytes)};
    return false;
  }
  // Whoever asks makes up names: when there are too many of them, all are forgotten.
  for (int attempt = 0; attempt < 2; ++attempt) {
    if (keys == nullptr) {
      auto made = IngestKeys::Create(options_.hash);
      HR_CHECK(made.has_value());
      keys = std::move(*made);
    }
    if (keys->PromptKeys(call.model, call.extras, call.tokens, &job->keys)) break;
    HR_CHECK(attempt == 0);
    keys.reset();
  }
  job->answer.model = call.model;
  job->answer.tokens = call.tokens.size();
  job->answer.blocks = job->keys.size();
  return true;
}

void IndexService::WriteLater(std::function<ApiReply()> write, Answer answer) {
  HR_CHECK(write != nullptr && answer != nullptr);
  workers_.Continue(
      [write = std::move(write), answer = std::move(answer)](uint32_t) { answer(write()); });
}

void IndexService::Lookup(const Grant& grant, const Query& query, const Answer& answer) {
  if (!grant.everything) return answer(OnlyForAll());
  const bool by_key = query.contains("key");
  if (by_key == query.contains("hash")) {
    return answer(Refusal({400, "key", "either key or hash is needed"}));
  }
  const std::string field = by_key ? "key" : "hash";
  const auto number = ParseHash(query.at(field));
  if (!number) {
    return answer(Refusal({400, field, "must be a number below 2^64, or 0x and 1 to 16 digits"}));
  }
  const auto model = query.find("model");
  if (!by_key && (model == query.end() || model->second.empty())) {
    return answer(Refusal({400, "model", "is missing: an engine's hash belongs to a model"}));
  }
  std::string name = by_key ? "" : model->second;
  ask_([this, answer, by_key, number = *number, name = std::move(name)](FleetIndex* fleet) {
    const auto done = [this, answer, fleet](Result<std::vector<NamedBlock>> blocks) {
      if (!blocks) return answer(Refusal({kBusy, "", fleet->WhyNot(blocks.error())}));
      workers_.Continue([answer, blocks = std::move(*blocks)](uint32_t) {
        answer({200, fmt::format("{{{}}}\n", BlocksBody(blocks))});
      });
    };
    if (by_key) {
      fleet->BlockThen(number, done);
    } else {
      fleet->BlocksOfThen(name, number, done);
    }
  });
}

void IndexService::Dump(const Grant& grant, const Query& query, const Answer& answer) {
  if (!grant.everything) return answer(OnlyForAll());
  uint64_t cursor = 0;
  uint64_t limit = kMaxPage;
  for (const auto& [name, value] : query) {
    const bool is_cursor = name == "cursor";
    if (!is_cursor && name != "limit") {
      return answer(Refusal({400, name, "is no parameter here; they are cursor and limit"}));
    }
    const auto number = ParseNumber(value);
    if (!number || (!is_cursor && (*number == 0 || *number > kMaxPage))) {
      return answer(Refusal({400, name,
                             is_cursor ? std::string("must be a number that an answer gave")
                                       : fmt::format("must be 1 to {}", kMaxPage)}));
    }
    (is_cursor ? cursor : limit) = *number;
  }
  ask_([this, answer, cursor, limit](FleetIndex* fleet) {
    if (fleet->shared() != nullptr) {
      return answer(Refusal({kNotHere, "", "an index that lies in Redis is not listed here"}));
    }
    uint64_t next = 0;
    std::vector<NamedBlock> blocks = fleet->Page(cursor, limit, &next);
    workers_.Continue([answer, next, blocks = std::move(blocks)](uint32_t) {
      answer({200, fmt::format("{{\"next\":{},{}}}\n", next, BlocksBody(blocks))});
    });
  });
}

}  // namespace headrace::indexer
