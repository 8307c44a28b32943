#include "sim/generate_format.h"

#include <fmt/format.h>

#include <vector>

#include "base/result.h"
#include "sim/json_text.h"
#include "sim/logprobs.h"
#include "sim/openai_format.h"
#include "sim/token_text.h"

namespace headrace::sim {
namespace {

class GenerateFormat final : public ReplyFormat {
 public:
  GenerateFormat(const ReplyHead& head, const GenerateEcho& echo)
      : model_(head.model), created_s_(head.created_s), echo_(echo), outputs_(echo.choices) {
    head_.append(R"({"request_id":)");
    AppendJsonString(echo.request_id.empty() ? head.id : echo.request_id, &head_);
    if (echo.text) head_.append(R"(,"output_mode":"text")");
  }

  void SetOutput(uint32_t choice, const Output* output) override {
    HR_CHECK(choice < outputs_.size() && output != nullptr);
    outputs_[choice] = output;
  }

  std::string Whole(const Usage& usage, const std::string& kv_transfer_params) override {
    std::string body = head_;
    body.append(R"(,"model":)");
    AppendJsonString(model_, &body);
    body.append(R"(,"created":)");
    AppendNumber(created_s_, &body);
    body.append(R"(,"choices":[)");
    for (uint32_t choice = 0; choice < outputs_.size(); ++choice) {
      const Output* output = outputs_[choice];
      HR_CHECK(output != nullptr);
      if (choice > 0) body += ',';
      AppendChoice(choice, {0, static_cast<uint32_t>(output->ids.size())}, true, &body);
    }
    body += ']';
    AppendUsage(usage, &body);
    body.append(R"(,"prompt_logprobs":null,"kv_transfer_params":)");
    body.append(kv_transfer_params.empty() ? "null" : kv_transfer_params);
    body.append(R"(,"ec_transfer_params":null})");
    return body;
  }

  void First(uint32_t choice, std::string*) override { HR_CHECK(outputs_[choice] != nullptr); }

  void Token(uint32_t choice, uint32_t token, std::string* out) override {
    AppendFrame(choice, {token, token + 1}, token + 1 == outputs_[choice]->ids.size(), out);
  }

  // The last token's frame has the reason; where there is no token, this one has.
  void Last(uint32_t choice, std::string* out) override {
    if (outputs_[choice]->ids.empty()) AppendFrame(choice, {0, 0}, true, out);
  }

  void End(const Usage& usage, std::string* out) override {
    if (echo_.include_usage) {
      out->append("data: ").append(head_).append(R"(,"choices":[])");
      AppendUsage(usage, out);
      out->append("}\n\n");
    }
    out->append("data: [DONE]\n\n");
  }

  void Broken(const ApiError& error, std::string* out) override {
    out->append("data: ").append(ErrorBody(error)).append("\n\ndata: [DONE]\n\n");
  }

 private:
  struct Range {  // of tokens
    uint32_t begin;
    uint32_t end;
  };

  void AppendFrame(uint32_t choice, Range range, bool last, std::string* out) const {
    out->append("data: ").append(head_).append(R"(,"choices":[)");
    AppendChoice(choice, range, last, out);
    out->append("]}\n\n");
  }

  void AppendChoice(uint32_t choice, Range range, bool last, std::string* out) const {
    const Output& output = *outputs_[choice];
    out->append(R"({"index":)");
    AppendNumber(choice, out);
    if (echo_.text) {
      out->append(R"(,"text":)");
      AppendJsonString(TextOf(output, range), out);
    }
    out->append(R"(,"logprobs":)");
    AppendLogprobs(output, range, out);
    out->append(R"(,"finish_reason":)");
    if (last) {
      AppendJsonString(FinishReasonName(output.finish), out);
    } else {
      out->append("null");
    }
    out->append(R"(,"stop_reason":)");
    if (last && !output.stop.empty()) {
      AppendJsonString(output.stop, out);
    } else {
      out->append("null");
    }
    out->append(R"(,"token_ids":[)");
    for (uint32_t i = range.begin; i < range.end; ++i) {
      if (i > range.begin) *out += ',';
      AppendNumber(output.ids[i], out);
    }
    out->append("]}");
  }

  static std::string_view TextOf(const Output& output, Range range) {
    if (range.end == output.ids.size() && range.begin == 0) return output.text;
    return TokenText(output, range.begin);
  }

  void AppendLogprobs(const Output& output, Range range, std::string* out) const {
    if (!echo_.logprobs) {
      out->append("null");
      return;
    }
    out->append(R"({"content":[)");
    for (uint32_t i = range.begin; i < range.end; ++i) {
      if (i > range.begin) *out += ',';
      if (echo_.text) {
        AppendTokenLogprob(TokenText(output, i), i, *echo_.logprobs, out);
      } else {
        AppendIdLogprob(output.ids[i], i, out);
      }
    }
    out->append("]}");
  }

  // Candidates have no words here: their ids are those that follow the token's.
  void AppendIdLogprob(uint32_t id, uint32_t position, std::string* out) const {
    AppendCandidate(id, position, 0, out);
    out->append(R"(,"top_logprobs":[)");
    for (uint32_t i = 0; i < *echo_.logprobs; ++i) {
      if (i > 0) *out += ',';
      AppendCandidate(id, position, i, out);
      *out += '}';
    }
    out->append("]}");
  }
  // Without the brace that closes it.
  static void AppendCandidate(uint32_t id, uint32_t position, uint32_t rank, std::string* out) {
    out->append(R"({"token_id":)");
    AppendNumber(int64_t{id} + rank, out);
    out->append(R"(,"logprob":)");
    AppendLogprob(position, rank, out);
    out->append(R"(,"rank":)");
    AppendNumber(int64_t{rank} + 1, out);
  }

  static void AppendUsage(const Usage& usage, std::string* out) {
    fmt::format_to(std::back_inserter(*out),
                   R"(,"usage":{{"prompt_tokens":{},"total_tokens":{},"completion_tokens":{},)"
                   R"("prompt_tokens_details":{{"cached_tokens":{}}}}})",
                   usage.prompt_tokens, usage.prompt_tokens + usage.completion_tokens,
                   usage.completion_tokens, usage.cached_tokens);
  }

  const std::string model_;
  const int64_t created_s_;
  const GenerateEcho echo_;
  std::string head_;  // of each object, up to its choices

  std::vector<const Output*> outputs_;  // one a choice
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeGenerateFormat(const ReplyHead& head, const GenerateEcho& echo) {
  return std::make_unique<GenerateFormat>(head, echo);
}

}  // namespace headrace::sim
