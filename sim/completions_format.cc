#include "sim/completions_format.h"

#include <utility>

#include "sim/json_text.h"
#include "sim/openai_format.h"
#include "sim/token_text.h"

namespace headrace::sim {
namespace {

class CompletionFormat final : public OpenAiFormat {
 public:
  CompletionFormat(const Request& request, ReplyHead head)
      : OpenAiFormat(request, std::move(head),
                     {.id_prefix = "cmpl-",
                      .whole = "text_completion",
                      .chunk = "text_completion",
                      .numbers_prompts = true}),
        told_(request.prompts.size() * request.n) {}

  // A completion has no role to tell.
  void First(uint32_t /*choice*/, std::string* /*out*/) override {}

  void Token(uint32_t choice, uint32_t token, std::string* out) override {
    const Output& said = output(choice);
    OpenChunk(choice, out);
    AppendText(TokenText(said, token), out);
    AppendLogprobs(said, {token, token + 1, told_[choice]}, out);
    told_[choice] += Characters(TokenText(said, token));
    out->append(R"(,"finish_reason":null)");
    CloseChunk(out);
  }

  void Last(uint32_t choice, std::string* out) override {
    OpenChunk(choice, out);
    AppendText("", out);
    out->append("null");
    AppendFinish(output(choice).finish, out);
    CloseChunk(out);
  }

 private:
  struct Tokens {
    size_t begin, end;
    size_t offset;  // of the first one, in characters of the text
  };

  void AppendChoice(uint32_t choice, std::string* out) const override {
    const Output& said = output(choice);
    AppendText(said.text, out);
    AppendLogprobs(said, {0, said.ids.size(), 0}, out);
    AppendFinish(said.finish, out);
  }

  static void AppendText(std::string_view text, std::string* out) {
    out->append(R"(,"text":)");
    AppendJsonString(text, out);
    out->append(R"(,"logprobs":)");
  }
  static void AppendFinish(FinishReason reason, std::string* out) {
    out->append(R"(,"finish_reason":")").append(FinishReasonName(reason));
    out->append(R"(","stop_reason":null)");
  }

  // Four lists with an entry a token; offsets count characters, as clients do.
  void AppendLogprobs(const Output& said, const Tokens& tokens, std::string* out) const {
    if (!tells_logprobs() || tokens.begin == tokens.end) {
      out->append("null");
      return;
    }
    const auto each = [&](std::string_view name, auto&& append) {
      out->append(name);
      for (size_t token = tokens.begin; token < tokens.end; ++token) {
        if (token > tokens.begin) out->push_back(',');
        append(token);
      }
    };
    size_t offset = tokens.offset;
    each(R"({"text_offset":[)", [&](size_t token) {
      AppendNumber(static_cast<int64_t>(offset), out);
      offset += Characters(TokenText(said, token));
    });
    each(R"(],"token_logprobs":[)",
         [&](size_t token) { AppendLogprob(static_cast<uint32_t>(token), 0, out); });
    each(R"(],"tokens":[)", [&](size_t token) { AppendJsonString(TokenText(said, token), out); });
    each(R"(],"top_logprobs":[)", [&](size_t token) { AppendTop(said, token, out); });
    out->append("]}");
  }

  // {"token":-1.0,"token_1":-1.5}
  void AppendTop(const Output& said, size_t token, std::string* out) const {
    const std::string_view piece = TokenText(said, token);
    std::string name;
    out->push_back('{');
    for (uint32_t alternative = 0; alternative < logprobs(); ++alternative) {
      name = piece;
      if (alternative > 0) {
        out->push_back(',');
        name.push_back('_');
        AppendNumber(alternative, &name);
      }
      AppendJsonString(name, out);
      out->push_back(':');
      AppendLogprob(static_cast<uint32_t>(token), alternative, out);
    }
    out->push_back('}');
  }

  static size_t Characters(std::string_view text) {
    size_t count = 0;
    for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
    return count;
  }

  std::vector<size_t> told_;  // characters of each choice that frames told
};

}  // namespace

std::unique_ptr<ReplyFormat> MakeCompletionFormat(const Request& request, ReplyHead head) {
  return std::make_unique<CompletionFormat>(request, std::move(head));
}

}  // namespace headrace::sim
