#include "sim/failures.h"

#include <gtest/gtest.h>

#include <map>

namespace headrace::sim {
namespace {

ApiError Only(FailureType type) {
  Failures failures({.rate = 100, .types = {type}}, 1);
  const auto error = failures.Next("llama");
  EXPECT_TRUE(error.has_value());
  return error.value_or(ApiError{});
}

TEST(Failures, HasTheSixTypesByName) {
  for (const char* name : {"rate_limit", "invalid_api_key", "context_length", "server_error",
                           "invalid_request", "model_not_found"}) {
    const auto type = ParseFailureType(name);
    ASSERT_TRUE(type) << name;
    EXPECT_EQ(FailureTypeName(*type), name);
  }
  EXPECT_FALSE(ParseFailureType("rate-limit"));
  EXPECT_FALSE(ParseFailureType(""));
  EXPECT_EQ(FailureTypeNames(),
            "rate_limit, invalid_api_key, context_length, server_error, invalid_request, "
            "model_not_found");
}

TEST(Failures, AnswersEachTypeWithItsStatusAndField) {
  using Wanted = std::pair<int, std::optional<std::string>>;
  const std::map<FailureType, Wanted> wanted = {{FailureType::kRateLimit, {429, std::nullopt}},
                                                {FailureType::kInvalidApiKey, {401, std::nullopt}},
                                                {FailureType::kContextLength, {400, "messages"}},
                                                {FailureType::kServerError, {503, std::nullopt}},
                                                {FailureType::kInvalidRequest, {400, "model"}},
                                                {FailureType::kModelNotFound, {404, "model"}}};
  for (const auto& [type, want] : wanted) {
    const ApiError error = Only(type);
    EXPECT_EQ(error.status, want.first) << FailureTypeName(type);
    EXPECT_EQ(error.param, want.second) << FailureTypeName(type);
    EXPECT_FALSE(error.message.empty()) << FailureTypeName(type);
  }
}

TEST(Failures, SaysWhatClientsLookFor) {
  EXPECT_NE(Only(FailureType::kRateLimit).message.find("Rate limit reached for llama"),
            std::string::npos);
  EXPECT_NE(Only(FailureType::kInvalidApiKey).message.find("Incorrect API key"), std::string::npos);
  EXPECT_NE(Only(FailureType::kContextLength).message.find("maximum context length"),
            std::string::npos);
  EXPECT_NE(Only(FailureType::kModelNotFound).message.find("llama-nonexistent"), std::string::npos);
}

TEST(Failures, FailsTheShareOfRequestsThatItsRateSays) {
  Failures failures({.rate = 30}, 7);
  int failed = 0;
  for (int i = 0; i < 10'000; ++i) failed += failures.Next("m").has_value() ? 1 : 0;
  EXPECT_NEAR(failed, 3000, 150);
  failures.Set({.rate = 0});
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(failures.Next("m"));
}

TEST(Failures, DrawsFromTheTypesThatAreNamedOrFromAll) {
  const auto statuses = [](const FailureOptions& options) {
    Failures failures(options, 3);
    std::map<int, int> seen;
    for (int i = 0; i < 600; ++i) ++seen[failures.Next("m")->status];
    return seen;
  };
  const auto two =
      statuses({.rate = 100, .types = {FailureType::kInvalidApiKey, FailureType::kServerError}});
  EXPECT_EQ(two.size(), 2U);
  EXPECT_GT(two.at(401), 200);
  EXPECT_GT(two.at(503), 200);
  const auto all = statuses({.rate = 100});
  EXPECT_EQ(all.size(), 5U);  // 400 is the status of two types
  EXPECT_GT(all.at(400), 130);
}

TEST(Failures, IsTheSameForTheSameSeed) {
  Failures one({.rate = 50}, 9), two({.rate = 50}, 9), other({.rate = 50}, 10);
  int differing = 0;
  for (int i = 0; i < 100; ++i) {
    const bool failed = one.Next("m").has_value();
    EXPECT_EQ(failed, two.Next("m").has_value());
    differing += failed != other.Next("m").has_value() ? 1 : 0;
  }
  EXPECT_GT(differing, 20);
}

TEST(Failures, AnswersTheStatusThatAHeaderAsksFor) {
  for (int status : {400, 429, 503, 599}) {
    const auto error = Failures::OfHeader(std::to_string(status));
    ASSERT_TRUE(error) << status;
    EXPECT_EQ(error->status, status);
    EXPECT_NE(error->message.find(std::to_string(status)), std::string::npos);
  }
  for (const char* value :
       {"", "200", "399", "600", "-429", "429 ", "4e2", "teapot", "99999999999999999999"}) {
    EXPECT_FALSE(Failures::OfHeader(value)) << value;
  }
}

}  // namespace
}  // namespace headrace::sim
