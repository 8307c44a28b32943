#include "indexer/indexer.h"

#include <gtest/gtest.h>

#include <future>

namespace headrace::indexer {
namespace {

Indexer::Options Options(const std::string& yaml) {
  std::string message;
  auto config = ParseIndexConfig(yaml, &message);
  HR_CHECK(config.has_value());
  return {.config = *config,
          .limits = {},
          .seed = 1,
          .wall_seconds = [] { return int64_t{0}; },
          .unix_seconds = [] { return 0.0; }};
}

ApiReply Score(Indexer* indexer, const std::string& body) {
  std::promise<ApiReply> promise;
  indexer->service()->Score(Dialect::kHeadrace, {.everything = true, .salt = ""}, body,
                            [&](ApiReply reply) { promise.set_value(std::move(reply)); });
  return promise.get_future().get();
}

TEST(Indexer, AnswersFromItsThread) {
  std::string message;
  auto indexer = Indexer::Create(Options("models: [{name: m, tokenizer: bytes}]"), &message);
  ASSERT_TRUE(indexer) << message;
  EXPECT_EQ((*indexer)->numbers(), nullptr);
  (*indexer)->Start();
  const ApiReply reply = Score(indexer->get(), R"({"model":"m","prompt":"0123456789abcdef!"})");
  EXPECT_EQ(reply.body, "{\"model\":\"m\",\"tokens\":17,\"blocks\":1,\"pods\":[]}\n");
  EXPECT_NE((*indexer)->numbers(), nullptr);  // told before the first question
}

TEST(Indexer, TellsItsNumbers) {
  std::string message;
  auto indexer = Indexer::Create(Options(""), &message);
  ASSERT_TRUE(indexer) << message;
  (*indexer)->Start();
  Score(indexer->get(), R"({"model":"m","token_ids":[1]})");
  std::promise<ApiReply> promise;
  (*indexer)->Stats({.everything = true, .salt = ""},
                    [&](ApiReply reply) { promise.set_value(std::move(reply)); });
  const std::string body = promise.get_future().get().body;
  EXPECT_NE(body.find("\"scores\":1,"), std::string::npos) << body;
  int status = 0;
  (*indexer)->Stats({.everything = false, .salt = "s"},
                    [&](const ApiReply& reply) { status = reply.status; });
  EXPECT_EQ(status, 403);
}

TEST(Indexer, DropsWhatItOwesWhenItEnds) {
  std::string message;
  auto indexer = Indexer::Create(Options(""), &message);
  ASSERT_TRUE(indexer) << message;
  // Never started: nobody answers.
  auto alive = std::make_shared<int>(0);
  const std::weak_ptr<int> watch = alive;
  (*indexer)->Stats({.everything = true, .salt = ""}, [alive](const ApiReply&) { FAIL(); });
  alive.reset();
  EXPECT_FALSE(watch.expired());
  indexer->reset();
  EXPECT_TRUE(watch.expired());
}

TEST(Indexer, NamesTheKeyOfWhatIsWrong) {
  std::string message;
  EXPECT_FALSE(
      Indexer::Create(Options("kvBlockIndexConfig: {costAwareMemoryConfig: {size: 1}}"), &message));
  EXPECT_EQ(message.find("kvBlockIndexConfig.costAwareMemoryConfig.size: "), 0u) << message;
  EXPECT_FALSE(Indexer::Create(Options("models: [{name: m, tokenizer: /nowhere}]"), &message));
  EXPECT_EQ(message.find("models: m: tokenizer: "), 0u) << message;
  EXPECT_FALSE(Indexer::Create(Options("kvEventsConfig: {zmqEndpoint: nonsense}"), &message));
  EXPECT_EQ(message.find("kvEventsConfig.zmqEndpoint: nonsense: "), 0u) << message;
}

}  // namespace
}  // namespace headrace::indexer
