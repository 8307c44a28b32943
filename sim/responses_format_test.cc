#include "sim/responses_format.h"

#include <gtest/gtest.h>

#include "sim/reply_rig.h"

namespace headrace::sim {
namespace {

const ReplyHead kReply{.id = "1", .model = "m", .created_s = 7};
constexpr Usage kUsage{.prompt_tokens = 5, .completion_tokens = 2, .cached_tokens = 1};

// What each response object begins with; "<H>" in what is expected.
constexpr std::string_view kHead =
    R"({"id":"resp_1","object":"response","created_at":7,"model":"m","background":false,)"
    R"("error":null,"instructions":null,"max_output_tokens":null,"max_tool_calls":null,)"
    R"("metadata":null,"parallel_tool_calls":true,"previous_response_id":null,)"
    R"("reasoning":null,"service_tier":"auto","temperature":1,)"
    R"("text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],"top_logprobs":0,)"
    R"("top_p":1,"truncation":"disabled","user":null)";

std::string Shortened(std::string text) {
  for (size_t at = 0; (at = text.find(kHead, at)) != text.npos;) {
    text.replace(at, kHead.size(), "<H>");
  }
  return text;
}

// Golden: OpenAI's Python client read these replies, and told the same text, calls and usage.
constexpr std::string_view kText =
    R"(event: response.created)"
    "\n"
    R"(data: {"type":"response.created","sequence_number":0,"response":<H>,)"
    R"("status":"in_progress","incomplete_details":null,"output":[],"usage":null}})"
    "\n"
    "\n"
    R"(event: response.in_progress)"
    "\n"
    R"(data: {"type":"response.in_progress","sequence_number":1,"response":<H>,)"
    R"("status":"in_progress","incomplete_details":null,"output":[],"usage":null}})"
    "\n"
    "\n"
    R"(event: response.output_item.added)"
    "\n"
    R"(data: {"type":"response.output_item.added","sequence_number":2,)"
    R"("output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant",)"
    R"("status":"in_progress","content":[]}})"
    "\n"
    "\n"
    R"(event: response.content_part.added)"
    "\n"
    R"(data: {"type":"response.content_part.added","sequence_number":3,)"
    R"("item_id":"msg_1","output_index":0,"content_index":0,)"
    R"("part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}})"
    "\n"
    "\n"
    R"(event: response.output_text.delta)"
    "\n"
    R"(data: {"type":"response.output_text.delta","sequence_number":4,)"
    R"("item_id":"msg_1","output_index":0,"content_index":0,"delta":"Grü",)"
    R"("logprobs":[]})"
    "\n"
    "\n"
    R"(event: response.output_text.delta)"
    "\n"
    R"(data: {"type":"response.output_text.delta","sequence_number":5,)"
    R"("item_id":"msg_1","output_index":0,"content_index":0,"delta":"n \"x\"",)"
    R"("logprobs":[]})"
    "\n"
    "\n"
    R"(event: response.output_text.done)"
    "\n"
    R"(data: {"type":"response.output_text.done","sequence_number":6,)"
    R"("item_id":"msg_1","output_index":0,"content_index":0,"text":"Grün \"x\"",)"
    R"("logprobs":[]})"
    "\n"
    "\n"
    R"(event: response.content_part.done)"
    "\n"
    R"(data: {"type":"response.content_part.done","sequence_number":7,)"
    R"("item_id":"msg_1","output_index":0,"content_index":0,)"
    R"("part":{"type":"output_text","text":"Grün \"x\"","annotations":[],)"
    R"("logprobs":[]}})"
    "\n"
    "\n"
    R"(event: response.output_item.done)"
    "\n"
    R"(data: {"type":"response.output_item.done","sequence_number":8,)"
    R"("output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant",)"
    R"("status":"incomplete","content":[{"type":"output_text","text":"Grün \"x\"",)"
    R"("annotations":[],"logprobs":[]}]}})"
    "\n"
    "\n"
    R"(event: response.completed)"
    "\n"
    R"(data: {"type":"response.completed","sequence_number":9,"response":<H>,)"
    R"("status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},)"
    R"("output":[{"id":"msg_1","type":"message","role":"assistant",)"
    R"("status":"incomplete","content":[{"type":"output_text","text":"Grün \"x\"",)"
    R"("annotations":[],"logprobs":[]}]}],"usage":{"input_tokens":5,)"
    R"("input_tokens_details":{"cached_tokens":1,"cache_write_tokens":0},)"
    R"("output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},)"
    R"("total_tokens":7}}})"
    "\n"
    "\n";

