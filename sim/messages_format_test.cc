#include "sim/messages_format.h"

#include <gtest/gtest.h>

#include "sim/reply_rig.h"

namespace headrace::sim {
namespace {

const ReplyHead kReply{.id = "1", .model = "m", .created_s = 7, .prompt_tokens = 5};
constexpr Usage kUsage{.prompt_tokens = 5, .completion_tokens = 2, .cached_tokens = 1};

std::string WholeOf(const Output& output, const std::string& kv_transfer_params = "") {
  const auto format = MakeMessagesFormat(kReply);
  format->SetOutput(0, &output);
  return format->Whole(kUsage, kv_transfer_params);
}

// Golden: Anthropic's Python client read these replies, and told the same text, calls and usage.
constexpr std::string_view kText =
    R"(event: message_start)"
    "\n"
    R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message",)"
    R"("role":"assistant","model":"m","content":[],"stop_reason":null,)"
    R"("stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":0,)"
    R"("cache_creation_input_tokens":0,"cache_read_input_tokens":0}}})"
    "\n"
    "\n"
    R"(event: content_block_start)"
    "\n"
    R"(data: {"type":"content_block_start","index":0,"content_block":{"type":"text",)"
    R"("text":""}})"
    "\n"
    "\n"
    R"(event: ping)"
    "\n"
    R"(data: {"type":"ping"})"
    "\n"
    "\n"
    R"(event: content_block_delta)"
    "\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",)"
    R"("text":"Grü"}})"
    "\n"
    "\n"
    R"(event: content_block_delta)"
    "\n"
    R"(data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",)"
    R"("text":"n \"x\""}})"
    "\n"
    "\n"
    R"(event: content_block_stop)"
    "\n"
    R"(data: {"type":"content_block_stop","index":0})"
    "\n"
    "\n"
    R"(event: message_delta)"
    "\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"max_tokens",)"
    R"("stop_sequence":null},"usage":{"input_tokens":4,"output_tokens":2,)"
    R"("cache_creation_input_tokens":0,"cache_read_input_tokens":1}})"
    "\n"
    "\n"
    R"(event: message_stop)"
    "\n"
    R"(data: {"type":"message_stop"})"
    "\n"
    "\n";

TEST(MessagesFormat, StreamsAText) {
  const Output text = OutputOf({"Gr\xc3\xbc", "n \"x\""}, FinishReason::kLength);
  const auto format = MakeMessagesFormat(kReply);
  EXPECT_EQ(StreamOf(format.get(), {&text}, kUsage), kText);
}

constexpr std::string_view kCalls =
    R"(event: message_start)"
    "\n"
    R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message",)"
    R"("role":"assistant","model":"m","content":[],"stop_reason":null,)"
    R"("stop_sequence":null,"usage":{"input_tokens":5,"output_tokens":0,)"
    R"("cache_creation_input_tokens":0,"cache_read_input_tokens":0}}})"
    "\n"
    "\n"
    R"(event: content_block_start)"
    "\n"
    R"(data: {"type":"content_block_start","index":0,)"
    R"("content_block":{"type":"tool_use","id":"call-0","name":"weather",)"
    R"("input":{}}})"
    "\n"
    "\n"
    R"(event: ping)"
    "\n"
    R"(data: {"type":"ping"})"
    "\n"
    "\n"
    R"(event: content_block_delta)"
    "\n"
    R"(data: {"type":"content_block_delta","index":0,)"
    R"("delta":{"type":"input_json_delta","partial_json":"{\"city\""}})"
    "\n"
    "\n"
    R"(event: content_block_delta)"
    "\n"
    R"(data: {"type":"content_block_delta","index":0,)"
    R"("delta":{"type":"input_json_delta","partial_json":":\"Ulm\"}"}})"
    "\n"
    "\n"
    R"(event: content_block_stop)"
    "\n"
    R"(data: {"type":"content_block_stop","index":0})"
    "\n"
    "\n"
    R"(event: content_block_start)"
    "\n"
    R"(data: {"type":"content_block_start","index":1,)"
    R"("content_block":{"type":"tool_use","id":"call-1","name":"clock","input":{}}})"
    "\n"
    "\n"
    R"(event: content_block_delta)"
    "\n"
    R"(data: {"type":"content_block_delta","index":1,)"
    R"("delta":{"type":"input_json_delta","partial_json":"{}"}})"
    "\n"
    "\n"
    R"(event: content_block_stop)"
    "\n"
    R"(data: {"type":"content_block_stop","index":1})"
    "\n"
    "\n"
    R"(event: message_delta)"
    "\n"
    R"(data: {"type":"message_delta","delta":{"stop_reason":"tool_use",)"
    R"("stop_sequence":null},"usage":{"input_tokens":4,"output_tokens":2,)"
    R"("cache_creation_input_tokens":0,"cache_read_input_tokens":1}})"
    "\n"
    "\n"
    R"(event: message_stop)"
    "\n"
    R"(data: {"type":"message_stop"})"
    "\n"
    "\n";

