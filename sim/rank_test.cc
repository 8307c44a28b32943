#include "sim/rank.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <future>
#include <thread>
#include <utility>

#include "base/wait_rig.h"
#include "net/http_rig.h"
#include "sim/endpoints.h"
#include "text/regex_tokenizer.h"

namespace headrace::sim {
namespace {

// A rank behind a real server whose loop has a thread here.
class RankTest : public testing::Test {
 protected:
  void Begin(Rank::Options options,
             std::unique_ptr<text::Tokenizer> tokenizer = text::MakeRegexTokenizer()) {
    options.model = "m";
    tokenizer_ = std::move(tokenizer);
    loop_ = std::move(*Loop::Create());
    server_ = std::move(*net::HttpServer::ListenOn(loop_.get(), "127.0.0.1:0", {}));
    std::string message;
    auto made = Rank::Create(
        loop_.get(), options, tokenizer_.get(),
        MakeEchoGenerator({.max_model_len = options.max_model_len, .tokenizer = tokenizer_.get()}),
        &message);
    ASSERT_TRUE(made) << message;
    rank_ = std::move(*made);
    for (const GenerateEndpoint& endpoint : GenerateEndpoints()) {
      server_->HandleExchange(
          "POST", std::string(endpoint.path),
          [this, &endpoint](const std::shared_ptr<net::HttpExchange>& exchange) {
            rank_->Generate(endpoint, exchange);
          });
    }
    port_ = server_->port();
    server_->Start();
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    loop_->Stop();
    thread_.join();
    server_.reset();
    rank_.reset();
  }
  // Runs it on the loop's thread, and waits for it.
  template <typename Work>
  auto Do(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    loop_->Post([&task] { task(); });
    return result.get();
  }
  bool Becomes(const std::string& metric) {
    return Eventually([&] {
      return Do([&] { return rank_->Scrape(0).find("\n" + metric + "\n") != std::string::npos; });
    });
  }

