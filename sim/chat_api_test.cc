#include "sim/chat_api.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "sim/media.h"

namespace headrace::sim {
namespace {

ChatRequest Read(std::string_view body) {
  auto chat = ParseChat(body, {});
  EXPECT_TRUE(chat) << body << ": " << (chat ? "" : chat.error().message);
  return chat ? *std::move(chat) : ChatRequest{.request = {.prompts = {{}}}, .tools = {}};
}
ChatRequest ReadMessages(std::string_view messages) {
  return Read(fmt::format(R"({{"model":"m","messages":{}}})", messages));
}

// "param: message" of a body that is refused.
std::string Refusal(std::string_view body) {
  const auto chat = ParseChat(body, {});
  EXPECT_FALSE(chat) << body;
  if (chat) return "";
  EXPECT_EQ(chat.error().status, 400);
  return chat.error().param.value_or("-") + ": " + chat.error().message;
}
std::string MessagesRefusal(std::string_view messages) {
  return Refusal(fmt::format(R"({{"messages":{}}})", messages));
}

TEST(ChatRequest, TurnsItsMessagesIntoAPrompt) {
  const ChatRequest chat = ReadMessages(
      R"([{"role":"system","content":"Be\nbrief."},{"role":"user","content":"h\u00e9llo"}])");
  EXPECT_EQ(chat.request.model, "m");
  ASSERT_EQ(chat.request.prompts.size(), 1u);
  EXPECT_EQ(chat.request.prompts[0].text, "### system: Be\nbrief.\n### user: h\xc3\xa9llo\n");
  EXPECT_EQ(chat.request.prompts[0].echo, "h\xc3\xa9llo");
  EXPECT_TRUE(chat.request.prompts[0].ids.empty());
}

TEST(ChatRequest, TakesBlocks) {
  const ChatRequest chat = ReadMessages(
      R"([{"role":"user","content":[{"type":"text","text":"see"},
          {"type":"image_url","image_url":{"url":"http://a/b.png"}},{"type":"text","text":"this"},
          {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},
          {"type":"video_url","video_url":"http://a/c.mp4"},"end"]}])");
  const Prompt& prompt = chat.request.prompts[0];
  EXPECT_EQ(prompt.text, "### user: see\nthis\nend\n");
  EXPECT_EQ(prompt.echo, "see\nthis\nend");
  ASSERT_EQ(prompt.media.size(), 3u);
  EXPECT_EQ(prompt.media[0].offset, 13u);
  EXPECT_EQ(prompt.media[1].offset, 18u);
  EXPECT_EQ(prompt.media[0].hash, MediaHash("http://a/b.png"));
  EXPECT_EQ(prompt.media[1].hash, MediaHash("AAAA"));
  EXPECT_EQ(prompt.media[2].hash, MediaHash("http://a/c.mp4"));
}

TEST(ChatRequest, HashesMediaAsXxh3Does) {
  EXPECT_EQ(MediaHash(""), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(MediaHash("abc"), "06b05ab6733a618578af5f94892f3950");
}

TEST(ChatRequest, TakesTheCallsOfAnAssistant) {
  const ChatRequest chat = ReadMessages(
      R"([{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function",
          "function":{"name":"f","arguments":"{\"a\":1}"}}]},
          {"role":"tool","tool_call_id":"1","content":"42"}])");
  EXPECT_EQ(chat.request.prompts[0].text, "### assistant: f({\"a\":1})\n### tool: 42\n");
  EXPECT_EQ(chat.request.prompts[0].echo, "42");
}

TEST(ChatRequest, EchoesWhatTheLastMessageSaysAndNotItsCalls) {
  const ChatRequest chat = ReadMessages(
      R"([{"role":"assistant","content":"x","tool_calls":[{"function":{"name":"f"}}]}])");
  EXPECT_EQ(chat.request.prompts[0].text, "### assistant: xf()\n");
  EXPECT_EQ(chat.request.prompts[0].echo, "x");
}

