#include "sim/responses_api.h"

#include <gtest/gtest.h>

namespace headrace::sim {
namespace {

ResponsesRequest Read(std::string_view body) {
  auto request = ParseResponses(body, {});
  EXPECT_TRUE(request) << body << " " << request.error().message;
  return request ? *std::move(request) : ResponsesRequest{};
}

std::string Refusal(std::string_view body) {
  const auto request = ParseResponses(body, {});
  EXPECT_FALSE(request) << body;
  if (request) return "";
  EXPECT_EQ(request.error().status, 400);
  EXPECT_FALSE(request.error().message.empty());
  return request.error().param.value_or("-");
}

const Prompt& PromptOf(const ResponsesRequest& request) {
  return request.request.prompts.at(0);
}

TEST(ResponsesRequest, IsReadFromAText) {
  const ResponsesRequest read = Read(R"({"model":"m","input":"h\u00e9","max_output_tokens":9,
                                         "stream":true,"max_tokens":1,"n":3})");
  EXPECT_EQ(read.request.model, "m");
  EXPECT_EQ(PromptOf(read).text, "### user: h\xc3\xa9\n");
  EXPECT_EQ(PromptOf(read).echo, "h\xc3\xa9");
  EXPECT_EQ(read.request.sampling.max_tokens, 9);
  EXPECT_EQ(read.echo.max_output_tokens, 9);
  EXPECT_EQ(read.request.n, 1u);
  EXPECT_TRUE(read.request.stream);
  EXPECT_FALSE(read.request.sampling.logprobs);
  EXPECT_FALSE(Read(R"({"input":"a","max_tokens":1})").request.sampling.max_tokens);
}

TEST(ResponsesRequest, IsReadFromItems) {
  const ResponsesRequest read = Read(R"({"instructions":"be brief","input":[
    {"role":"user","content":"a"},
    {"type":"reasoning","summary":[]},
    {"type":"function_call","call_id":"c","name":"f","arguments":"{\"x\":1}"},
    {"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"o"}]},
    {"type":"message","role":"assistant","content":[{"type":"output_text","text":"b"},
                                                    {"type":"refusal","refusal":"no"}]},
    {"role":"user","content":[{"type":"input_text","text":"c"},
      {"type":"input_image","image_url":"http://i"},{"type":"text","text":"d"}]}]})");
  EXPECT_EQ(PromptOf(read).text,
            "### system: be brief\n### user: a\n### assistant: f({\"x\":1})\n### tool: o\n"
            "### assistant: b\nno\n### user: c\nd\n");
  EXPECT_EQ(PromptOf(read).echo, "c\nd");
  ASSERT_EQ(PromptOf(read).media.size(), 1u);
  EXPECT_EQ(PromptOf(read).text.substr(PromptOf(read).media[0].offset), "\nd\n");
  EXPECT_EQ(read.echo.instructions, "\"be brief\"");
}

TEST(ResponsesRequest, HasToolsOfBothShapes) {
  const ResponsesRequest read = Read(R"({"input":"a","tools":[
    {"type":"function","name":"f","description":"d","strict":true,
     "parameters":{"type" : "object", "title":"a \"b\\" }},
    {"type":"function","function":{"name":"g"}}],
    "tool_choice":{"type":"function","name":"g"},"parallel_tool_calls":false})");
  ASSERT_EQ(read.tools.tools.size(), 2u);
  EXPECT_EQ(read.tools.tools[0].name, "f");
  EXPECT_EQ(read.tools.tools[0].parameters, R"({"type" : "object", "title":"a \"b\\" })");
  EXPECT_EQ(read.tools.tools[1].name, "g");
  EXPECT_EQ(read.tools.choice, ToolChoice::kNamed);
  EXPECT_EQ(read.tools.named, "g");
  EXPECT_FALSE(read.tools.parallel);
  // Told again, flat and on one line.
  EXPECT_EQ(read.echo.tools,
            R"([{"type":"function","name":"f","description":"d",)"
            R"("parameters":{"type":"object","title":"a \"b\\"},"strict":true},)"
            R"({"type":"function","name":"g","description":"","parameters":{},"strict":null}])");
  EXPECT_EQ(read.echo.tool_choice, R"({"type":"function","name":"g"})");
  EXPECT_FALSE(read.echo.parallel_tool_calls);
  EXPECT_EQ(Read(R"({"input":"a","tools":[{"type":"function","name":"f"}],
                     "tool_choice":"required"})")
                .tools.choice,
            ToolChoice::kRequired);
  EXPECT_EQ(Read(R"({"input":"a","tool_choice":"none"})").tools.choice, ToolChoice::kNone);
}