TEST(ResponsesFormat, StreamsAText) {
  const Output text = OutputOf({"Gr\xc3\xbc", "n \"x\""}, FinishReason::kLength);
  const auto format = MakeResponsesFormat(kReply, {});
  EXPECT_EQ(Shortened(StreamOf(format.get(), {&text}, kUsage)), kText);
}

constexpr std::string_view kCalls =
    R"(event: response.created)"
    "\n"
    R"(data: {"type":"response.created","sequence_number":0,"response":<H>,)"
    R"("status":"in_progress","incomplete_details":null,"output":[],"usage":null}})"
    "\n"
    "\n"
    R"(event: response.in_progress)"
    "\n"
    R"(data: {"type":"response.in_progress","sequence_number":1,"response":<H>,)"
    R"("status":"in_progress","incomplete_details":null,"output":[],"usage":null}})"
    "\n"
    "\n"
    R"(event: response.output_item.added)"
    "\n"
    R"(data: {"type":"response.output_item.added","sequence_number":2,)"
    R"("output_index":0,"item":{"type":"function_call","id":"fc_1_0",)"
    R"("call_id":"call-0","name":"weather","arguments":"","status":"in_progress"}})"
    "\n"
    "\n"
    R"(event: response.function_call_arguments.delta)"
    "\n"
    R"(data: {"type":"response.function_call_arguments.delta","sequence_number":3,)"
    R"("item_id":"fc_1_0","output_index":0,"delta":"{\"city\""})"
    "\n"
    "\n"
    R"(event: response.function_call_arguments.delta)"
    "\n"
    R"(data: {"type":"response.function_call_arguments.delta","sequence_number":4,)"
    R"("item_id":"fc_1_0","output_index":0,"delta":":\"Ulm\"}"})"
    "\n"
    "\n"
    R"(event: response.function_call_arguments.done)"
    "\n"
    R"(data: {"type":"response.function_call_arguments.done","sequence_number":5,)"
    R"("item_id":"fc_1_0","output_index":0,"name":"weather",)"
    R"("arguments":"{\"city\":\"Ulm\"}"})"
    "\n"
    "\n"
    R"(event: response.output_item.done)"
    "\n"
    R"(data: {"type":"response.output_item.done","sequence_number":6,)"
    R"("output_index":0,"item":{"type":"function_call","id":"fc_1_0",)"
    R"("call_id":"call-0","name":"weather","arguments":"{\"city\":\"Ulm\"}",)"
    R"("status":"completed"}})"
    "\n"
    "\n"
    R"(event: response.output_item.added)"
    "\n"
    R"(data: {"type":"response.output_item.added","sequence_number":7,)"
    R"("output_index":1,"item":{"type":"function_call","id":"fc_1_1",)"
    R"("call_id":"call-1","name":"clock","arguments":"","status":"in_progress"}})"
    "\n"
    "\n"
    R"(event: response.function_call_arguments.delta)"
    "\n"
    R"(data: {"type":"response.function_call_arguments.delta","sequence_number":8,)"
    R"("item_id":"fc_1_1","output_index":1,"delta":"{}"})"
    "\n"
    "\n"
    R"(event: response.function_call_arguments.done)"
    "\n"
    R"(data: {"type":"response.function_call_arguments.done","sequence_number":9,)"
    R"("item_id":"fc_1_1","output_index":1,"name":"clock","arguments":"{}"})"
    "\n"
    "\n"
    R"(event: response.output_item.done)"
    "\n"
    R"(data: {"type":"response.output_item.done","sequence_number":10,)"
    R"("output_index":1,"item":{"type":"function_call","id":"fc_1_1",)"
    R"("call_id":"call-1","name":"clock","arguments":"{}","status":"completed"}})"
    "\n"
    "\n"
    R"(event: response.completed)"
    "\n"
    R"(data: {"type":"response.completed","sequence_number":11,"response":<H>,)"
    R"("status":"completed","incomplete_details":null,)"
    R"("output":[{"type":"function_call","id":"fc_1_0","call_id":"call-0",)"
    R"("name":"weather","arguments":"{\"city\":\"Ulm\"}","status":"completed"},)"
    R"({"type":"function_call","id":"fc_1_1","call_id":"call-1","name":"clock",)"
    R"("arguments":"{}","status":"completed"}],"usage":{"input_tokens":5,)"
    R"("input_tokens_details":{"cached_tokens":1,"cache_write_tokens":0},)"
    R"("output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},)"
    R"("total_tokens":7}}})"
    "\n"
    "\n";

