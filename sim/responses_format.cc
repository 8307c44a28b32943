#include "sim/responses_format.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "base/result.h"
#include "sim/json_text.h"
#include "sim/logprobs.h"
#include "sim/token_text.h"

namespace headrace::sim {
namespace {

class ResponsesFormat final : public ReplyFormat {
 public:
  ResponsesFormat(const ReplyHead& head, const ResponsesEcho& echo)
      : id_(JsonEscaped(head.id)), logprobs_(echo.logprobs) {
    fmt::format_to(std::back_inserter(head_),
                   R"({{"id":"resp_{}","object":"response","created_at":{},"model":)", id_,
                   head.created_s);
    AppendJsonString(head.model, &head_);
    fmt::format_to(
        std::back_inserter(head_),
        R"(,"background":false,"error":null,"instructions":{},"max_output_tokens":{},)"
        R"("max_tool_calls":null,"metadata":{},"parallel_tool_calls":{},)"
        R"("previous_response_id":{},"reasoning":null,"service_tier":"auto","temperature":{},)"
        R"("text":{{"format":{{"type":"text"}}}},"tool_choice":{},"tools":{},"top_logprobs":{},)"
        R"("top_p":{},"truncation":"disabled","user":null)",
        echo.instructions,
        echo.max_output_tokens ? fmt::to_string(*echo.max_output_tokens) : "null", echo.metadata,
        echo.parallel_tool_calls, echo.previous_response_id, echo.temperature, echo.tool_choice,
        echo.tools, echo.logprobs.value_or(0), echo.top_p);
    text_place_ = fmt::format(R"(,"item_id":"msg_{}","output_index":0,"content_index":0)", id_);
  }

  void SetOutput(uint32_t choice, const Output* output) override {
    HR_CHECK(choice == 0 && output != nullptr);
    HR_CHECK(output->calls.empty() || output->calls[0].first_token == 0);
    output_ = output;
  }

  std::string Whole(const Usage& usage, const std::string& kv_transfer_params) override {
    HR_CHECK(output_ != nullptr);
    std::string body;
    AppendResponse(&usage, &body);
    if (!kv_transfer_params.empty()) {
      body.pop_back();
      body.append(R"(,"kv_transfer_params":)").append(kv_transfer_params) += '}';
    }
    return body;
  }

  void First(uint32_t, std::string* out) override {
    HR_CHECK(output_ != nullptr);
    for (const std::string_view name : {"response.created", "response.in_progress"}) {
      BeginEvent(name, out);
      out->append(R"(,"response":)");
      AppendResponse(nullptr, out);
      EndEvent(out);
    }
    if (!output_->calls.empty()) {
      BeginCall(out);
      return;
    }
    BeginEvent("response.output_item.added", out);
    fmt::format_to(std::back_inserter(*out),
                   R"(,"output_index":0,"item":{{"id":"msg_{}","type":"message",)"
                   R"("role":"assistant","status":"in_progress","content":[]}})",
                   id_);
    EndEvent(out);
    BeginEvent("response.content_part.added", out);
    out->append(text_place_).append(R"(,"part":)");
    out->append(R"({"type":"output_text","text":"","annotations":[],"logprobs":[]})");
    EndEvent(out);
  }

  void Token(uint32_t, uint32_t token, std::string* out) override {
    const std::string_view piece = TokenText(*output_, token);
    if (!output_->calls.empty()) {
      while (begun_ < output_->calls.size() && output_->calls[begun_].first_token <= token) {
        EndCall(out);
        BeginCall(out);
      }
      BeginEvent("response.function_call_arguments.delta", out);
      AppendCallPlace(out);
    } else {
      BeginEvent("response.output_text.delta", out);
      out->append(text_place_);
    }
    out->append(R"(,"delta":)");
    AppendJsonString(piece, out);
    if (output_->calls.empty()) {
      out->append(R"(,"logprobs":[)");
      if (logprobs_) AppendTokenLogprob(piece, token, *logprobs_, out);
      *out += ']';
    }
    EndEvent(out);
  }

  void Last(uint32_t, std::string* out) override {
    if (!output_->calls.empty()) {
      EndCall(out);
      while (begun_ < output_->calls.size()) {  // calls without a token of their own
        BeginCall(out);
        EndCall(out);
      }
      return;
    }
    BeginEvent("response.output_text.done", out);
    out->append(text_place_).append(R"(,"text":)");
    AppendJsonString(output_->text, out);
    out->append(R"(,"logprobs":[)");
    AppendAllLogprobs(out);
    *out += ']';
    EndEvent(out);
    BeginEvent("response.content_part.done", out);
    out->append(text_place_).append(R"(,"part":)");
    AppendTextPart(out);
    EndEvent(out);
    BeginEvent("response.output_item.done", out);
    out->append(R"(,"output_index":0,"item":)");
    AppendMessage(out);
    EndEvent(out);
  }

  void End(const Usage& usage, std::string* out) override {
    BeginEvent("response.completed", out);
    out->append(R"(,"response":)");
    AppendResponse(&usage, out);
    EndEvent(out);
  }

