#include "sim/chat_format.h"

#include <utility>

#include "sim/json_text.h"
#include "sim/openai_format.h"
#include "sim/token_text.h"

namespace headrace::sim {
namespace {

class ChatFormat final : public OpenAiFormat {
 public:
  ChatFormat(const Request& request, ReplyHead head)
      : OpenAiFormat(request, std::move(head),
                     {.id_prefix = "chatcmpl-",
                      .whole = "chat.completion",
                      .chunk = "chat.completion.chunk"}) {}

  void First(uint32_t choice, std::string* out) override {
    if (output(choice).finish == FinishReason::kCacheThreshold) return;  // is one chunk: Last
    OpenChunk(choice, out);
    out->append(R"(,"delta":{"role":"assistant"},"logprobs":null,"finish_reason":null)");
    CloseChunk(out);
  }

  void Token(uint32_t choice, uint32_t token, std::string* out) override {
    const Output& said = output(choice);
    OpenChunk(choice, out);
    out->append(R"(,"delta":{)");
    if (said.calls.empty()) {
      out->append(R"("content":)");
      AppendJsonString(TokenText(said, token), out);
    } else {
      AppendCallDelta(said, token, out);
    }
    out->append(R"(},"logprobs":)");
    AppendLogprobs(said, token, token + 1, out);
    const bool last = !said.calls.empty() && token + 1 == said.ids.size();
    AppendFinish(last ? FinishReasonName(said.finish) : "", out);
    CloseChunk(out);
  }

  void Last(uint32_t choice, std::string* out) override {
    const Output& said = output(choice);
    if (!said.calls.empty() && !said.ids.empty()) return;  // the last token told it
    OpenChunk(choice, out);
    out->append(said.finish == FinishReason::kCacheThreshold
                    ? R"(,"delta":{"role":"assistant"},"logprobs":null)"
                    : R"(,"delta":{},"logprobs":null)");
    AppendFinish(FinishReasonName(said.finish), out);
    CloseChunk(out);
  }

 private:
  static void AppendFinish(std::string_view reason, std::string* out) {
    if (reason.empty()) {
      out->append(R"(,"finish_reason":null)");
    } else {
      out->append(R"(,"finish_reason":")").append(reason).append(R"(","stop_reason":null)");
    }
  }

  void AppendChoice(uint32_t choice, std::string* out) const override {
    const Output& said = output(choice);
    out->append(R"(,"message":{"role":"assistant","content":)");
    if (said.calls.empty()) {
      AppendJsonString(said.text, out);
    } else {
      out->append("null");
    }
    out->append(R"(,"refusal":null,"tool_calls":[)");
    for (size_t i = 0; i < said.calls.size(); ++i) {
      if (i > 0) out->push_back(',');
      const ToolCall& call = said.calls[i];
      out->push_back('{');
      AppendCallHead(call, out);
      AppendJsonString(call.arguments, out);
      out->append("}}");
    }
    out->append(R"(]},"logprobs":)");
    AppendLogprobs(said, 0, said.ids.size(), out);
    AppendFinish(FinishReasonName(said.finish), out);
  }

  // Up to the value of the arguments.
  static void AppendCallHead(const ToolCall& call, std::string* out) {
    out->append(R"("id":)");
    AppendJsonString(call.id, out);
    out->append(R"(,"type":"function","function":{"name":)");
    AppendJsonString(call.name, out);
    out->append(R"(,"arguments":)");
  }

  // The name of a call comes with its first token.
  static void AppendCallDelta(const Output& said, uint32_t token, std::string* out) {
    size_t call = 0;
    while (call + 1 < said.calls.size() && said.calls[call + 1].first_token <= token) ++call;
    out->append(R"("tool_calls":[{"index":)");
    AppendNumber(static_cast<int64_t>(call), out);
    out->push_back(',');
    if (said.calls[call].first_token == token) {
      AppendCallHead(said.calls[call], out);
    } else {
      out->append(R"("function":{"arguments":)");
    }
    AppendJsonString(TokenText(said, token), out);
    out->append("}}]");
  }

  void AppendLogprobs(const Output& said, size_t begin, size_t end, std::string* out) const {
    if (!tells_logprobs() || begin == end) {
      out->append("null");
      return;
    }
    out->append(R"({"content":[)");
    for (size_t token = begin; token < end; ++token) {
      if (token > begin) out->push_back(',');
      AppendTold(said, token, 0, out);
      out->append(R"(,"top_logprobs":[)");
      for (uint32_t alternative = 0; alternative < logprobs(); ++alternative) {
        if (alternative > 0) out->push_back(',');
        AppendTold(said, token, alternative, out);
        out->push_back('}');
      }
      out->append("]}");
    }
    out->append("]}");
  }

  // Without its last brace. Alternatives are named after the token: "token_1".
  static void AppendTold(const Output& said, size_t token, uint32_t alternative, std::string* out) {
    std::string name(TokenText(said, token));
    std::string bytes(Bytes(said, token));
    if (alternative > 0) {
      std::string number = "_";
      AppendNumber(alternative, &number);
      name.append(number);
      bytes.append(number);
    }
    out->append(R"({"token":)");
    AppendJsonString(name, out);
    out->append(R"(,"logprob":)");
    AppendLogprob(static_cast<uint32_t>(token), alternative, out);
    out->append(R"(,"bytes":[)");
    for (size_t i = 0; i < bytes.size(); ++i) {
      if (i > 0) out->push_back(',');
      AppendNumber(static_cast<unsigned char>(bytes[i]), out);
    }
    out->push_back(']');
  }
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeChatFormat(const Request& request, ReplyHead head) {
  return std::make_unique<ChatFormat>(request, std::move(head));
}

}  // namespace headrace::sim
