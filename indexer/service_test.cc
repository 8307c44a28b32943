#include "indexer/service.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>

#include "indexer/fleet_samples.h"

namespace headrace::indexer {
namespace {

constexpr const char* kTokens = R"({"model":"m","token_ids":[1,2,3,4,5,6,7,8,9]})";
const Grant kAll{.everything = true, .salt = ""};
const Grant kTenant{.everything = false, .salt = "blue"};

struct Seen final : ServiceObserver {
  void Scored(double) override { ++scored; }
  void Rendered(const std::string&, double) override { ++rendered; }
  void Tokenized(const std::string& model, size_t tokens, double) override {
    text = model + ":" + std::to_string(tokens);
  }
  std::atomic<int> scored = 0;
  std::atomic<int> rendered = 0;
  std::string text;
};

class ServiceTest : public testing::Test {
 protected:
  void Begin(uint32_t max_waiting = 100, const ReplicaPlace& place = {}) {
    fleet_ = MakeFleet(place);
    Store(fleet_.get(), "a", Counting(8));
    Store(fleet_.get(), "b", Counting(4), "CPU");
    auto texts = ModelTexts::Of("m", text::MakeByteTokenizer(), {.max_tokens = 20});
    service_ = std::make_unique<IndexService>(
        IndexService::Options{.limits = {.max_tokens = 20, .max_pods = 2},
                              .threads = 2,
                              .max_waiting = max_waiting,
                              .hash = SampleHash(),
                              .wall_seconds = [] { return int64_t{0}; },
                              .place = place},
        std::move(texts),
        // Stands in for the index's thread.
        [this](const std::function<void(FleetIndex*)>& asked) {
          std::lock_guard lock(mutex_);
          asked(fleet_.get());
        },
        &seen_);
  }
  ApiReply Wait(const std::function<void(IndexService::Answer)>& ask) {
    auto promise = std::make_shared<std::promise<ApiReply>>();
    ask([promise](ApiReply reply) { promise->set_value(std::move(reply)); });
    auto future = promise->get_future();
    HR_CHECK(future.wait_for(std::chrono::seconds(10)) == std::future_status::ready);
    return future.get();
  }
  ApiReply Score(const std::string& body, const Grant& grant = kAll,
                 Dialect dialect = Dialect::kHeadrace) {
    return Wait([&](auto answer) { service_->Score(dialect, grant, body, answer); });
  }
  ApiReply Lookup(const IndexService::Query& query, const Grant& grant = kAll) {
    return Wait([&](auto answer) { service_->Lookup(grant, query, answer); });
  }
  ApiReply Dump(const IndexService::Query& query, const Grant& grant = kAll) {
    return Wait([&](auto answer) { service_->Dump(grant, query, answer); });
  }
  ApiReply Announce(const std::string& body, const Grant& grant = kAll) {
    return Wait([&](auto answer) { service_->Announce(grant, body, answer); });
  }

