#include "sim/messages_api.h"

#include <gtest/gtest.h>

namespace headrace::sim {
namespace {

MessagesRequest Read(std::string_view body) {
  auto request = ParseMessages(body, {});
  EXPECT_TRUE(request) << body << " " << request.error().message;
  return request ? *std::move(request) : MessagesRequest{};
}

// What is refused of a body that has, beside `fields`, all that it needs.
std::string Refusal(std::string_view fields) {
  std::string body(R"({"messages":[{"role":"user","content":"a"}],"max_tokens":5,)");
  body.append(fields) += '}';
  const auto request = ParseMessages(body, {});
  EXPECT_FALSE(request) << body;
  if (request) return "";
  EXPECT_EQ(request.error().status, 400);
  EXPECT_FALSE(request.error().message.empty());
  return request.error().param.value_or("-");
}

TEST(MessagesRequest, IsReadWithItsFields) {
  const MessagesRequest read = Read(R"({"model":"m","max_tokens":5,"stream":true,
    "stop_sequences":["x","y"],"stop":["z"],"n":2,"system":"be brief",
    "messages":[{"role":"user","content":"a"}]})");
  EXPECT_EQ(read.request.model, "m");
  EXPECT_EQ(read.request.sampling.max_tokens, 5);
  EXPECT_EQ(read.request.sampling.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(read.request.stream);
  EXPECT_EQ(read.request.n, 1u);
  EXPECT_EQ(read.request.prompts.at(0).text, "### system: be brief\n### user: a\n");
  EXPECT_EQ(read.request.prompts[0].echo, "a");
}

TEST(MessagesRequest, HasBlocks) {
  const MessagesRequest read = Read(R"({"max_tokens":5,
    "system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}},
              {"type":"text","text":"t"}],
    "messages":[
      {"role":"user","content":[{"type":"text","text":"a"},
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}},
        {"type":"image","source":{"type":"url","url":"http://i"}}]},
      {"role":"assistant","content":[{"type":"thinking","thinking":"hm"},
        {"type":"tool_use","id":"t1","name":"f","input":{"x":1}}]},
      {"role":"user","content":[
        {"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"r"}]},
        {"type":"tool_result","tool_use_id":"t2","content":"q"},
        {"type":"tool_result","tool_use_id":"t3"}]}]})");
  const Prompt& prompt = read.request.prompts.at(0);
  EXPECT_EQ(prompt.text,
            "### system: s\nt\n### user: a\n### assistant: f({\"x\":1})\n### user: r\nq\n");
  EXPECT_EQ(prompt.echo, "r\nq");
  ASSERT_EQ(prompt.media.size(), 2u);
  EXPECT_NE(prompt.media[0].hash, prompt.media[1].hash);
  EXPECT_EQ(prompt.text.substr(0, prompt.media[0].offset), "### system: s\nt\n### user: a");
}

TEST(MessagesRequest, HasTools) {
  const auto tools = [](std::string_view choice) {
    std::string body(R"({"messages":[{"role":"user","content":"a"}],"max_tokens":5,"tools":[)");
    body.append(R"({"name":"f","description":"d","input_schema":{"type":"object"}}])");
    body.append(choice) += '}';
    return Read(body).tools;
  };
  const ToolRequest open = tools("");
  ASSERT_EQ(open.tools.size(), 1u);
  EXPECT_EQ(open.tools[0].name, "f");
  EXPECT_EQ(open.tools[0].parameters, R"({"type":"object"})");
  EXPECT_EQ(open.choice, ToolChoice::kAuto);
  EXPECT_TRUE(open.parallel);
  EXPECT_EQ(tools(R"(,"tool_choice":{"type":"auto"})").choice, ToolChoice::kAuto);
  EXPECT_EQ(tools(R"(,"tool_choice":{"type":"any"})").choice, ToolChoice::kRequired);
  EXPECT_EQ(tools(R"(,"tool_choice":{"type":"none"})").choice, ToolChoice::kNone);
  const ToolRequest named =
      tools(R"(,"tool_choice":{"type":"tool","name":"f","disable_parallel_tool_use":true})");
  EXPECT_EQ(named.choice, ToolChoice::kNamed);
  EXPECT_EQ(named.named, "f");
  EXPECT_FALSE(named.parallel);
}

TEST(MessagesRequest, NamesWhatIsWrong) {
  EXPECT_EQ(ParseMessages(R"({"messages":[{"role":"user","content":"a"}]})", {}).error().param,
            "max_tokens");
  EXPECT_EQ(ParseMessages(R"({"max_tokens":1})", {}).error().param, "messages");
  EXPECT_EQ(Refusal(R"("messages":[])"), "messages");
  EXPECT_EQ(Refusal(R"("messages":"a")"), "messages");
  EXPECT_EQ(Refusal(R"("messages":[7])"), "messages[0]");
  EXPECT_EQ(Refusal(R"("messages":[{"role":"tool","content":"a"}])"), "messages[0]");
  EXPECT_EQ(Refusal(R"("messages":[{"role":"user"}])"), "messages[0]");
  EXPECT_EQ(Refusal(R"("messages":[{"role":"user","content":7}])"), "messages[0]");
  for (const char* block :
       {"7", "{}", R"({"type":"text"})", R"({"type":"audio"})", R"({"type":"image"})",
        R"({"type":"image","source":{"type":"url","data":"a"}})", R"({"type":"tool_result"})",
        R"({"type":"tool_use","name":"f"})", R"({"type":"tool_use","input":{}})",
        R"({"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_result"}]})"}) {
    std::string fields(R"("messages":[{"role":"user","content":"a"},{"role":"user","content":[)");
    EXPECT_EQ(Refusal(fields.append(block).append("]}]")), "messages[1]") << block;
  }
  EXPECT_EQ(Refusal(R"("system":7)"), "system");
  EXPECT_EQ(Refusal(R"("stop_sequences":["a",""])"), "stop_sequences");
  EXPECT_EQ(Refusal(R"("tools":[7])"), "tools[0]");
  EXPECT_EQ(Refusal(R"("tools":[{"name":"f"}])"), "tools[0]");
  EXPECT_EQ(Refusal(R"("tools":[{"input_schema":{}}])"), "tools[0]");
  EXPECT_EQ(Refusal(R"("tool_choice":"auto")"), "tool_choice");
  EXPECT_EQ(Refusal(R"("tool_choice":{"type":"all"})"), "tool_choice.type");
  EXPECT_EQ(Refusal(R"("tool_choice":{"type":"tool"})"), "tool_choice.name");
  EXPECT_EQ(Refusal(R"("tool_choice":{"type":"any"})"), "tool_choice");
}

}  // namespace
}  // namespace headrace::sim
