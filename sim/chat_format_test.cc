#include "sim/chat_format.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace headrace::sim {
namespace {

using Json = nlohmann::json;

const ReplyHead kHead{.id = "r1", .model = "m\"1", .created_s = 123};

Request OneChoice() {
  Request request;
  request.prompts.resize(1);
  return request;
}

// One token for each piece.
Output Said(const std::vector<std::string>& pieces, FinishReason finish = FinishReason::kStop) {
  Output output;
  for (const std::string& piece : pieces) {
    output.text += piece;
    output.ids.push_back(static_cast<uint32_t>(output.ids.size()));
    output.ends.push_back(static_cast<uint32_t>(output.text.size()));
  }
  output.finish = finish;
  return output;
}

Output Called() {
  Output output = Said({"{", "}", "{\"a\": ", "1}"}, FinishReason::kToolCalls);
  output.calls = {{"id1", "f", "{}", 0}, {"id2", "g", "{\"a\": 1}", 2}};
  return output;
}

// The frames of a stream of one choice.
std::string Stream(const Request& request, const Output& output, const Usage& usage = {}) {
  const auto format = MakeChatFormat(request, kHead);
  format->SetOutput(0, &output);
  std::string out;
  format->First(0, &out);
  for (uint32_t token = 0; token < output.ids.size(); ++token) format->Token(0, token, &out);
  format->Last(0, &out);
  format->End(usage, &out);
  return out;
}

// What stands behind "data: ", parsed, but for the last [DONE].
std::vector<Json> Frames(std::string stream) {
  std::vector<Json> frames;
  const std::string done = "data: [DONE]\n\n";
  EXPECT_TRUE(stream.ends_with(done)) << stream;
  stream.resize(stream.size() - done.size());
  while (!stream.empty()) {
    EXPECT_TRUE(stream.starts_with("data: "));
    const size_t end = stream.find("\n\n");
    frames.push_back(Json::parse(stream.substr(6, end - 6)));
    stream.erase(0, end + 2);
  }
  return frames;
}

TEST(ChatFormat, IsOneObjectWhenItIsNotStreamed) {
  const Output output = Said({"Hel", "lo \"you\"\n"});
  const auto format = MakeChatFormat(OneChoice(), kHead);
  format->SetOutput(0, &output);
  EXPECT_EQ(format->Whole({.prompt_tokens = 5, .completion_tokens = 2, .cached_tokens = 4}, ""),
            R"({"id":"chatcmpl-r1","object":"chat.completion","created":123,"model":"m\"1",)"
            R"("choices":[{"index":0,"message":{"role":"assistant","content":"Hello \"you\"\n",)"
            R"("refusal":null,"tool_calls":[]},"logprobs":null,"finish_reason":"stop",)"
            R"("stop_reason":null}],"usage":{"prompt_tokens":5,"total_tokens":7,)"
            R"("completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}},)"
            R"("system_fingerprint":null,"kv_transfer_params":null})");
}

TEST(ChatFormat, StreamsARoleTokensAndAReason) {
  const std::string head =
      R"(data: {"id":"chatcmpl-r1","object":"chat.completion.chunk","created":123,"model":"m\"1",)"
      R"("choices":[{"index":0,"delta":)";
  EXPECT_EQ(Stream(OneChoice(), Said({"a", "\"b"}, FinishReason::kLength)),
            head + R"({"role":"assistant"},"logprobs":null,"finish_reason":null}]})" + "\n\n" +
                head + R"({"content":"a"},"logprobs":null,"finish_reason":null}]})" + "\n\n" +
                head + R"({"content":"\"b"},"logprobs":null,"finish_reason":null}]})" + "\n\n" +
                head + R"({},"logprobs":null,"finish_reason":"length","stop_reason":null}]})" +
                "\n\ndata: [DONE]\n\n");
}

TEST(ChatFormat, TellsTheUsageOfAStreamInAChunkWithoutChoices) {
  Request request = OneChoice();
  request.include_usage = true;
  const auto frames = Frames(Stream(
      request, Said({"a"}), {.prompt_tokens = 3, .completion_tokens = 1, .cached_tokens = 2}));
  ASSERT_EQ(frames.size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(frames[i].at("usage").is_null()) << i;
  EXPECT_EQ(frames[3].at("choices"), Json::array());
  EXPECT_EQ(frames[3].at("id"), "chatcmpl-r1");
  EXPECT_EQ(frames[3].at("usage"), Json::parse(R"({"prompt_tokens":3,"completion_tokens":1,
      "total_tokens":4,"prompt_tokens_details":{"cached_tokens":2}})"));
}

TEST(ChatFormat, GivesACharacterWithTheTokenThatEndsIt) {
  const Output output = Said({"h\xc3", "\xa9l\xf0\x9f", "\x98", "\x80", "!"});
  std::vector<std::string> pieces;
  for (const Json& frame : Frames(Stream(OneChoice(), output))) {
    const Json& delta = frame.at("choices")[0].at("delta");
    if (delta.contains("content")) pieces.push_back(delta.at("content"));
  }
  EXPECT_EQ(pieces, (std::vector<std::string>{"h", "\xc3\xa9l", "", "\xf0\x9f\x98\x80", "!"}));
}

TEST(ChatFormat, ListsCallsInsteadOfAText) {
  const Output output = Called();
  const auto format = MakeChatFormat(OneChoice(), kHead);
  format->SetOutput(0, &output);
  const Json choice = Json::parse(format->Whole({}, "")).at("choices")[0];
  EXPECT_EQ(choice.at("finish_reason"), "tool_calls");
  EXPECT_TRUE(choice.at("message").at("content").is_null());
  EXPECT_EQ(choice.at("message").at("tool_calls"),
            Json::parse(R"([{"id":"id1","type":"function","function":{"name":"f","arguments":"{}"}},
      {"id":"id2","type":"function","function":{"name":"g","arguments":"{\"a\": 1}"}}])"));
}

TEST(ChatFormat, StreamsCallsAndTheReasonWithTheLastPiece) {
  const auto frames = Frames(Stream(OneChoice(), Called()));
  ASSERT_EQ(frames.size(), 5u);  // the role and four tokens
  const auto choice = [&](size_t i) { return frames[i].at("choices")[0]; };
  const auto call = [&](size_t i) { return choice(i).at("delta").at("tool_calls"); };
  EXPECT_EQ(call(1), Json::parse(R"([{"index":0,"id":"id1","type":"function",
      "function":{"name":"f","arguments":"{"}}])"));
  EXPECT_EQ(call(2), Json::parse(R"([{"index":0,"function":{"arguments":"}"}}])"));
  EXPECT_EQ(call(3), Json::parse(R"([{"index":1,"id":"id2","type":"function",
      "function":{"name":"g","arguments":"{\"a\": "}}])"));
  EXPECT_EQ(call(4), Json::parse(R"([{"index":1,"function":{"arguments":"1}"}}])"));
  for (size_t i = 0; i < 4; ++i) EXPECT_TRUE(choice(i).at("finish_reason").is_null()) << i;
  EXPECT_EQ(choice(4).at("finish_reason"), "tool_calls");
}