  std::mutex mutex_;
  std::unique_ptr<FleetIndex> fleet_;
  Seen seen_;
  std::unique_ptr<IndexService> service_;  // goes first
};

TEST_F(ServiceTest, ScoresTokens) {
  Begin();
  const ApiReply reply = Score(kTokens);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body,
            "{\"model\":\"m\",\"tokens\":9,\"blocks\":2,\"pods\":["
            "{\"pod\":\"a\",\"score\":2,\"normalized\":1,\"blocks\":2},"
            "{\"pod\":\"b\",\"score\":0.8,\"normalized\":0.4,\"blocks\":1}]}\n");
  EXPECT_EQ(seen_.scored, 1);
  EXPECT_EQ(seen_.text, "");
}

TEST_F(ServiceTest, ScoresPromptsInBothDialects) {
  Begin();
  Store(fleet_.get(), "p", {'a', 'b', 'c', 'd'});
  EXPECT_NE(Score(R"({"model":"m","prompt":"abcd"})").body.find("\"pod\":\"p\",\"score\":1,"),
            std::string::npos);
  EXPECT_EQ(seen_.text, "m:4");
  EXPECT_EQ(Score(R"({"model":"m","prompt":"abcd"})", kAll, Dialect::kLlmdCompletions).body,
            "{\"p\":1}\n");
}

TEST_F(ServiceTest, AnswersPromptsBelowABlockWithNoPods) {
  Begin();
  EXPECT_EQ(Score(R"({"model":"m","token_ids":[1,2,3]})").body,
            "{\"model\":\"m\",\"tokens\":3,\"blocks\":0,\"pods\":[]}\n");
}

TEST_F(ServiceTest, NamesTheReplicaThatHasThePrompt) {
  const size_t owner = PlaceOf(0).Elsewhere(KeysOf(Counting(9))) == nullptr ? 0 : 1;
  Begin(100, PlaceOf(1 - owner));
  const std::string text =
      R"({"model":"m","prompt":"\u0001\u0002\u0003\u0004\u0005\u0006\u0007\u0008"})";
  const std::string announce =
      R"({"model":"m","pod":"a","token_ids":[1,2,3,4,5,6,7,8],"ttl_seconds":9})";
  for (const ApiReply& reply :
       {Score(kTokens), Score(text, kAll, Dialect::kLlmdCompletions), Announce(announce)}) {
    EXPECT_EQ(reply.status, 307) << reply.body;
    EXPECT_EQ(reply.owner, kReplicas[owner]);
    EXPECT_EQ(reply.body,
              fmt::format("{{\"replica\":{{\"addresses\":[\"{}\"]}}}}\n", kReplicas[owner]));
  }
  EXPECT_EQ(seen_.scored, 0);
  EXPECT_EQ(service_->moved(), 3u);
  EXPECT_EQ(fleet_->score_counters().requests, 0u);
  EXPECT_EQ(fleet_->intents()->size(), 0u);
  // The stem is everybody's, and a token's limits come first.
  const ApiReply stem = Score(R"({"model":"m","token_ids":[1,2,3,4]})");
  EXPECT_EQ(stem.status, 200);
  EXPECT_EQ(stem.owner, "");
  EXPECT_EQ(Score(kTokens, kTenant).status, 403);
  EXPECT_NE(service_->Replicas().body.find(
                fmt::format("\"replica\":\"{}\",\"shardBlocks\":2,", kReplicas[1 - owner])),
            std::string::npos);
  Begin(100, PlaceOf(owner));
  EXPECT_EQ(Score(kTokens).status, 200);
  EXPECT_EQ(Announce(announce).status, 200);
}

TEST_F(ServiceTest, ScoresOnlyThePodsAskedFor) {
  Begin();
  const std::string body = Score(R"({"model":"m","token_ids":[1,2,3,4],"pods":["b","x"]})").body;
  EXPECT_NE(body.find("\"pods\":[{\"pod\":\"b\",\"score\":0.8,"), std::string::npos) << body;
  EXPECT_EQ(body.find("\"a\""), std::string::npos) << body;
}

TEST_F(ServiceTest, AdaptersAndSaltsHaveBlocksOfTheirOwn) {
  Begin();
  for (const char* extra :
       {R"({"lora":"sql"})", R"({"cache_salt":"blue"})", R"({"mm":[["i",0,2]]})"}) {
    const ApiReply reply =
        Score(R"({"model":"m","token_ids":[1,2,3,4],"extra":)" + std::string(extra) + "}");
    EXPECT_EQ(reply.body, "{\"model\":\"m\",\"tokens\":4,\"blocks\":1,\"pods\":[]}\n") << extra;
  }
}

TEST_F(ServiceTest, RefusesWithTheFieldAndChangesNothing) {
  Begin();
  const std::pair<const char*, const char*> kCases[] = {
      {"{", "{\"error\":{\"field\":\"\",\"message\":\"the body is not JSON"},
      {R"({"model":"x","prompt":"a"})", "{\"error\":{\"field\":\"model\""},
      {R"({"model":"m","prompt":"123456789012345678901"})", "{\"error\":{\"field\":\"prompt\""},
      {R"({"model":"m","token_ids":[1],"pods":["a","b","c"]})", "{\"error\":{\"field\":\"pods\""},
      {R"({"model":"m","messages":[{}]})", "{\"error\":{\"field\":\"messages\""},
  };
  for (const auto& [body, begin] : kCases) {
    const ApiReply reply = Score(body);
    EXPECT_EQ(reply.status, 400) << body;
    EXPECT_EQ(reply.body.find(begin), 0u) << reply.body;
  }
  const std::string lora(IngestKeys::kMaxModelBytes + 1, 'x');
  EXPECT_EQ(Score(R"({"model":"m","token_ids":[1],"extra":{"lora":")" + lora + "\"}}").status, 400);
  EXPECT_EQ(seen_.scored, 0);
}

TEST_F(ServiceTest, LetsATenantScoreWithItsOwnSaltOnly) {
  Begin();
  EXPECT_EQ(Score(R"({"model":"m","token_ids":[1],"extra":{"cache_salt":"blue"}})", kTenant).status,
            200);
  for (const char* body :
       {kTokens, R"({"model":"m","token_ids":[1],"extra":{"cache_salt":"red"}})"}) {
    const ApiReply reply = Score(body, kTenant);
    EXPECT_EQ(reply.status, 403) << body;
    EXPECT_EQ(reply.body.find("{\"error\":{\"field\":\"extra.cache_salt\""), 0u) << reply.body;
  }
  const char* const kSalted = R"({"model":"m","prompt":"abcd","cache_salt":"blue"})";
  EXPECT_EQ(Score(kSalted, kTenant, Dialect::kLlmdCompletions).status, 200);
  EXPECT_EQ(Score(R"({"model":"m","prompt":"abcd"})", kTenant, Dialect::kLlmdCompletions).status,
            403);
  EXPECT_EQ(Lookup({{"key", "1"}}, kTenant).status, 403);
  EXPECT_EQ(Dump({}, kTenant).status, 403);
  EXPECT_EQ(
      Announce(R"({"model":"m","token_ids":[1],"pod":"a","extra":{"cache_salt":"blue"}})", kTenant)
          .status,
      403);
  EXPECT_EQ(Score(kTokens).body.find("\"pod\":\"a\"") == std::string::npos, false);
}

