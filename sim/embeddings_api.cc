#include "sim/embeddings_api.h"

#include <fmt/format.h>

#include <bit>
#include <utility>

#include "base/result.h"
#include "sim/base64.h"
#include "sim/field_reader.h"
#include "sim/json_text.h"

namespace headrace::sim {
namespace {

constexpr int64_t kMaxToken = 0xffffffff;

class InputReader {
 public:
  InputReader(FieldReader* body, std::vector<Prompt>* prompts) : body_(body), prompts_(prompts) {}

  // A text, a list of token ids, or a list of either.
  bool Read(JsonValue input) {
    if (!input) return Refuse("is missing");
    if (input.IsText()) return One(input);
    if (!input.IsList() || input.count() == 0) {
      return Refuse("must be a string or a list of strings or of tokens, and not empty");
    }
    const bool tokens = !(*input.begin()).IsText() && !(*input.begin()).IsList();
    if (tokens) return One(input);
    if (input.count() > kMaxEmbeddingInputs) {
      return Refuse(fmt::format("must have at most {} items", kMaxEmbeddingInputs));
    }
    prompts_->reserve(input.count());
    for (const JsonValue item : input) {
      if (!One(item)) return false;
    }
    return true;
  }

 private:
  bool Refuse(std::string_view what) {
    return body_->Refuse("input", fmt::format("input {}", what));
  }

  bool One(JsonValue item) {
    Prompt prompt;
    if (item.IsText()) {
      if (item.text().empty()) return Refuse("must not hold an empty string");
      prompt.text = item.text();
    } else if (item.IsList() && item.count() > 0) {
      for (const JsonValue token : item) {
        const std::optional<int64_t> id = token.integer();
        if (!id || *id < 0 || *id > kMaxToken) return Refuse("holds a token that is no token id");
        prompt.ids.push_back(static_cast<uint32_t>(*id));
      }
    } else {
      return Refuse("must hold strings, or lists of tokens that are not empty");
    }
    prompts_->push_back(std::move(prompt));
    return true;
  }

  FieldReader* const body_;
  std::vector<Prompt>* const prompts_;
};

void AppendVector(std::span<const float> vector, bool base64, std::string* out) {
  if (base64) {
    static_assert(std::endian::native == std::endian::little);
    *out += '"';
    AppendBase64({reinterpret_cast<const uint8_t*>(vector.data()), vector.size_bytes()}, out);
    *out += '"';
    return;
  }
  *out += '[';
  for (size_t i = 0; i < vector.size(); ++i) {
    // As a double: its shortest digits say exactly what the float is.
    fmt::format_to(std::back_inserter(*out), "{}{}", i > 0 ? "," : "", double{vector[i]});
  }
  *out += ']';
}

}  // namespace

ApiResult<EmbeddingsCall> ParseEmbeddings(std::string_view body) {
  JsonDocument document;
  const auto root = document.ParseObject(body);
  if (!root) return tl::unexpected(root.error());
  std::optional<ApiError> error;
  FieldReader fields(*root, "", &error);
  EmbeddingsCall call;
  fields.Text("model", &call.model);
  InputReader(&fields, &call.inputs).Read(fields.Find("input"));
  if (fields.Find("dimensions")) {
    uint32_t dimensions = 0;
    fields.Count("dimensions", 1, kMaxEmbeddingDimensions + 1, &dimensions);
    if (dimensions > kMaxEmbeddingDimensions) {
      fields.Refuse("dimensions",
                    fmt::format("dimensions must be at most {}", kMaxEmbeddingDimensions));
    }
    call.dimensions = dimensions;
  }
  std::string format = "float";
  fields.Text("encoding_format", &format);
  if (format != "float" && format != "base64") {
    fields.Refuse("encoding_format", "encoding_format must be \"float\" or \"base64\"");
  }
  call.base64 = format == "base64";
  if (error) return tl::unexpected(*std::move(error));
  return call;
}

std::vector<float> StubEmbedding(std::span<const uint32_t> tokens, uint32_t dimensions) {
  constexpr uint32_t kNone[] = {0};
  constexpr uint32_t kOwnSteps = 1024, kRepeatedSteps = 256;
  if (tokens.empty()) tokens = kNone;
  std::vector<float> vector(dimensions);
  for (size_t i = 0; i < vector.size(); ++i) {
    const uint32_t steps = i < tokens.size() ? kOwnSteps : kRepeatedSteps;
    const auto step = static_cast<float>(tokens[i % tokens.size()] % steps);
    vector[i] = 2 * step / static_cast<float>(steps) - 1;
  }
  return vector;
}

std::string EmbeddingsBody(const EmbeddingsReply& reply,
                           std::span<const std::vector<uint32_t>> prompts) {
  std::string body = R"({"id":)";
  AppendJsonString(fmt::format("embd-{}", reply.id), &body);
  body.append(R"(,"object":"list","created":)");
  AppendNumber(reply.created_s, &body);
  body.append(R"(,"model":)");
  AppendJsonString(reply.model, &body);
  body.append(R"(,"data":[)");
  uint64_t tokens = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    tokens += prompts[i].size();
    fmt::format_to(std::back_inserter(body), R"({}{{"index":{},"object":"embedding","embedding":)",
                   i > 0 ? "," : "", i);
    AppendVector(StubEmbedding(prompts[i], reply.dimensions), reply.base64, &body);
    body += '}';
  }
  fmt::format_to(std::back_inserter(body),
                 R"(],"usage":{{"prompt_tokens":{0},"total_tokens":{0},"completion_tokens":0,)"
                 R"("prompt_tokens_details":null}}}})",
                 tokens);
  return body;
}

}  // namespace headrace::sim