TEST(ChatFormat, TellsLogprobs) {
  Request request = OneChoice();
  request.sampling.logprobs = 2;
  const Output output = Said({"a", "\xc3\xa9", "c", "d"});
  const auto format = MakeChatFormat(request, kHead);
  format->SetOutput(0, &output);
  const Json whole = Json::parse(format->Whole({}, "")).at("choices")[0].at("logprobs");
  ASSERT_EQ(whole.at("content").size(), 4u);
  EXPECT_EQ(whole.at("content")[1], Json::parse(R"({"token":"é","logprob":-1.1,"bytes":[195,169],
      "top_logprobs":[{"token":"é","logprob":-1.1,"bytes":[195,169]},
                      {"token":"é_1","logprob":-1.6,"bytes":[195,169,95,49]}]})"));
  EXPECT_EQ(whole.at("content")[2].at("logprob"), -1.2);
  EXPECT_EQ(whole.at("content")[3].at("logprob"), -1.0);
  const auto frames = Frames(Stream(request, output));
  EXPECT_TRUE(frames[0].at("choices")[0].at("logprobs").is_null());
  EXPECT_EQ(frames[2].at("choices")[0].at("logprobs").at("content"),
            Json::array({whole.at("content")[1]}));
}

TEST(ChatFormat, TellsLogprobsWithoutAlternatives) {
  Request request = OneChoice();
  request.sampling.logprobs = 0;
  const Output output = Said({"a"});
  const auto format = MakeChatFormat(request, kHead);
  format->SetOutput(0, &output);
  const Json whole = Json::parse(format->Whole({}, "")).at("choices")[0].at("logprobs");
  EXPECT_EQ(
      whole,
      Json::parse(R"({"content":[{"token":"a","logprob":-1.0,"bytes":[97],"top_logprobs":[]}]})"));
}

TEST(ChatFormat, NumbersItsChoices) {
  Request request = OneChoice();
  request.n = 2;
  const Output first = Said({"a"}), second = Said({"b"}, FinishReason::kLength);
  const auto format = MakeChatFormat(request, kHead);
  format->SetOutput(0, &first);
  format->SetOutput(1, &second);
  const Json choices = Json::parse(format->Whole({}, "")).at("choices");
  ASSERT_EQ(choices.size(), 2u);
  EXPECT_EQ(choices[1].at("index"), 1);
  EXPECT_EQ(choices[1].at("message").at("content"), "b");
  EXPECT_EQ(choices[1].at("finish_reason"), "length");
  std::string out;
  format->Token(1, 0, &out);
  EXPECT_EQ(Json::parse(out.substr(6)).at("choices")[0].at("index"), 1);
}

TEST(ChatFormat, IsOneChunkWhenTooLittleWasCached) {
  const auto frames = Frames(Stream(OneChoice(), Said({}, FinishReason::kCacheThreshold)));
  ASSERT_EQ(frames.size(), 1u);
  EXPECT_EQ(frames[0].at("choices")[0].at("finish_reason"), "cache_threshold");
}

TEST(ChatFormat, StreamsAnAnswerThatIsEmpty) {
  const auto frames = Frames(Stream(OneChoice(), Said({})));
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].at("choices")[0].at("delta").at("role"), "assistant");
  EXPECT_EQ(frames[1].at("choices")[0].at("finish_reason"), "stop");
}

TEST(ChatFormat, HandsOnWhatTheDecoderNeeds) {
  const Output output = Said({"a"}, FinishReason::kRemoteDecode);
  const auto format = MakeChatFormat(OneChoice(), kHead);
  format->SetOutput(0, &output);
  const Json whole = Json::parse(format->Whole({}, R"({"remote_port":1})"));
  EXPECT_EQ(whole.at("kv_transfer_params").at("remote_port"), 1);
  EXPECT_EQ(whole.at("choices")[0].at("finish_reason"), "remote_decode");
}

TEST(ChatFormat, EndsABrokenStreamWithTheError) {
  std::string out;
  MakeChatFormat(OneChoice(), kHead)->Broken({503, "going down"}, &out);
  EXPECT_EQ(out,
            R"(data: {"error":{"message":"going down","type":"InternalServerError","param":null,)"
            "\"code\":503}}\n\ndata: [DONE]\n\n");
}

}  // namespace
}  // namespace headrace::sim
