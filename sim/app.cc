#include "sim/app.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/stop_signals.h"
#include "base/version.h"
#include "sim/rank_server.h"
#include "text/regex_tokenizer.h"
#include "text/tokenizer.h"

namespace headrace::sim {
namespace {

constexpr Duration kDrain = seconds(30);
constexpr int kDrainPollMs = 20;

Status Refuse(std::string* message, std::string line, Errc code) {
  *message = std::move(line);
  return Fail(code, "the configuration does not allow a start");
}

// Flags of the field whose behaviour is not in this program: a start without it would mislead.
std::string MissingFrom(const Config& config) {
  if (config.scheduler.kind == SchedulerKind::kContinuous) {
    return "--scheduler: continuous is not in this version; write simple";
  }
  if (!config.kv.headrace_endpoint.empty()) {
    return "--headrace-endpoint: this version moves no real bytes; leave it out";
  }
  if (config.serving.tls()) {
    return "--ssl-certfile, --self-signed-certs: this version serves HTTP only; leave them out";
  }
  if (!config.dataset.url.empty()) {
    return "--dataset-url: fetch the file yourself, and name it by --dataset-path";
  }
  if (config.images.omni) return "--omni: no images are generated here; leave it out";
  if (config.model.mm_encoder_only) {
    return "--mm-encoder-only: is not in this version; leave it out";
  }
  return "";
}

// A stream is a descriptor.
void RaiseFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) HR_WARN("the limit of open files cannot be raised");
}

Result<std::unique_ptr<text::Tokenizer>> OpenTokenizer(const std::string& name,
                                                       std::string* message) {
  if (name == "regex") return text::MakeRegexTokenizer();
  if (name == "byte") return text::MakeByteTokenizer();
  std::string why;
  auto loaded = text::LoadTokenizer(name, &why);
  if (!loaded) *message = fmt::format("--tokenizer: {}", why);
  return loaded;
}

const char* LogLevelOf(uint32_t verbosity) {
  if (verbosity >= 4) return "debug";
  return verbosity >= 2 ? "info" : "warn";
}

// Until a signal, then until nothing runs any more.
void Serve(const std::vector<std::unique_ptr<RankServer>>& ranks, const StopSignals& signals) {
  pollfd stop{.fd = signals.fd(), .events = POLLIN, .revents = 0};
  while (poll(&stop, 1, -1) <= 0) {
  }
  HR_INFO("stopping: requests that run have {} s", kDrain / seconds(1));
  for (const auto& rank : ranks) rank->Close();
  const Time end = MonotonicNow() + kDrain;
  const auto busy = [](const std::unique_ptr<RankServer>& rank) { return !rank->idle(); };
  while (MonotonicNow() < end && std::any_of(ranks.begin(), ranks.end(), busy)) {
    poll(nullptr, 0, kDrainPollMs);
  }
}

}  // namespace

Status RunSimulator(const Config& given, std::string* message) {
  HR_RETURN_IF_ERROR(SetLogLevel(LogLevelOf(given.serving.verbosity)));
  const std::string missing = MissingFrom(given);
  if (!missing.empty()) return Refuse(message, missing, Errc::kUnsupported);
  Config config = given;
  if (!config.seed) config.seed = static_cast<int64_t>(std::random_device{}());
  RaiseFileLimit();
  auto signals = StopSignals::Catch();
  if (!signals) return Refuse(message, signals.error().what, signals.error().code);
  HR_TRY(const auto tokenizer, OpenTokenizer(config.model.tokenizer, message));
  std::vector<std::unique_ptr<RankServer>> ranks;
  for (uint32_t i = 0; i < config.ranks.size; ++i) {
    HR_TRY(auto rank,
           RankServer::Create(config, config.ranks.first() + i, tokenizer.get(), message));
    ranks.push_back(std::move(rank));
  }
  for (const auto& rank : ranks) {
    rank->Start();
    HR_INFO("headrace-sim {} serves {} on port {}", Version(), config.model.name, rank->port());
  }
  Serve(ranks, *signals);
  return {};
}

}  // namespace headrace::sim