TEST(MessagesFormat, StreamsCalls) {
  const Output calls = OutputOfCalls();
  const auto format = MakeMessagesFormat(kReply);
  EXPECT_EQ(StreamOf(format.get(), {&calls}, kUsage), kCalls);
}

TEST(MessagesFormat, TellsATextAtOnce) {
  EXPECT_EQ(WholeOf(OutputOf({"Gr\xc3\xbc", "n \"x\""}, FinishReason::kLength)),
            R"({"id":"msg_1","type":"message","role":"assistant","model":"m",)"
            R"("content":[{"type":"text","text":"Grün \"x\""}],"stop_reason":"max_tokens",)"
            R"("stop_sequence":null,"usage":{"input_tokens":4,"output_tokens":2,)"
            R"("cache_creation_input_tokens":0,"cache_read_input_tokens":1}})");
}

TEST(MessagesFormat, TellsCallsAtOnce) {
  EXPECT_EQ(WholeOf(OutputOfCalls(), "{\"a\":1}"),
            R"({"id":"msg_1","type":"message","role":"assistant","model":"m",)"
            R"("content":[{"type":"tool_use","id":"call-0","name":"weather",)"
            R"("input":{"city":"Ulm"}},{"type":"tool_use","id":"call-1","name":"clock",)"
            R"("input":{}}],"stop_reason":"tool_use","stop_sequence":null,)"
            R"("usage":{"input_tokens":4,"output_tokens":2,"cache_creation_input_tokens":0,)"
            R"("cache_read_input_tokens":1},"kv_transfer_params":{"a":1}})");
}

TEST(MessagesFormat, HasAWordForEachEnd) {
  const auto stop = [](FinishReason finish, const char* sequence) {
    Output output = OutputOf({"a"}, finish);
    output.stop = sequence;
    const std::string body = WholeOf(output);
    const size_t begin = body.find("\"stop_reason\"");
    return body.substr(begin, body.find(",\"usage\"") - begin);
  };
  EXPECT_EQ(stop(FinishReason::kStop, ""), R"("stop_reason":"end_turn","stop_sequence":null)");
  EXPECT_EQ(stop(FinishReason::kStop, "x\"y"),
            R"("stop_reason":"stop_sequence","stop_sequence":"x\"y")");
  EXPECT_EQ(stop(FinishReason::kLength, "x"), R"("stop_reason":"max_tokens","stop_sequence":null)");
  EXPECT_EQ(stop(FinishReason::kToolCalls, ""), R"("stop_reason":"tool_use","stop_sequence":null)");
  EXPECT_EQ(stop(FinishReason::kCacheThreshold, ""), R"("stop_reason":null,"stop_sequence":null)");
}

// A named tool may be called and the reason be "stop": that is a use of a tool, too.
TEST(MessagesFormat, UsesAToolWhereverItCallsOne) {
  Output calls = OutputOfCalls();
  calls.finish = FinishReason::kStop;
  EXPECT_NE(WholeOf(calls).find(R"("stop_reason":"tool_use")"), std::string::npos);
}

// No tokens are a text that is empty, and no error.
TEST(MessagesFormat, StreamsAnEmptyText) {
  const Output text = OutputOf({});
  const auto format = MakeMessagesFormat(kReply);
  const std::string stream = StreamOf(format.get(), {&text}, kUsage);
  EXPECT_EQ(stream.find("event: content_block_delta"), stream.npos);
  EXPECT_NE(stream.find("event: content_block_stop"), stream.npos);
  EXPECT_NE(stream.find("event: message_stop"), stream.npos);
  EXPECT_NE(WholeOf(text).find(R"("content":[{"type":"text","text":""}])"), std::string::npos);
}

TEST(MessagesFormat, SaysWhyAStreamBroke) {
  const auto format = MakeMessagesFormat(kReply);
  std::string stream;
  format->Broken({503, "no \"x\"", "p"}, &stream);
  EXPECT_EQ(stream, R"(event: error)"
                    "\n"
                    R"(data: {"type":"error","error":{"message":"no \"x\"",)"
                    R"("type":"InternalServerError","param":"p","code":503}})"
                    "\n"
                    "\n");
}

}  // namespace
}  // namespace headrace::sim