  static std::string Post(const std::string& path, const std::string& body,
                          const std::string& lines = "") {
    return fmt::format("POST {} HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n{}", path, lines,
                       body.size(), body);
  }
  static std::string Chat(const std::string& text, const std::string& more = "") {
    return Post("/v1/chat/completions",
                fmt::format(R"({{"model":"m","messages":[{{"role":"user","content":"{}"}}]{}}})",
                            text, more));
  }
  std::string Ask(const std::string& request) {
    net::RawClient client(port_);
    client.Send(request);
    return client.ReadReply();
  }

  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<net::HttpServer> server_;
  std::unique_ptr<Rank> rank_;
  uint16_t port_ = 0;
  std::thread thread_;
};

TEST_F(RankTest, AnswersAChat) {
  Begin({.header_lines = "x-inference-pod: p\r\n"});
  const std::string reply = Ask(Chat("hello there"));
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 200 OK\r\n")) << reply;
  EXPECT_NE(reply.find("x-inference-pod: p\r\n"), std::string::npos) << reply;
  EXPECT_NE(reply.find(R"("content":"hello there")"), std::string::npos) << reply;
  EXPECT_NE(reply.find(R"("finish_reason":"stop")"), std::string::npos) << reply;
  EXPECT_TRUE(Becomes("headrace_sim_requests_total{outcome=\"success\"} 1"));
}

TEST_F(RankTest, StreamsInOneWriteWhatIsDueAtOnce) {
  Begin({});
  net::RawClient client(port_);
  client.Send(Chat("one two three", R"(,"stream":true)"));
  const std::string reply = client.ReadUntil("\r\n0\r\n\r\n");
  EXPECT_NE(reply.find("Content-Type: text/event-stream"), std::string::npos) << reply;
  EXPECT_NE(reply.find("data: [DONE]\n\n"), std::string::npos) << reply;
  // The head, then one chunk with all frames.
  const size_t head = reply.find("\r\n\r\n") + 4;
  const size_t size = std::stoul(reply.substr(head), nullptr, 16);
  EXPECT_EQ(reply.size() - head - reply.substr(head).find("\r\n") - 2, size + 2 + 5) << reply;
}

TEST_F(RankTest, ClientThatHangsUpFreesItsSlotAtOnce) {
  Begin({.max_running = 1, .latency = {.time_to_first_token = seconds(3600)}});
  {
    net::RawClient runs(port_), waits(port_);
    runs.Send(Chat("a"));
    EXPECT_TRUE(Becomes("vllm:num_requests_running{model_name=\"m\"} 1"));
    waits.Send(Chat("b", R"(,"stream":true)"));
    EXPECT_TRUE(Becomes("vllm:num_requests_waiting{model_name=\"m\"} 1"));
  }
  EXPECT_TRUE(Becomes("vllm:num_requests_running{model_name=\"m\"} 0"));
  EXPECT_TRUE(Becomes("vllm:num_requests_waiting{model_name=\"m\"} 0"));
  EXPECT_TRUE(Becomes("headrace_sim_requests_total{outcome=\"aborted\"} 2"));
  EXPECT_TRUE(Do([&] { return rank_->idle(); }));
}

TEST_F(RankTest, RefusesInTheOrderOfItsChecks) {
  Begin({.max_running = 1,
         .max_waiting = 0,
         .max_model_len = 8,
         .latency = {.time_to_first_token = seconds(3600)}});
  const auto status = [&](const std::string& request) { return Ask(request).substr(9, 3); };
  const std::string chat = "/v1/chat/completions";
  const std::string failing = "X-Return-Error: 503\r\n";
  EXPECT_EQ(status(Post(chat, "{", failing)), "400");
  EXPECT_EQ(
      status(Post(chat, R"({"model":"x","messages":[{"role":"user","content":"a"}]})", failing)),
      "503");
  EXPECT_EQ(status(Post(chat, R"({"model":"x","messages":[{"role":"user","content":"a"}],"n":0})")),
            "404");
  EXPECT_EQ(status(Chat("a", R"(,"n":0)")), "400");
  EXPECT_EQ(status(Chat("a", R"(,"n":2)")), "429");
  EXPECT_EQ(status(Chat("a b c d e f g h i j k l")), "400");
  net::RawClient runs(port_);
  runs.Send(Chat("a"));
  EXPECT_TRUE(Becomes("vllm:num_requests_running{model_name=\"m\"} 1"));
  EXPECT_EQ(status(Chat("a")), "429");
  Do([&] { rank_->Close(); });
  EXPECT_EQ(status(Post(chat, "{")), "503");
  EXPECT_TRUE(Becomes("headrace_sim_requests_total{outcome=\"failure\"} 8"));
}

TEST_F(RankTest, TellsHowManyTokensWereAskedHoweverMany) {
  Begin({});
  const std::string reply = Ask(Chat("a", R"(,"max_tokens":9223372036854775807)"));
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 400 ")) << reply;
  EXPECT_NE(reply.find("requested 92233720368547758"), std::string::npos) << reply;
}

TEST_F(RankTest, CacheOfNoBlocksIsNeverInUse) {
  Begin({.cache = KvCache::Options{.blocks = 0, .block_tokens = 16, .listener = nullptr},
         .hashing = {.algo = wire::HashAlgo::kLlmdD, .model = "m", .block_tokens = 16}});
  EXPECT_TRUE(Ask(Chat("a")).starts_with("HTTP/1.1 200 "));
  EXPECT_TRUE(Becomes("vllm:kv_cache_usage_perc{model_name=\"m\"} 0"));
}

TEST_F(RankTest, ChoicesShareTheirPromptInTheCache) {
  Begin({.cache = KvCache::Options{.blocks = 8, .block_tokens = 4, .listener = nullptr},
         .hashing = {.algo = wire::HashAlgo::kLlmdD, .model = "m", .block_tokens = 4}});
  const std::string text = "a b c d e f g h";
  EXPECT_TRUE(Ask(Chat(text, R"(,"n":3)")).starts_with("HTTP/1.1 200 ")) << "equal prompts at once";
  const std::string again = Ask(Chat(text));
  EXPECT_EQ(again.find("\"cached_tokens\":0"), std::string::npos) << again;
  EXPECT_NE(again.find("\"cached_tokens\":"), std::string::npos) << again;
}

TEST_F(RankTest, OnlyCompletionsHaveTheTokensAroundATextAdded) {
  // A tokenizer that adds one token before any text.
  class Adding final : public text::Tokenizer {
   public:
    Result<std::vector<uint32_t>> Encode(std::string_view text,
                                         text::Special special) const override {
      HR_TRY(auto ids, inner_->Encode(text, special));
      if (special == text::Special::kAdd) ids.insert(ids.begin(), 1);
      return ids;
    }
    Result<text::Encoding> EncodeWithOffsets(std::string_view text,
                                             text::Special special) const override {
      return inner_->EncodeWithOffsets(text, special);
    }
    Result<std::string> Decode(std::span<const uint32_t> ids, bool skip) const override {
      return inner_->Decode(ids, skip);
    }
    const text::CutRules& cut_rules() const override { return inner_->cut_rules(); }
    size_t vocab_size() const override { return inner_->vocab_size(); }

   private:
    const std::unique_ptr<text::Tokenizer> inner_ = text::MakeRegexTokenizer();
  };
  Begin({}, std::make_unique<Adding>());
  EXPECT_NE(
      Ask(Post("/v1/completions", R"({"model":"m","prompt":"a b"})")).find("\"prompt_tokens\":3"),
      std::string::npos);
  const std::string chat = Ask(Chat("a b"));  // "### user: a b" and its line's end
  EXPECT_NE(chat.find("\"prompt_tokens\":7"), std::string::npos) << chat;
}

TEST_F(RankTest, AnswersWithTheIdThatWasGiven) {
  Begin({.request_id_headers = true});
  const std::string body = R"({"model":"m","prompt":"a"})";
  const std::string reply = Ask(Post("/v1/completions", body, "X-Request-Id: abc-1\r\n"));
  EXPECT_NE(reply.find("X-Request-Id: abc-1\r\n"), std::string::npos) << reply;
  EXPECT_NE(reply.find("\"id\":\"cmpl-abc-1"), std::string::npos) << reply;
  const std::string odd = Ask(Post("/v1/completions", body, "X-Request-Id: a b\r\n"));
  EXPECT_EQ(odd.find("a b"), std::string::npos) << odd;
}

TEST_F(RankTest, SameSeedGivesTheSameIds) {
  Begin({.seed = 7});
  const std::string body = R"({"model":"m","prompt":"a"})";
  const std::string first = Ask(Post("/v1/completions", body));
  const std::string second = Ask(Post("/v1/completions", body));
  TearDown();
  thread_ = {};
  Begin({.seed = 7});
  const auto id = [](const std::string& reply) { return reply.substr(reply.find("cmpl-"), 41); };
  EXPECT_EQ(id(Ask(Post("/v1/completions", body))), id(first));
  EXPECT_NE(id(first), id(second));
}

TEST_F(RankTest, ManyConversationsAtOnceAllEnd) {
  Begin({.max_running = 8,
         .latency = {.time_to_first_token = milliseconds(2),
                     .inter_token_latency = microseconds(300)}});
  std::vector<std::unique_ptr<net::RawClient>> clients;
  for (int i = 0; i < 64; ++i) {
    clients.push_back(std::make_unique<net::RawClient>(port_));
    clients.back()->Send(Chat("one two three four", i % 2 == 0 ? R"(,"stream":true)" : ""));
  }
  for (size_t i = 0; i < clients.size(); ++i) {
    if (i % 2 == 0) {
      EXPECT_NE(clients[i]->ReadUntil("\r\n0\r\n\r\n").find("[DONE]"), std::string::npos);
    } else {
      EXPECT_NE(clients[i]->ReadReply().find("one two three four"), std::string::npos);
    }
  }
  EXPECT_TRUE(Becomes("headrace_sim_requests_total{outcome=\"success\"} 64"));
  EXPECT_TRUE(Do([&] { return rank_->idle(); }));
}

}  // namespace
}  // namespace headrace::sim