TEST_F(ServiceTest, LooksBlocksUp) {
  Begin();
  const std::string key = std::to_string(KeysOf(Counting(8))[1]);
  const std::string found = Lookup({{"key", key}}).body;
  EXPECT_EQ(found.find("{\"blocks\":[{\"key\":\"" + key +
                       "\",\"engine\":null,\"holders\":["
                       "{\"pod\":\"a\",\"tier\":\"gpu\"}]}]}"),
            0u)
      << found;
  for (const char* hash : {"102", "0x66"}) {
    const ApiReply reply = Lookup({{"hash", hash}, {"model", "m"}});
    EXPECT_EQ(reply.status, 200) << reply.body;
    EXPECT_NE(reply.body.find(key), std::string::npos) << reply.body;
  }
  EXPECT_EQ(Lookup({{"key", "0xfFf"}}).body, "{\"blocks\":[]}\n");
  for (const IndexService::Query& query : {IndexService::Query{},
                                           {{"key", "1"}, {"hash", "1"}},
                                           {{"key", "x"}},
                                           {{"hash", "1"}},
                                           {{"key", "0x"}},
                                           {{"key", "0x11112222333344445"}},
                                           {{"key", "-1"}}}) {
    EXPECT_EQ(Lookup(query).status, 400);
  }
}

TEST_F(ServiceTest, DumpsInPages) {
  Begin();
  const std::string first = Dump({{"limit", "1"}}).body;
  EXPECT_EQ(first.find("{\"next\":"), 0u) << first;
  EXPECT_NE(first.find("{\"next\":0,"), 0u) << first;
  const std::string next = first.substr(8, first.find(',') - 8);
  EXPECT_EQ(Dump({{"cursor", next}}).body.find("{\"next\":0,\"blocks\":[{"), 0u);
  for (const IndexService::Query& query : {IndexService::Query{{"limit", "0"}},
                                           {{"limit", "1025"}},
                                           {{"cursor", "a"}},
                                           {{"offset", "1"}}}) {
    EXPECT_EQ(Dump(query).status, 400);
  }
}

TEST_F(ServiceTest, CountsWhatIsAnnouncedToAPod) {
  Begin();
  const ApiReply reply =
      Announce(R"({"model":"m","token_ids":[1,2,3,4,5,6,7,8,9],"pod":"b","ttl_seconds":600})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "{\"model\":\"m\",\"tokens\":9,\"blocks\":2}\n");
  EXPECT_NE(Score(kTokens).body.find("{\"pod\":\"b\",\"score\":2,"), std::string::npos);
  EXPECT_EQ(Announce(R"({"model":"m","token_ids":[1],"pod":"x"})").status, 404);
  EXPECT_EQ(Announce(R"({"model":"m","token_ids":[1]})").body.find("{\"error\":{\"field\":\"pod\""),
            0u);
  EXPECT_EQ(Announce(R"({"model":"x","prompt":"y","pod":"b"})").status, 400);
}

TEST_F(ServiceTest, TakesQuestionsOfOtherForms) {
  Begin();
  std::promise<std::vector<NamedScore>> scored;
  service_->ScoreBy(
      kAll, "salt",
      [](ScoreCall* call, ApiError*) {
        call->model = "m";
        call->input = ScoreCall::Input::kTokens;
        call->tokens = Counting(8);
        return true;
      },
      [&](const ApiError* error, const ScoreAnswer& answer) {
        HR_CHECK(error == nullptr);
        scored.set_value(answer.pods);
      });
  EXPECT_EQ(scored.get_future().get().size(), 2u);
  std::promise<ApiError> refused;
  service_->ScoreBy(
      kTenant, "salt", [](ScoreCall*, ApiError*) { return true; },
      [&](const ApiError* error, const ScoreAnswer&) { refused.set_value(*error); });
  const ApiError error = refused.get_future().get();
  EXPECT_EQ(error.status, 403);
  EXPECT_EQ(error.field, "salt");
}

TEST_F(ServiceTest, SaysThatItIsBusy) {
  Begin(1);
  std::unique_lock hold(mutex_);  // the index's thread does not answer
  std::vector<std::future<ApiReply>> replies;
  int refused = 0;
  for (int i = 0; i < 10; ++i) {
    auto promise = std::make_shared<std::promise<ApiReply>>();
    replies.push_back(promise->get_future());
    service_->Score(Dialect::kHeadrace, kAll, kTokens,
                    [promise](ApiReply reply) { promise->set_value(std::move(reply)); });
  }
  hold.unlock();
  for (auto& reply : replies) refused += reply.get().status == 503;
  EXPECT_GE(refused, 7);  // two run, one waits
  EXPECT_LT(refused, 10);
}

}  // namespace
}  // namespace headrace::indexer
