#include "sim/api_error.h"

#include <gtest/gtest.h>

namespace headrace::sim {
namespace {

TEST(ApiError, HasATypeForEachStatus) {
  EXPECT_EQ(ErrorType(400), "BadRequestError");
  EXPECT_EQ(ErrorType(401), "AuthenticationError");
  EXPECT_EQ(ErrorType(403), "PermissionDeniedError");
  EXPECT_EQ(ErrorType(404), "NotFoundError");
  EXPECT_EQ(ErrorType(422), "UnprocessableEntityError");
  EXPECT_EQ(ErrorType(429), "RateLimitError");
  EXPECT_EQ(ErrorType(500), "InternalServerError");
  EXPECT_EQ(ErrorType(503), "InternalServerError");
  EXPECT_EQ(ErrorType(413), "APIConnectionError");
}

TEST(ApiError, IsABodyWithTheStatusAsItsCode) {
  EXPECT_EQ(ErrorBody({404, "no \"m\" here"}),
            R"({"error":{"message":"no \"m\" here","type":"NotFoundError","param":null,)"
            R"("code":404}})");
  EXPECT_EQ(ErrorBody({400, "wrong", "n"}),
            R"({"error":{"message":"wrong","type":"BadRequestError","param":"n","code":400}})");
}

}  // namespace
}  // namespace headrace::sim