  // Twice in one event: as the event's own fields, which the API has, and as the object "error",
  // which makes OpenAI's client raise it.
  void Broken(const ApiError& error, std::string* out) override {
    BeginEvent("error", out);
    out->append(R"(,"code":)");
    AppendJsonString(ErrorType(error.status), out);
    out->append(R"(,"message":)");
    AppendJsonString(error.message, out);
    out->append(R"(,"param":)");
    if (error.param) {
      AppendJsonString(*error.param, out);
    } else {
      out->append("null");
    }
    const std::string body = ErrorBody(error);  // {"error":{...}}
    *out += ',';
    out->append(body, 1, body.size() - 2);
    EndEvent(out);
  }

 private:
  void BeginEvent(std::string_view name, std::string* out) {
    out->append("event: ").append(name).append("\ndata: {\"type\":\"").append(name);
    out->append(R"(","sequence_number":)").append(fmt::format_int(sequence_++).str());
  }
  static void EndEvent(std::string* out) { out->append("}\n\n"); }

  const char* Status() const {
    return output_->finish == FinishReason::kLength ? "incomplete" : "completed";
  }

  // `usage` is null while the response is in progress.
  void AppendResponse(const Usage* usage, std::string* out) const {
    out->append(head_);
    if (usage == nullptr) {
      out->append(R"(,"status":"in_progress","incomplete_details":null,"output":[],"usage":null})");
      return;
    }
    out->append(R"(,"status":")").append(Status());
    out->append(output_->finish == FinishReason::kLength
                    ? R"(","incomplete_details":{"reason":"max_output_tokens"},"output":[)"
                    : R"(","incomplete_details":null,"output":[)");
    if (output_->calls.empty()) AppendMessage(out);
    for (size_t i = 0; i < output_->calls.size(); ++i) {
      if (i > 0) *out += ',';
      AppendCall(i, true, out);
    }
    fmt::format_to(std::back_inserter(*out),
                   R"(],"usage":{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{},)"
                   R"("cache_write_tokens":0}},"output_tokens":{},"output_tokens_details":)"
                   R"({{"reasoning_tokens":0}},"total_tokens":{}}}}})",
                   usage->prompt_tokens, usage->cached_tokens, usage->completion_tokens,
                   usage->prompt_tokens + usage->completion_tokens);
  }

  void AppendAllLogprobs(std::string* out) const {
    if (!logprobs_) return;
    for (uint32_t i = 0; i < output_->ids.size(); ++i) {
      if (i > 0) *out += ',';
      AppendTokenLogprob(TokenText(*output_, i), i, *logprobs_, out);
    }
  }

  void AppendTextPart(std::string* out) const {
    out->append(R"({"type":"output_text","text":)");
    AppendJsonString(output_->text, out);
    out->append(R"(,"annotations":[],"logprobs":[)");
    AppendAllLogprobs(out);
    out->append("]}");
  }

  void AppendMessage(std::string* out) const {
    out->append(R"({"id":"msg_)").append(id_);
    out->append(R"(","type":"message","role":"assistant","status":")").append(Status());
    out->append(R"(","content":[)");
    AppendTextPart(out);
    out->append("]}");
  }

  void AppendCall(size_t index, bool done, std::string* out) const {
    const ToolCall& call = output_->calls[index];
    out->append(R"({"type":"function_call","id":")");
    AppendCallId(index, out);
    out->append(R"(","call_id":)");
    AppendJsonString(call.id, out);
    out->append(R"(,"name":)");
    AppendJsonString(call.name, out);
    out->append(R"(,"arguments":)");
    AppendJsonString(done ? std::string_view(call.arguments) : "", out);
    out->append(R"(,"status":")").append(done ? Status() : "in_progress").append("\"}");
  }

  void AppendCallId(size_t index, std::string* out) const {
    fmt::format_to(std::back_inserter(*out), "fc_{}_{}", id_, index);
  }

  // Of the call that was begun last.
  void AppendCallPlace(std::string* out) const {
    HR_DCHECK(begun_ > 0);
    out->append(R"(,"item_id":")");
    AppendCallId(begun_ - 1, out);
    out->append(R"(","output_index":)").append(fmt::format_int(begun_ - 1).str());
  }

  void BeginCall(std::string* out) {
    ++begun_;
    BeginEvent("response.output_item.added", out);
    out->append(R"(,"output_index":)").append(fmt::format_int(begun_ - 1).str());
    out->append(R"(,"item":)");
    AppendCall(begun_ - 1, false, out);
    EndEvent(out);
  }

  void EndCall(std::string* out) {
    const ToolCall& call = output_->calls[begun_ - 1];
    BeginEvent("response.function_call_arguments.done", out);
    AppendCallPlace(out);
    out->append(R"(,"name":)");
    AppendJsonString(call.name, out);
    out->append(R"(,"arguments":)");
    AppendJsonString(call.arguments, out);
    EndEvent(out);
    BeginEvent("response.output_item.done", out);
    out->append(R"(,"output_index":)").append(fmt::format_int(begun_ - 1).str());
    out->append(R"(,"item":)");
    AppendCall(begun_ - 1, true, out);
    EndEvent(out);
  }

  const std::string id_;
  const std::optional<uint32_t> logprobs_;
  std::string head_;        // of the response object, up to its status
  std::string text_place_;  // of the one text

  const Output* output_ = nullptr;
  uint64_t sequence_ = 0;
  size_t begun_ = 0;  // calls
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeResponsesFormat(const ReplyHead& head, const ResponsesEcho& echo) {
  return std::make_unique<ResponsesFormat>(head, echo);
}

}  // namespace headrace::sim
