// What every generating endpoint turns its body into, and what is generated for it. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headrace::sim {

enum class FinishReason : uint8_t {
  kStop,
  kLength,
  kToolCalls,
  kRemoteDecode,    // the decode goes on elsewhere
  kCacheThreshold,  // too little of the prompt was cached: nothing was generated
};
const char* FinishReasonName(FinishReason reason);  // "stop", "length", "tool_calls", ...

// A piece of a prompt that is no text: an image, a sound, a video.
struct MediaPart {
  std::string hash;     // hex of a digest of its address or its bytes
  uint32_t offset = 0;  // byte of the prompt's text at which it stands
};

struct Prompt {
  std::string text;           // "" when it came as ids
  std::vector<uint32_t> ids;  // as they came; else empty, and the tokenizer makes them
  std::string echo;           // what mode echo answers
  std::vector<MediaPart> media;
  bool add_special = true;  // the tokens that the tokenizer puts around a text; a chat has its own
};

struct Sampling {
  std::optional<int64_t> max_tokens;
  uint32_t min_tokens = 0;
  bool ignore_eos = false;
  std::vector<std::string> stop;
  std::optional<uint32_t> logprobs;  // alternatives a token; absent: none are told
};

// The fields of vLLM's NIXL connector that a router of prefill and decode sends.
struct KvTransfer {
  bool do_remote_decode = false;
  bool do_remote_prefill = false;
  std::string remote_engine_id;
  std::string remote_host;
  uint16_t remote_port = 0;
  std::string remote_block_ids;  // JSON as it came
};

struct Request {
  std::string model;
  std::vector<Prompt> prompts;
  uint32_t n = 1;  // choices a prompt
  Sampling sampling;
  bool stream = false;
  bool include_usage = false;  // of a stream: a last chunk with the usage
  std::optional<KvTransfer> kv_transfer;
  double cache_hit_threshold = 0;
};

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments;     // a JSON object
  uint32_t first_token = 0;  // of the output; its tokens are those of `arguments`
};

// What is answered to one prompt, once for each choice; made before the first token is due.
struct Output {
  std::string text;  // UTF-8; of tool calls: their arguments, one after the other
  std::vector<uint32_t> ids;
  std::vector<uint32_t> ends;  // one a token: where it ends in `text`
  std::vector<ToolCall> calls;
  FinishReason finish = FinishReason::kStop;
  std::string stop;  // of kStop: the one of Sampling::stop that ended it; "": none did
};

struct Usage {
  uint64_t prompt_tokens = 0;
  uint64_t completion_tokens = 0;
  uint64_t cached_tokens = 0;
};

}  // namespace headrace::sim
