// One data-parallel rank as a server: its engine, its cache's events, and its HTTP endpoints on its
// own port, on a thread of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/loop.h"
#include "net/http_server.h"
#include "sim/config.h"
#include "sim/kv_events.h"
#include "sim/rank.h"
#include "text/tokenizer.h"

namespace headrace::sim {

class RankServer {
 public:
  // `index`: of the rank. `tokenizer` outlives it. Binds its ports. `message` is the line for the
  // user, which names the flag.
  static Result<std::unique_ptr<RankServer>> Create(const Config& config, uint32_t index,
                                                    const text::Tokenizer* tokenizer,
                                                    std::string* message);
  ~RankServer();  // stops the thread
  RankServer(const RankServer&) = delete;
  RankServer& operator=(const RankServer&) = delete;

  void Start();
  // New requests get 503; those that run go on. Any thread.
  void Close();
  bool idle();  // nothing runs. Any thread but its own; asks the other
  uint16_t port() const { return port_; }

 private:
  RankServer(const Config& config, uint32_t index);
  Status OpenEvents(std::string* message);
  Status OpenRank(const text::Tokenizer* tokenizer, std::string* message);
  Status OpenServers(std::string* message);
  Rank::Options OptionsOfRank() const;
  std::string HeaderLines() const;
  Result<std::unique_ptr<Generator>> MakeGenerator(const text::Tokenizer* tokenizer,
                                                   std::string* message) const;

  void AddRoutes(net::HttpServer* server);
  void AddHealth(net::HttpServer* server);
  void AddModels(net::HttpServer* server);
  void AddSleep(net::HttpServer* server);
  void AddAdmin(net::HttpServer* server);
  void AddSources(net::HttpServer* server);
  net::HttpReply Body(std::string body) const;
  net::HttpReply Refusal(const ApiError& error) const;
  net::HttpReply Apply(const ApiResult<Config>& updated);
  void ShowFakes();
  void RefreshFakes();
  bool asleep() const { return asleep_; }

  Config config_;  // as admin/config leaves it
  const uint32_t index_;
  const Time started_ = MonotonicNow();
  const std::string engine_id_;
  uint16_t port_ = 0;
  std::string header_lines_;
  std::string topic_;  // of its events
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<KvEvents> events_;  // null: none are published
  std::unique_ptr<Rank> rank_;
  std::vector<std::unique_ptr<net::HttpServer>> servers_;  // one a host
  bool asleep_ = false;
  uint64_t fakes_timer_ = 0;
  std::thread thread_;
};

}  // namespace headrace::sim