TEST(ResponsesFormat, StreamsCalls) {
  const Output calls = OutputOfCalls();
  const auto format = MakeResponsesFormat(kReply, {});
  EXPECT_EQ(Shortened(StreamOf(format.get(), {&calls}, kUsage)), kCalls);
}

TEST(ResponsesFormat, TellsTheSameAtOnce) {
  const Output text = OutputOf({"Gr\xc3\xbc", "n \"x\""}, FinishReason::kLength);
  const Output calls = OutputOfCalls();
  for (const Output* output : {&text, &calls}) {
    const auto stream = MakeResponsesFormat(kReply, {});
    const auto whole = MakeResponsesFormat(kReply, {});
    whole->SetOutput(0, output);
    const std::string body = whole->Whole(kUsage, "");
    EXPECT_TRUE(StreamOf(stream.get(), {output}, kUsage).ends_with(body + "}\n\n")) << body;
    const std::string moved = whole->Whole(kUsage, "{\"a\":1}");
    EXPECT_EQ(moved, body.substr(0, body.size() - 1) + R"(,"kv_transfer_params":{"a":1}})");
  }
}

TEST(ResponsesFormat, SaysAgainWhatItWasAskedWith) {
  const Output text = OutputOf({});
  const auto format =
      MakeResponsesFormat({.id = "a\"b", .model = "m\\"}, {.instructions = "\"i\"",
                                                           .tools = "[{}]",
                                                           .tool_choice = "\"none\"",
                                                           .parallel_tool_calls = false,
                                                           .temperature = 0.5,
                                                           .max_output_tokens = 9});
  format->SetOutput(0, &text);
  const std::string body = format->Whole({}, "");
  for (const char* field :
       {R"({"id":"resp_a\"b",)", R"("model":"m\\",)", R"("instructions":"i",)", R"("tools":[{}],)",
        R"("tool_choice":"none",)", R"("parallel_tool_calls":false,)", R"("temperature":0.5,)",
        R"("max_output_tokens":9,)", R"("status":"completed",)"}) {
    EXPECT_NE(body.find(field), body.npos) << field << " " << body;
  }
}

TEST(ResponsesFormat, TellsLogprobsWithTheText) {
  const Output text = OutputOf({"a", "b"});
  const auto format = MakeResponsesFormat(kReply, {.logprobs = 2});
  const std::string stream = StreamOf(format.get(), {&text}, kUsage);
  const std::string second = R"({"token":"b","logprob":-1.1,"bytes":[98],"top_logprobs":[)"
                             R"({"token":"b","logprob":-1.1,"bytes":[98]},)"
                             R"({"token":"tok_1","logprob":-1.6,"bytes":[116,111,107,95,49]}]})";
  EXPECT_NE(stream.find(R"("delta":"b","logprobs":[)" + second + "]}"), stream.npos) << stream;
  EXPECT_NE(stream.find("}," + second + R"(]}]}],"usage":)"), stream.npos) << stream;
}

// No tokens are a text that is empty, and no error.
TEST(ResponsesFormat, StreamsAnEmptyText) {
  const Output text = OutputOf({});
  const auto format = MakeResponsesFormat(kReply, {});
  const std::string stream = StreamOf(format.get(), {&text}, kUsage);
  EXPECT_EQ(stream.find(".delta"), stream.npos);
  EXPECT_NE(stream.find(R"("content_index":0,"text":"","logprobs":[])"), stream.npos);
  EXPECT_NE(stream.find("event: response.completed"), stream.npos);
}

TEST(ResponsesFormat, SaysWhyAStreamBroke) {
  const auto format = MakeResponsesFormat(kReply, {});
  std::string stream;
  format->Broken({503, "no \"x\"", "p"}, &stream);
  EXPECT_EQ(stream, R"(event: error)"
                    "\n"
                    R"(data: {"type":"error","sequence_number":0,"code":"InternalServerError",)"
                    R"("message":"no \"x\"","param":"p","error":{"message":"no \"x\"",)"
                    R"("type":"InternalServerError","param":"p","code":503}})"
                    "\n"
                    "\n");
}

}  // namespace
}  // namespace headrace::sim
