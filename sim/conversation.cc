#include "sim/conversation.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace headrace::sim {
namespace {

text::Special SpecialOf(const Prompt& prompt) {
  return prompt.add_special ? text::Special::kAdd : text::Special::kNone;
}

}  // namespace

Conversation::Conversation(const ConversationParts& parts, Start start)
    : parts_(parts),
      start_(std::move(start)),
      places_(request().prompts.size()),
      outputs_(request().prompts.size() * request().n) {}

std::optional<ApiError> Conversation::Prepare() {
  for (size_t i = 0; i < places_.size(); ++i) {
    const Prompt& prompt = request().prompts[i];
    Place& place = places_[i];
    if (auto refused = ReadTokens(prompt, &place)) return refused;
    if (auto refused = CheckLength(place)) return refused;
    if (parts_.hasher != nullptr) HashBlocks(prompt, &place);
    if (!parts_.engine->Fits(place.blocks.hashes.size())) {
      return ApiError{500,
                      fmt::format("The prompt needs {} blocks of KV cache, more than there are",
                                  place.blocks.hashes.size())};
    }
    usage_.prompt_tokens += place.ids.size();
  }
  ReplyHead head = start_.head;
  head.prompt_tokens = usage_.prompt_tokens;
  format_ = start_.body.format(start_.body.request, std::move(head));
  return std::nullopt;
}

std::optional<ApiError> Conversation::ReadTokens(const Prompt& prompt, Place* place) {
  if (!prompt.ids.empty()) {
    place->ids = prompt.ids;
    return std::nullopt;
  }
  auto ids = parts_.tokenizer->Encode(prompt.text, SpecialOf(prompt));
  if (!ids) return ApiError{400, fmt::format("The prompt is no text: {}", ids.error().what)};
  place->ids = std::move(*ids);
  return std::nullopt;
}

std::optional<ApiError> Conversation::CheckLength(const Place& place) const {
  const int64_t asked = request().sampling.max_tokens.value_or(1);
  const auto prompt = static_cast<int64_t>(place.ids.size());
  const int64_t limit = parts_.max_model_len;
  if (prompt <= limit && asked <= limit - prompt) return std::nullopt;
  return ApiError{
      400, fmt::format("This model's maximum context length is {} tokens. However, you "
                       "requested {} tokens ({} in the prompt, {} in the completion). Please "
                       "reduce the length of the prompt or of the completion.",
                       limit, static_cast<uint64_t>(prompt) + static_cast<uint64_t>(asked), prompt,
                       asked)};
}

// A media part takes the token at which it stands.
void Conversation::HashBlocks(const Prompt& prompt, Place* place) {
  std::vector<KvMedia> media;
  if (!prompt.media.empty()) {
    const auto encoded = parts_.tokenizer->EncodeWithOffsets(prompt.text, SpecialOf(prompt));
    for (const MediaPart& part : prompt.media) {
      uint32_t at = 0;
      if (encoded) {
        const auto after = std::partition_point(
            encoded->offsets.begin(), encoded->offsets.end(),
            [&](const text::ByteSpan& span) { return span.end <= part.offset; });
        at = static_cast<uint32_t>(after - encoded->offsets.begin());
      }
      media.push_back({.hash = part.hash, .offset = at, .length = 1});
    }
  }
  parts_.hasher->Hash({.tokens = place->ids,
                       .media = media,
                       .lora_name = start_.lora.name,
                       .lora_path = start_.lora.path},
                      &place->blocks);
}

void Conversation::Submit(Time now) {
  const uint32_t n = request().n;
  running_.resize(outputs_.size());
  times_.arrived = now;
  for (uint32_t choice = 0; choice < outputs_.size(); ++choice) {
    const Place& place = places_[choice / n];
    running_[choice] = parts_.engine->Submit(
        {.listener = this,
         .choice = choice,
         .prompt = place.ids,
         .hashes = place.blocks.hashes,
         .extras = place.blocks.extras,
         .lora = start_.lora.name,
         .remote_prefill = request().kv_transfer && request().kv_transfer->do_remote_prefill,
         .cache_hit_threshold = request().cache_hit_threshold},
        now);
  }
}

uint32_t Conversation::OnStart(uint32_t choice, uint64_t cached_tokens) {
  const uint32_t n = request().n;
  if (choice % n == 0) usage_.cached_tokens += cached_tokens;
  Output& output = outputs_[choice];
  if (!MakeCalls(&output)) {
    output = parts_.generator->Make({.prompt = &request().prompts[choice / n],
                                     .prompt_ids = &places_[choice / n].ids,
                                     .sampling = &request().sampling});
  }
  if (request().kv_transfer && request().kv_transfer->do_remote_decode) {
    output.finish = FinishReason::kRemoteDecode;
  }
  format_->SetOutput(choice, &output);
  return static_cast<uint32_t>(output.ids.size());
}

