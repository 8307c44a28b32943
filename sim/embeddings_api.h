// POST /v1/embeddings: vectors that stand for nothing, but are always the same for the same tokens.
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/api_error.h"
#include "sim/request.h"

namespace headrace::sim {

inline constexpr uint32_t kMaxEmbeddingDimensions = 65536;
inline constexpr size_t kMaxEmbeddingInputs = 2048;  // as OpenAI has it

struct EmbeddingsCall {
  std::string model;
  std::vector<Prompt> inputs;
  std::optional<uint32_t> dimensions;
  bool base64 = false;
};
ApiResult<EmbeddingsCall> ParseEmbeddings(std::string_view body);

// No tokens are as good as one with the id 0.
std::vector<float> StubEmbedding(std::span<const uint32_t> tokens, uint32_t dimensions);

struct EmbeddingsReply {
  std::string id;
  std::string model;
  int64_t created_s = 0;
  uint32_t dimensions = 384;
  bool base64 = false;
};
// One vector for each prompt, in order.
std::string EmbeddingsBody(const EmbeddingsReply& reply,
                           std::span<const std::vector<uint32_t>> prompts);

}  // namespace headrace::sim
