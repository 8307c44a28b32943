// One request of a generating endpoint, from its prompts' tokens to the last byte of its answer.
// One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/random.h"
#include "net/http_exchange.h"
#include "sim/api_error.h"
#include "sim/endpoint.h"
#include "sim/engine.h"
#include "sim/generator.h"
#include "sim/kv_hash.h"
#include "sim/tools.h"
#include "text/tokenizer.h"

namespace headrace::sim {

class Conversation;

// What conversations work with. It outlives them.
struct ConversationParts {
  Engine* engine = nullptr;
  Generator* generator = nullptr;
  KvHasher* hasher = nullptr;  // null: no cache is simulated
  SimMetrics* metrics = nullptr;
  const text::Tokenizer* tokenizer = nullptr;
  const ToolOptions* tools = nullptr;
  Random* random = nullptr;
  uint32_t max_model_len = 0;
  // Of an answer whose decode goes on elsewhere: JSON.
  std::string remote_decode_params;
  // Those that have something to send since their last Settle, each once.
  std::vector<Conversation*>* touched = nullptr;
};

class Conversation final : public SequenceListener {
 public:
  struct Start {
    uint64_t number = 0;  // of the conversation
    std::shared_ptr<net::HttpExchange> exchange;
    GenerateBody body;
    ReplyHead head;
    LoraAdapter lora;          // of the request's model; no name: the base model
    std::string header_lines;  // of the answer
  };
  Conversation(const ConversationParts& parts, Start start);

  // Tokens of the prompts; what cannot be served is refused.
  std::optional<ApiError> Prepare();
  // Into the line. REQUIRES: Prepare, and room for sequences().
  void Submit(Time now);
  size_t sequences() const { return outputs_.size(); }
  uint64_t number() const { return start_.number; }
  // Sends what there is. True: all is said.
  bool Settle();
  // The client is gone: its sequences end.
  void Abort(Time now);

  uint32_t OnStart(uint32_t choice, uint64_t cached_tokens) override;
  void OnToken(uint32_t choice, uint32_t token) override;
  void OnDone(uint32_t choice) override;
  void OnCacheThreshold(uint32_t choice) override;

 private:
  struct Place {
    std::vector<uint32_t> ids;
    KvBlocks blocks;
  };

  const Request& request() const { return start_.body.request; }
  std::optional<ApiError> ReadTokens(const Prompt& prompt, Place* place);
  std::optional<ApiError> CheckLength(const Place& place) const;
  void HashBlocks(const Prompt& prompt, Place* place);
  bool MakeCalls(Output* output);
  void Touch();
  void EndChoice(uint32_t choice);
  void Count();
  net::HttpReply Head() const;

  const ConversationParts& parts_;
  const Start start_;
  std::unique_ptr<ReplyFormat> format_;      // since Prepare
  std::vector<Place> places_;                // by prompt
  std::vector<Output> outputs_;              // by choice
  std::vector<Engine::SequenceId> running_;  // by choice
  Usage usage_;
  uint32_t ended_ = 0;    // choices
  bool begun_ = false;    // the head of a stream is sent
  bool touched_ = false;  // stands in parts_.touched
  SequenceTimes times_;   // from the first to the last of all
};

}  // namespace headrace::sim
