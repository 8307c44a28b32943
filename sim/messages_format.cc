#include "sim/messages_format.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "sim/json_text.h"
#include "sim/token_text.h"

namespace headrace::sim {
namespace {

const char* StopReason(const Output& output) {
  switch (output.finish) {
    case FinishReason::kLength:
      return "\"max_tokens\"";
    case FinishReason::kToolCalls:
      return "\"tool_use\"";
    case FinishReason::kStop:
      if (!output.calls.empty()) return "\"tool_use\"";
      return output.stop.empty() ? "\"end_turn\"" : "\"stop_sequence\"";
    case FinishReason::kRemoteDecode:
    case FinishReason::kCacheThreshold:
      break;  // reasons that this API has no word for
  }
  return "null";
}

class MessagesFormat final : public ReplyFormat {
 public:
  explicit MessagesFormat(const ReplyHead& head) : prompt_tokens_(head.prompt_tokens) {
    head_.append(R"({"id":"msg_)").append(JsonEscaped(head.id));
    head_.append(R"(","type":"message","role":"assistant","model":)");
    AppendJsonString(head.model, &head_);
  }

  void SetOutput(uint32_t choice, const Output* output) override {
    HR_CHECK(choice == 0 && output != nullptr);
    HR_CHECK(output->calls.empty() || output->calls[0].first_token == 0);
    output_ = output;
  }

  std::string Whole(const Usage& usage, const std::string& kv_transfer_params) override {
    HR_CHECK(output_ != nullptr);
    std::string body = head_;
    body.append(R"(,"content":[)");
    if (output_->calls.empty()) AppendText(output_->text, &body);
    for (size_t i = 0; i < output_->calls.size(); ++i) {
      if (i > 0) body += ',';
      AppendCall(output_->calls[i], output_->calls[i].arguments, &body);
    }
    body.append("],");
    AppendStop(&body);
    AppendUsage(usage, &body);
    if (!kv_transfer_params.empty()) {
      body.append(R"(,"kv_transfer_params":)").append(kv_transfer_params);
    }
    body += '}';
    return body;
  }

  void First(uint32_t, std::string* out) override {
    HR_CHECK(output_ != nullptr);
    BeginEvent("message_start", out);
    out->append(R"(,"message":)").append(head_);
    out->append(R"(,"content":[],"stop_reason":null,"stop_sequence":null)");
    AppendUsage({.prompt_tokens = prompt_tokens_}, out);
    out->append("}}\n\n");
    BeginBlock(out);
    out->append("event: ping\ndata: {\"type\":\"ping\"}\n\n");
  }

  void Token(uint32_t, uint32_t token, std::string* out) override {
    const auto& calls = output_->calls;
    while (begun_ < calls.size() && calls[begun_].first_token <= token) {
      EndBlock(out);
      BeginBlock(out);
    }
    BeginEvent("content_block_delta", out);
    AppendIndex(out);
    out->append(calls.empty() ? R"(,"delta":{"type":"text_delta","text":)"
                              : R"(,"delta":{"type":"input_json_delta","partial_json":)");
    AppendJsonString(TokenText(*output_, token), out);
    out->append("}}\n\n");
  }

  void Last(uint32_t, std::string* out) override {
    EndBlock(out);
    while (begun_ < output_->calls.size()) {  // calls without a token of their own
      BeginBlock(out);
      EndBlock(out);
    }
  }

  void End(const Usage& usage, std::string* out) override {
    BeginEvent("message_delta", out);
    out->append(R"(,"delta":{)");
    AppendStop(out);
    *out += '}';
    AppendUsage(usage, out);
    out->append("}\n\n");
    BeginEvent("message_stop", out);
    out->append("}\n\n");
  }

  void Broken(const ApiError& error, std::string* out) override {
    out->append("event: error\ndata: ").append(MessagesErrorBody(error)).append("\n\n");
  }

 private:
  static void BeginEvent(std::string_view name, std::string* out) {
    out->append("event: ").append(name).append("\ndata: {\"type\":\"").append(name) += '"';
  }

  static void AppendText(std::string_view text, std::string* out) {
    out->append(R"({"type":"text","text":)");
    AppendJsonString(text, out);
    *out += '}';
  }
  static void AppendCall(const ToolCall& call, std::string_view input, std::string* out) {
    out->append(R"({"type":"tool_use","id":)");
    AppendJsonString(call.id, out);
    out->append(R"(,"name":)");
    AppendJsonString(call.name, out);
    out->append(R"(,"input":)").append(input) += '}';
  }
  void AppendStop(std::string* out) const {
    const std::string_view reason = StopReason(*output_);
    out->append(R"("stop_reason":)").append(reason).append(R"(,"stop_sequence":)");
    if (reason == "\"stop_sequence\"") {
      AppendJsonString(output_->stop, out);
    } else {
      out->append("null");
    }
  }
  // What the cache had is not counted among the input here.
  static void AppendUsage(const Usage& usage, std::string* out) {
    fmt::format_to(std::back_inserter(*out),
                   R"(,"usage":{{"input_tokens":{},"output_tokens":{},)"
                   R"("cache_creation_input_tokens":0,"cache_read_input_tokens":{}}})",
                   usage.prompt_tokens - std::min(usage.prompt_tokens, usage.cached_tokens),
                   usage.completion_tokens, usage.cached_tokens);
  }

  // Of the block that was begun last.
  void AppendIndex(std::string* out) const {
    HR_DCHECK(begun_ > 0);
    out->append(R"(,"index":)").append(fmt::format_int(begun_ - 1).str());
  }
  void BeginBlock(std::string* out) {
    ++begun_;
    BeginEvent("content_block_start", out);
    AppendIndex(out);
    out->append(R"(,"content_block":)");
    if (output_->calls.empty()) {
      AppendText("", out);
    } else {
      AppendCall(output_->calls[begun_ - 1], "{}", out);
    }
    out->append("}\n\n");
  }
  void EndBlock(std::string* out) {
    BeginEvent("content_block_stop", out);
    AppendIndex(out);
    out->append("}\n\n");
  }

  const uint64_t prompt_tokens_;
  std::string head_;  // of the message, up to its content

  const Output* output_ = nullptr;
  size_t begun_ = 0;  // blocks
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeMessagesFormat(const ReplyHead& head) {
  return std::make_unique<MessagesFormat>(head);
}

std::string MessagesErrorBody(const ApiError& error) {
  std::string body = ErrorBody(error);
  body.insert(1, R"("type":"error",)");
  return body;
}

}  // namespace headrace::sim
