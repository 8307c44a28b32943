// What replies of chats and completions have in common: their heads, chunks, usage and the pieces
// of text that a token gives. One object a reply. One thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sim/reply_format.h"

namespace headrace::sim {

// Decimals of what is told of a token: -1.0, -1.1, -1.2, then again; an alternative is 0.5 less
// than the one before it.
void AppendLogprob(uint32_t token, uint32_t alternative, std::string* out);

class OpenAiFormat : public ReplyFormat {
 public:
  void SetOutput(uint32_t choice, const Output* output) override;
  std::string Whole(const Usage& usage, const std::string& kv_transfer_params) override;
  void End(const Usage& usage, std::string* out) override;
  void Broken(const ApiError& error, std::string* out) override;

 protected:
  struct Words {
    std::string_view id_prefix;  // "cmpl-"
    std::string_view whole;      // the object's name
    std::string_view chunk;
    bool numbers_prompts = false;  // the id ends with the prompt's number
  };
  OpenAiFormat(const Request& request, ReplyHead head, const Words& words);

  // One choice of Whole, from its index on.
  virtual void AppendChoice(uint32_t choice, std::string* out) const = 0;

  // A frame up to "index":N, and what is behind its choice.
  void OpenChunk(uint32_t choice, std::string* out);
  void CloseChunk(std::string* out) const;

  const Output& output(uint32_t choice) const;
  bool tells_logprobs() const { return tells_logprobs_; }
  uint32_t logprobs() const { return logprobs_; }

  // The bytes of a token, be they whole characters or not.
  static std::string_view Bytes(const Output& output, size_t token);

 private:
  void AppendHead(std::string_view object, uint32_t prompt, std::string* out) const;
  // The same for all frames of one prompt, so that it is made once.
  const std::string& ChunkHead(uint32_t prompt);

  const Words words_;
  const ReplyHead head_;
  const uint32_t n_;
  const bool include_usage_;
  const bool tells_logprobs_;
  const uint32_t logprobs_;
  std::vector<const Output*> outputs_;
  std::string chunk_head_;
  uint32_t chunk_prompt_ = 0;
};

}  // namespace headrace::sim