TEST(ChatRequest, RefusesMessagesThatAreNone) {
  EXPECT_EQ(Refusal("{}"), "messages: messages must be a list of messages");
  EXPECT_EQ(MessagesRefusal("null"), "messages: messages must be a list of messages");
  EXPECT_EQ(MessagesRefusal("\"hi\""), "messages: messages must be a list of messages");
  EXPECT_EQ(MessagesRefusal("[]"), "messages: messages must not be empty");
  EXPECT_EQ(MessagesRefusal("[1]"), "messages[0]: messages[0] must be an object");
  EXPECT_EQ(MessagesRefusal(R"([{"role":"user","content":"a"},{"content":"b"}])").substr(0, 17),
            "messages[1].role:");
  EXPECT_EQ(MessagesRefusal(R"([{"role":"user"}])"),
            "messages[0].content: messages[0].content is missing");
  EXPECT_EQ(MessagesRefusal(R"([{"role":"user","content":1}])"),
            "messages[0].content: messages[0].content must be a string or a list of blocks");
}

TEST(ChatRequest, RefusesBlocksThatAreNone) {
  for (const std::string_view block :
       {"1", "{}", R"({"type":1})", R"({"type":"smell"})", R"({"type":"text"})",
        R"({"type":"text","text":1})", R"({"type":"image_url"})",
        R"({"type":"image_url","image_url":{}})",
        R"({"type":"input_audio","input_audio":{"url":"a"}})"}) {
    EXPECT_EQ(
        MessagesRefusal(fmt::format(R"([{{"role":"user","content":[{}]}}])", block)).substr(0, 20),
        "messages[0].content:")
        << block;
  }
  for (const std::string_view calls : {"1", "[1]", "[{}]", R"([{"function":{}}])",
                                       R"([{"function":{"name":"f","arguments":{}}}])"}) {
    EXPECT_EQ(MessagesRefusal(fmt::format(R"([{{"role":"assistant","tool_calls":{}}}])", calls))
                  .substr(0, 23),
              "messages[0].tool_calls:")
        << calls;
  }
}

TEST(ChatRequest, PrefersTheNewNameOfMaxTokens) {
  const std::string messages = R"("messages":[{"role":"user","content":"a"}])";
  const auto limit = [&](std::string_view fields) {
    return Read(fmt::format("{{{}{}}}", fields, messages)).request.sampling.max_tokens;
  };
  EXPECT_EQ(limit(R"("max_tokens":5,)"), 5);
  EXPECT_EQ(limit(R"("max_completion_tokens":6,"max_tokens":5,)"), 6);
  EXPECT_EQ(limit(R"("max_completion_tokens":null,"max_tokens":5,)"), 5);
  EXPECT_EQ(limit(""), std::nullopt);
}

TEST(ChatRequest, TellsOneAlternativeUnlessItSaysHowMany) {
  const std::string messages = R"("messages":[{"role":"user","content":"a"}])";
  const auto logprobs = [&](std::string_view fields) {
    return Read(fmt::format("{{{}{}}}", fields, messages)).request.sampling.logprobs;
  };
  EXPECT_EQ(logprobs(""), std::nullopt);
  EXPECT_EQ(logprobs(R"("logprobs":false,)"), std::nullopt);
  EXPECT_EQ(logprobs(R"("logprobs":true,)"), 1u);
  EXPECT_EQ(logprobs(R"("logprobs":true,"top_logprobs":0,)"), 0u);
  EXPECT_EQ(logprobs(R"("logprobs":true,"top_logprobs":5,)"), 5u);
  EXPECT_EQ(Refusal(fmt::format(R"({{"top_logprobs":5,{}}})", messages)),
            "top_logprobs: top_logprobs can only be set when logprobs is true");
  EXPECT_EQ(Refusal(fmt::format(R"({{"logprobs":5,{}}})", messages)),
            "logprobs: logprobs must be true or false");
}

TEST(ChatRequest, HasTools) {
  const ChatRequest chat = Read(
      R"({"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function",
          "function":{"name":"f","parameters":{"type":"nonsense"}}}],"tool_choice":"required"})");
  ASSERT_EQ(chat.tools.tools.size(), 1u);
  EXPECT_EQ(chat.tools.choice, ToolChoice::kRequired);
}

TEST(ChatRequest, RefusesWhatIsNoJsonObject) {
  EXPECT_EQ(Refusal("{").substr(0, 25), "-: the body is not JSON: ");
  EXPECT_EQ(Refusal("[]"), "-: the body must be a JSON object");
  EXPECT_EQ(Refusal("{\"a\":1e400}").substr(0, 25), "-: the body is not JSON: ");
}

}  // namespace
}  // namespace headrace::sim