TEST(ResponsesRequest, HasLogprobsWhenTheyAreIncluded) {
  const auto logprobs = [](std::string_view body) { return Read(body).echo.logprobs; };
  EXPECT_FALSE(logprobs(R"({"input":"a","include":["reasoning.encrypted_content"]})"));
  EXPECT_EQ(logprobs(R"({"input":"a","include":["message.output_text.logprobs"]})"), 0u);
  EXPECT_EQ(logprobs(R"({"input":"a","top_logprobs":2})"), 2u);
  EXPECT_EQ(Read(R"({"input":"a","top_logprobs":21})").request.sampling.logprobs, 21u);
}

TEST(ResponsesRequest, TellsAgainWhatItWasAskedWith) {
  const ResponsesEcho echo = Read(R"({"input":"a","metadata":{"k" :
    "v w"},"previous_response_id":"resp_1","temperature":0.7,"top_p":0.5})")
                                 .echo;
  EXPECT_EQ(echo.metadata, R"({"k":"v w"})");
  EXPECT_EQ(echo.previous_response_id, "\"resp_1\"");
  EXPECT_EQ(echo.temperature, 0.7);
  EXPECT_EQ(echo.top_p, 0.5);
}

TEST(ResponsesRequest, NamesWhatIsWrong) {
  EXPECT_EQ(Refusal("{"), "-");
  EXPECT_EQ(Refusal("{}"), "input");
  EXPECT_EQ(Refusal(R"({"input":[]})"), "input");
  EXPECT_EQ(Refusal(R"({"input":7})"), "input");
  EXPECT_EQ(Refusal(R"({"input":"a","instructions":[]})"), "instructions");
  EXPECT_EQ(Refusal(R"({"input":[{"role":"user","content":"a"},7]})"), "input[1]");
  EXPECT_EQ(Refusal(R"({"input":[{"content":"a"}]})"), "input[0].role");
  EXPECT_EQ(Refusal(R"({"input":[{"role":"user"}]})"), "input[0].content");
  EXPECT_EQ(Refusal(R"({"input":[{"role":"user","content":[7]}]})"), "input[0].content");
  EXPECT_EQ(Refusal(R"({"input":[{"role":"user","content":[{"type":"input_text"}]}]})"),
            "input[0].content");
  EXPECT_EQ(Refusal(R"({"input":[{"role":"user","content":[{"type":"input_image"}]}]})"),
            "input[0].content");
  EXPECT_EQ(Refusal(R"({"input":[{"type":"web"}]})"), "input[0].type");
  EXPECT_EQ(Refusal(R"({"input":[{"type":"function_call","arguments":""}]})"), "input[0].name");
  EXPECT_EQ(Refusal(R"({"input":[{"type":"function_call","name":"f"}]})"), "input[0].arguments");
  EXPECT_EQ(Refusal(R"({"input":[{"type":"function_call_output","output":""}]})"),
            "input[0].call_id");
  EXPECT_EQ(Refusal(R"({"input":[{"type":"function_call_output","call_id":"c"}]})"),
            "input[0].output");
  EXPECT_EQ(Refusal(R"({"input":"a","tools":[{"type":"web_search"}]})"), "tools[0]");
  EXPECT_EQ(Refusal(R"({"input":"a","tools":[{"type":"function","function":1}]})"), "tools[0]");
  EXPECT_EQ(Refusal(R"({"input":"a","tools":[{"type":"function"}]})"), "tools[0]");
  EXPECT_EQ(Refusal(R"({"input":"a","tool_choice":"sometimes"})"), "tool_choice");
  EXPECT_EQ(Refusal(R"({"input":"a","tool_choice":"required"})"), "tool_choice");
  EXPECT_EQ(Refusal(R"({"input":"a","tool_choice":{}})"), "tool_choice");
  EXPECT_EQ(Refusal(R"({"input":"a","include":[1]})"), "include");
  EXPECT_EQ(Refusal(R"({"input":"a","temperature":3})"), "temperature");
  EXPECT_EQ(Refusal(R"({"input":"a","max_output_tokens":"9"})"), "max_output_tokens");
}

}  // namespace
}  // namespace headrace::sim
