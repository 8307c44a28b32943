#include "indexer/redis_rig.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace headrace::indexer {

RedisIndexOptions IndexOptions(const std::string& url, RedisSchema schema) {
  RedisIndexOptions options;
  options.redis = net::OptionsFor(url);
  options.schema = schema;
  options.sweep.every = Duration(0);
  return options;
}

IndexRig::IndexRig(RedisIndexOptions options) : loop_(std::move(*Loop::Create())) {
  std::string message;
  auto index = CreateRedisIndex(loop_.get(), std::move(options), &message);
  HR_CHECK(index.has_value());
  index_ = std::move(*index);
  index_->OnLost([this](const std::string& pod, const Error&) { lost_.push_back(pod); });
}

bool IndexRig::Up() {
  return Until([this] { return index_->available(); });
}

bool IndexRig::Flush(const std::string& pod) {
  std::optional<bool> written;
  index_->Flush(pod, [&](const Status& status) { written = status.has_value(); });
  HR_CHECK(Until([&] { return written.has_value(); }));
  return *written;
}

std::set<std::string> IndexRig::Holders(RequestKey key) {
  std::optional<std::set<std::string>> found;
  index_->Lookup({key}, [&](const Result<std::vector<RemoteBlock>>& blocks) {
    HR_CHECK(blocks.has_value());
    found.emplace();
    if (blocks->empty()) return;
    for (const RemoteHolder& holder : blocks->front().holders) {
      std::string shown = fmt::format("{}/{}", holder.pod, holder.tier);
      if (holder.group >= 0) shown += fmt::format("/g{}", holder.group);
      if (holder.speculative) shown += "/s";
      found->insert(shown);
    }
  });
  HR_CHECK(Until([&] { return found.has_value(); }));
  return *found;
}

std::map<std::string, double> IndexRig::Score(std::vector<RequestKey> keys,
                                              std::vector<std::string> only) {
  std::optional<std::map<std::string, double>> found;
  RemoteScoreRequest request;
  request.keys = std::move(keys);
  request.filter = !only.empty();
  request.pods = std::move(only);
  index_->Score(std::move(request), [&](const Result<std::vector<RemoteScore>>& scores) {
    HR_CHECK(scores.has_value());
    found.emplace();
    for (const RemoteScore& score : *scores) (*found)[score.pod] = score.score;
  });
  HR_CHECK(Until([&] { return found.has_value(); }));
  return *found;
}

std::vector<RequestKey> IndexRig::Resolve(EngineKey engine) {
  std::optional<std::vector<RequestKey>> found;
  index_->Resolve({engine}, [&](const Result<std::vector<std::vector<RequestKey>>>& keys) {
    HR_CHECK(keys.has_value() && keys->size() == 1);
    found = keys->front();
  });
  HR_CHECK(Until([&] { return found.has_value(); }));
  return *found;
}

Errc IndexRig::ScoreError() {
  std::optional<Errc> error;
  index_->Score({{1}, {}, false}, [&](const Result<std::vector<RemoteScore>>& scores) {
    error = scores ? Errc::kOk : scores.error().code;
  });
  HR_CHECK(!error.has_value());  // never out of the call itself
  HR_CHECK(Until([&] { return error.has_value(); }));
  return *error;
}

}  // namespace headrace::indexer