// Calls of tools instead of a text, when the request and chance will it so.
bool Conversation::MakeCalls(Output* output) {
  if (start_.body.tools.tools.empty()) return false;
  output->calls = MakeToolCalls(start_.body.tools, *parts_.tools, parts_.random);
  if (output->calls.empty()) return false;
  for (ToolCall& call : output->calls) {
    call.first_token = static_cast<uint32_t>(output->ids.size());
    const auto begin = static_cast<uint32_t>(output->text.size());
    const auto tokens = parts_.tokenizer->EncodeWithOffsets(call.arguments, text::Special::kNone);
    output->text += call.arguments;
    if (!tokens || tokens->ids.empty()) continue;
    output->ids.insert(output->ids.end(), tokens->ids.begin(), tokens->ids.end());
    for (const text::ByteSpan& span : tokens->offsets) output->ends.push_back(begin + span.end);
    output->ends.back() = static_cast<uint32_t>(output->text.size());
  }
  output->finish = FinishReason::kToolCalls;
  return true;
}

void Conversation::Touch() {
  if (std::exchange(touched_, true)) return;
  parts_.touched->push_back(this);
}

void Conversation::OnToken(uint32_t choice, uint32_t token) {
  if (!request().stream) return;
  Touch();
  std::string* const out = start_.exchange->body();
  if (token == 0) format_->First(choice, out);
  format_->Token(choice, token, out);
}

void Conversation::OnDone(uint32_t choice) {
  const SequenceTimes& times = parts_.engine->ended();
  if (times_.ended == Time{} || times.started < times_.started) times_.started = times.started;
  if (times_.ended == Time{} || times.first_token < times_.first_token) {
    times_.first_token = times.first_token;
  }
  times_.ended = times.ended;
  times_.planned = std::max(times_.planned, times.planned);
  usage_.completion_tokens += outputs_[choice].ids.size();
  EndChoice(choice);
}

void Conversation::OnCacheThreshold(uint32_t choice) {
  outputs_[choice].finish = FinishReason::kCacheThreshold;
  format_->SetOutput(choice, &outputs_[choice]);
  OnDone(choice);
}

void Conversation::EndChoice(uint32_t choice) {
  running_[choice] = 0;
  ++ended_;
  Touch();
  const bool last = ended_ == outputs_.size();
  if (last) Count();
  if (!request().stream) return;
  std::string* const out = start_.exchange->body();
  if (outputs_[choice].ids.empty()) format_->First(choice, out);
  format_->Last(choice, out);
  if (last) format_->End(usage_, out);
}

void Conversation::Count() {
  uint64_t longest = 0;
  for (const Output& output : outputs_) longest = std::max<uint64_t>(longest, output.ids.size());
  std::optional<Duration> queued;
  if (times_.started > times_.arrived) queued = times_.started - times_.arrived;
  parts_.metrics->Finished({.reason = outputs_.back().finish,
                            .prompt_tokens = usage_.prompt_tokens,
                            .generation_tokens = usage_.completion_tokens,
                            .max_generation_tokens = longest,
                            .max_tokens = request().sampling.max_tokens,
                            .queued = queued,
                            .prefill = times_.first_token - times_.started,
                            .decode = times_.ended - times_.first_token,
                            .total = times_.ended - times_.arrived,
                            .planned_total = times_.planned});
}

net::HttpReply Conversation::Head() const {
  net::HttpReply reply;
  reply.header_lines = start_.header_lines;
  if (request().stream) reply.content_type = "text/event-stream; charset=utf-8";
  return reply;
}

bool Conversation::Settle() {
  touched_ = false;
  const bool done = ended_ == outputs_.size();
  if (!request().stream) {
    if (!done) return false;
    net::HttpReply reply = Head();
    const bool remote = outputs_.front().finish == FinishReason::kRemoteDecode;
    reply.body = format_->Whole(usage_, remote ? parts_.remote_decode_params : "");
    start_.exchange->Reply(reply);
    return true;
  }
  if (!begun_ && start_.exchange->body()->empty()) return false;
  if (!std::exchange(begun_, true)) start_.exchange->Begin(Head());
  done ? start_.exchange->End() : start_.exchange->Flush();
  return done;
}

void Conversation::Abort(Time now) {
  for (Engine::SequenceId& id : running_) {
    if (id != 0) parts_.engine->Cancel(std::exchange(id, 0), now);
  }
  parts_.metrics->Aborted();
}

}  // namespace headrace::sim
