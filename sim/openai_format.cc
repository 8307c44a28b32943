#include "sim/openai_format.h"

#include <utility>

#include "base/result.h"
#include "sim/json_text.h"

namespace headrace::sim {
namespace {

constexpr size_t kFrameBytes = 256;  // of a reply, beside its text

size_t TokenBegin(const Output& output, size_t token) {
  return token == 0 ? 0 : output.ends[token - 1];
}

void AppendUsage(const Usage& usage, std::string* out) {
  const auto number = [out](uint64_t value) { AppendNumber(static_cast<int64_t>(value), out); };
  out->append(R"("usage":{"prompt_tokens":)");
  number(usage.prompt_tokens);
  out->append(R"(,"total_tokens":)");
  number(usage.prompt_tokens + usage.completion_tokens);
  out->append(R"(,"completion_tokens":)");
  number(usage.completion_tokens);
  out->append(R"(,"prompt_tokens_details":{"cached_tokens":)");
  number(usage.cached_tokens);
  out->append("}}");
}

}  // namespace

void AppendLogprob(uint32_t token, uint32_t alternative, std::string* out) {
  const uint32_t tenths = 10 + token % 3 + 5 * alternative;
  out->push_back('-');
  AppendNumber(tenths / 10, out);
  out->push_back('.');
  AppendNumber(tenths % 10, out);
}

OpenAiFormat::OpenAiFormat(const Request& request, ReplyHead head, const Words& words)
    : words_(words),
      head_(std::move(head)),
      n_(request.n),
      include_usage_(request.include_usage),
      tells_logprobs_(request.sampling.logprobs.has_value()),
      logprobs_(request.sampling.logprobs.value_or(0)),
      outputs_(request.prompts.size() * request.n) {
  HR_CHECK(n_ > 0);
}

void OpenAiFormat::SetOutput(uint32_t choice, const Output* output) {
  HR_CHECK(choice < outputs_.size());
  HR_CHECK(output->ends.size() == output->ids.size());
  outputs_[choice] = output;
}

const Output& OpenAiFormat::output(uint32_t choice) const {
  HR_CHECK(choice < outputs_.size() && outputs_[choice] != nullptr);
  return *outputs_[choice];
}

std::string_view OpenAiFormat::Bytes(const Output& output, size_t token) {
  HR_CHECK(token < output.ends.size());
  const size_t begin = TokenBegin(output, token);
  return std::string_view(output.text).substr(begin, output.ends[token] - begin);
}

void OpenAiFormat::AppendHead(std::string_view object, uint32_t prompt, std::string* out) const {
  std::string id(words_.id_prefix);  // may hold anything: a client's header gave it
  id.append(head_.id);
  if (words_.numbers_prompts) {
    id.push_back('-');
    AppendNumber(prompt, &id);
  }
  out->append(R"({"id":)");
  AppendJsonString(id, out);
  out->append(R"(,"object":")").append(object);
  out->append(R"(","created":)");
  AppendNumber(head_.created_s, out);
  out->append(R"(,"model":)");
  AppendJsonString(head_.model, out);
  out->push_back(',');
}

std::string OpenAiFormat::Whole(const Usage& usage, const std::string& kv_transfer_params) {
  std::string out;
  size_t text_bytes = 0;
  for (uint32_t choice = 0; choice < outputs_.size(); ++choice) {
    text_bytes += output(choice).text.size() + kFrameBytes;
  }
  out.reserve(2 * kFrameBytes + text_bytes + kv_transfer_params.size());
  AppendHead(words_.whole, 0, &out);
  out.append(R"("choices":[)");
  for (uint32_t choice = 0; choice < outputs_.size(); ++choice) {
    if (choice > 0) out.push_back(',');
    out.append(R"({"index":)");
    AppendNumber(choice, &out);
    AppendChoice(choice, &out);
    out.push_back('}');
  }
  out.append("],");
  AppendUsage(usage, &out);
  out.append(R"(,"system_fingerprint":null,"kv_transfer_params":)");
  out.append(kv_transfer_params.empty() ? "null" : kv_transfer_params);
  out.push_back('}');
  return out;
}

const std::string& OpenAiFormat::ChunkHead(uint32_t prompt) {
  if (chunk_head_.empty() || (words_.numbers_prompts && chunk_prompt_ != prompt)) {
    chunk_head_ = "data: ";
    AppendHead(words_.chunk, prompt, &chunk_head_);
    chunk_prompt_ = prompt;
  }
  return chunk_head_;
}

void OpenAiFormat::OpenChunk(uint32_t choice, std::string* out) {
  out->append(ChunkHead(choice / n_)).append(R"("choices":[{"index":)");
  AppendNumber(choice, out);
}

void OpenAiFormat::CloseChunk(std::string* out) const {
  out->append(include_usage_ ? "}],\"usage\":null}\n\n" : "}]}\n\n");
}

void OpenAiFormat::End(const Usage& usage, std::string* out) {
  if (include_usage_) {
    out->append(ChunkHead(0)).append(R"("choices":[],)");
    AppendUsage(usage, out);
    out->append("}\n\n");
  }
  out->append("data: [DONE]\n\n");
}

void OpenAiFormat::Broken(const ApiError& error, std::string* out) {
  out->append("data: ").append(ErrorBody(error)).append("\n\ndata: [DONE]\n\n");
}

}  // namespace headrace::sim
