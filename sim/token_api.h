// POST /tokenize and /detokenize, and what the render endpoints answer. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/api_error.h"
#include "sim/request.h"

namespace headrace::sim {

struct TokenizeCall {
  std::string model;  // "": none is named
  Prompt prompt;
  bool chat = false;  // the prompt is that of messages
  bool add_special_tokens = true;
  bool return_token_strs = false;
};
ApiResult<TokenizeCall> ParseTokenize(std::string_view body);

struct DetokenizeCall {
  std::string model;
  std::vector<uint32_t> tokens;
};
ApiResult<DetokenizeCall> ParseDetokenize(std::string_view body);

// `strings` is null where they are not asked for, else it has one a token.
std::string TokenizeBody(std::span<const uint32_t> tokens, uint32_t max_model_len,
                         const std::vector<std::string>* strings);
std::string DetokenizeBody(std::string_view text);

// A prompt as the engine would take it.
struct RenderedPrompt {
  std::vector<uint32_t> tokens;
  std::vector<MediaPart> media;    // of a chat
  std::vector<uint32_t> media_at;  // one a medium: the token at which it stands
};
std::string RenderBody(const RenderedPrompt& prompt);             // of a chat
std::string RenderBody(std::span<const RenderedPrompt> prompts);  // of completions

}  // namespace headrace::sim
