#include "sim/embeddings_api.h"

#include <gtest/gtest.h>

#include "sim/base64.h"

namespace headrace::sim {
namespace {

std::string Refusal(std::string_view body) {
  const auto call = ParseEmbeddings(body);
  EXPECT_FALSE(call) << body;
  if (call) return "";
  EXPECT_EQ(call.error().status, 400);
  return call.error().param.value_or("-");
}

TEST(Embeddings, AreAskedForInFourWays) {
  const auto inputs = [](std::string_view input) {
    std::string body(R"({"model":"m","input":)");
    const auto call = ParseEmbeddings(body.append(input) += '}');
    EXPECT_TRUE(call) << body;
    return call ? call->inputs : std::vector<Prompt>();
  };
  ASSERT_EQ(inputs("\"a\"").size(), 1u);
  EXPECT_EQ(inputs("\"a\"")[0].text, "a");
  ASSERT_EQ(inputs(R"(["a","b"])").size(), 2u);
  EXPECT_EQ(inputs(R"(["a","b"])")[1].text, "b");
  ASSERT_EQ(inputs("[1,2]").size(), 1u);
  EXPECT_EQ(inputs("[1,2]")[0].ids, (std::vector<uint32_t>{1, 2}));
  ASSERT_EQ(inputs("[[1],[2,3]]").size(), 2u);
  EXPECT_EQ(inputs("[[1],[2,3]]")[1].ids, (std::vector<uint32_t>{2, 3}));
  const auto call =
      ParseEmbeddings(R"({"model":"m","input":"a","dimensions":3,"encoding_format":"base64"})");
  ASSERT_TRUE(call);
  EXPECT_EQ(call->model, "m");
  EXPECT_EQ(call->dimensions, 3u);
  EXPECT_TRUE(call->base64);
  EXPECT_FALSE(ParseEmbeddings(R"({"input":"a"})")->dimensions);
}

TEST(Embeddings, NameWhatIsWrong) {
  for (const char* input : {"null", "7", "{}", "[]", "\"\"", "[\"\"]", "[[]]", "[1,-1]",
                            "[1,\"a\"]", "[\"a\",1]", "[[1],2]", "[4294967296]", "[true]"}) {
    std::string body(R"({"input":)");
    EXPECT_EQ(Refusal(body.append(input) += '}'), "input") << input;
  }
  EXPECT_EQ(Refusal(R"({"input":"a","dimensions":0})"), "dimensions");
  EXPECT_EQ(Refusal(R"({"input":"a","dimensions":65537})"), "dimensions");
  EXPECT_EQ(Refusal(R"({"input":"a","encoding_format":"hex"})"), "encoding_format");
  std::string many(R"({"input":["a")");
  for (size_t i = 0; i < kMaxEmbeddingInputs; ++i) many += ",\"a\"";
  EXPECT_EQ(Refusal(many + "]}"), "input");
}

TEST(Embeddings, FollowFromTheTokens) {
  const std::vector<uint32_t> tokens = {0, 1025, 1023};
  EXPECT_EQ(StubEmbedding(tokens, 7),
            (std::vector<float>{-1, -0.998046875, 0.998046875, -1, -0.9921875, 0.9921875, -1}));
  EXPECT_EQ(StubEmbedding(tokens, 2), (std::vector<float>{-1, -0.998046875}));
  EXPECT_EQ(StubEmbedding({}, 2), (std::vector<float>{-1, -1}));
}

TEST(Embeddings, AreToldAsNumbersOrBytes) {
  const std::vector<std::vector<uint32_t>> prompts = {{1}, {768, 1023}};
  EmbeddingsReply reply{.id = "1", .model = "m", .created_s = 7, .dimensions = 2};
  EXPECT_EQ(EmbeddingsBody(reply, prompts),
            R"({"id":"embd-1","object":"list","created":7,"model":"m","data":[)"
            R"({"index":0,"object":"embedding","embedding":[-0.998046875,-0.9921875]},)"
            R"({"index":1,"object":"embedding","embedding":[0.5,0.998046875]}],)"
            R"("usage":{"prompt_tokens":3,"total_tokens":3,"completion_tokens":0,)"
            R"("prompt_tokens_details":null}})");
  reply.base64 = true;
  const std::string body = EmbeddingsBody(reply, prompts);
  // Python: base64.b64encode(struct.pack("<2f", 0.5, 0.998046875))
  EXPECT_NE(body.find(R"("embedding":"AAAAPwCAfz8="})"), std::string::npos) << body;
}

TEST(Base64, Pads) {
  const auto encoded = [](std::string_view text) {
    std::string out;
    AppendBase64({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, &out);
    return out;
  };
  EXPECT_EQ(encoded(""), "");
  EXPECT_EQ(encoded("f"), "Zg==");
  EXPECT_EQ(encoded("fo"), "Zm8=");
  EXPECT_EQ(encoded("foo"), "Zm9v");
  EXPECT_EQ(encoded("\xfb\xff\xfe"), "+//+");
}

}  // namespace
}  // namespace headrace::sim
