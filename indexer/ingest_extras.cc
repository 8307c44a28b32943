#include "indexer/ingest_extras.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/hex.h"
#include "wire/msgpack.h"

namespace headrace::indexer {
namespace {

using wire::MsgpackReader;

// Apart from the same digits as a text.
std::string NumberText(int64_t number) {
  std::string text("#");
  text += std::to_string(number);
  return text;
}

// A text, or bytes as their digits.
bool ReadText(MsgpackReader* reader, std::string* text, bool* was_bytes = nullptr) {
  std::string_view view;
  std::span<const uint8_t> bytes;
  if (reader->Str(&view)) {
    *text = view;
    return true;
  }
  if (!reader->Bin(&bytes)) return false;
  *text = Hex(bytes);
  if (was_bytes != nullptr) *was_bytes = true;
  return true;
}

class ExtrasReader {
 public:
  ExtrasReader(std::span<const uint8_t> raw, std::string_view lora) : reader_(raw), lora_(lora) {}

  Status Read(size_t blocks, EventExtras* out) {
    uint32_t count = 0;
    if (reader_.Nil()) return {};
    if (!reader_.Array(&count)) return Fail(Errc::kInvalid, "extra keys are no array");
    if (count > blocks) return Fail(Errc::kInvalid, "more extra keys than blocks");
    out->blocks.resize(blocks);
    bool any = false;
    for (uint32_t i = 0; i < count; ++i) {
      HR_RETURN_IF_ERROR(ReadBlock(&out->blocks[i]));
      any = any || !out->blocks[i].empty();
    }
    if (!any) out->blocks.clear();
    out->lora = std::move(tagged_lora_);
    return {};
  }

 private:
  Status ReadBlock(std::vector<EventExtra>* keys) {
    uint32_t count = 0;
    if (reader_.Nil()) return {};
    if (!reader_.Array(&count)) return Fail(Errc::kInvalid, "a block's extra keys are no array");
    lora_seen_ = false;
    for (uint32_t i = 0; i < count; ++i) HR_RETURN_IF_ERROR(ReadKey(keys));
    return {};
  }

  Status ReadKey(std::vector<EventExtra>* keys) {
    EventExtra key;
    uint32_t parts = 0;
    int64_t number = 0;
    if (reader_.Nil()) return {};
    if (reader_.Array(&parts)) return ReadTuple(parts, keys);
    if (ReadText(&reader_, &key.text, &key.everywhere)) {
      // The adapter's name stands once, in front of all others.
      if (!lora_seen_ && !lora_.empty() && key.text == lora_) {
        lora_seen_ = true;
        return {};
      }
      keys->push_back(std::move(key));
      return {};
    }
    if (reader_.Int(&number)) {
      // Engines of old told adapters apart by numbers, which a name makes superfluous.
      if (lora_.empty()) keys->push_back({NumberText(number), false, 0, true});
      return {};
    }
    return reader_.Skip() ? Status{} : Fail(Errc::kInvalid, "a broken extra key");
  }

  Status ReadTuple(uint32_t parts, std::vector<EventExtra>* keys) {
    std::string first;
    EventExtra key;
    if (parts == 0) return {};
    if (!ReadText(&reader_, &first)) return SkipRest(parts);
    if (parts == 1) {
      key.text = std::move(first);
      keys->push_back(std::move(key));
      return {};
    }
    // [identifier, offset]
    if (reader_.Int(&key.offset)) {
      key.text = std::move(first);
      key.placed = true;
      keys->push_back(std::move(key));
      return SkipRest(parts - 2);
    }
    return ReadTagged(first, parts, keys);
  }

  // ["lora", name, path], ["mm", identifier, offset], ["cache_salt", text], ["prompt_embeds", hex]
  Status ReadTagged(const std::string& tag, uint32_t parts, std::vector<EventExtra>* keys) {
    EventExtra key;
    if (!ReadText(&reader_, &key.text))
      return Fail(Errc::kInvalid, "an extra key of no known form");
    if (tag == "lora") {
      if (tagged_lora_.empty()) tagged_lora_ = key.text;
      return SkipRest(parts - 2);
    }
    uint32_t left = parts - 2;
    key.everywhere = tag == "prompt_embeds";
    if (tag == "mm" && left > 0 && reader_.Int(&key.offset)) {
      key.placed = true;
      --left;
    }
    keys->push_back(std::move(key));
    return SkipRest(left);
  }

  Status SkipRest(uint32_t parts) {
    for (uint32_t i = 0; i < parts; ++i) {
      if (!reader_.Skip()) return Fail(Errc::kInvalid, "a broken extra key");
    }
    return {};
  }

  MsgpackReader reader_;
  std::string_view lora_;
  bool lora_seen_ = false;
  std::string tagged_lora_;
};

wire::ExtraKey Bare(std::string text) {
  wire::ExtraKey key;
  key.atoms.emplace_back(std::move(text));
  key.bare = true;
  return key;
}

// An item that began in a block before stands in that block's list already.
bool GoesOn(const EventExtra& key, const std::vector<EventExtra>& before) {
  if (key.placed) return key.offset < 0;
  return !before.empty() && !before.back().placed && before.back().text == key.text;
}

using Blocks = std::span<const std::vector<EventExtra>>;

// Each engine block into several.
std::vector<wire::ExtraKeys> Split(Blocks blocks, uint32_t engine_tokens, uint32_t key_tokens,
                                   bool begins_prompt) {
  HR_CHECK(engine_tokens % key_tokens == 0);
  std::vector<wire::ExtraKeys> aligned;
  const std::vector<EventExtra>* const first =
      begins_prompt && !blocks.empty() ? &blocks.front() : nullptr;
  for (const auto& block : blocks) {
    for (int64_t end = key_tokens; end <= engine_tokens; end += key_tokens) {
      wire::ExtraKeys& keys = aligned.emplace_back();
      for (const EventExtra& key : block) {
        const bool salt = &block == first && !key.placed && !key.everywhere;
        const int64_t from = key.placed ? key.offset : 0;
        if (salt ? end == key_tokens : from < end) keys.push_back(Bare(key.text));
      }
    }
  }
  return aligned;
}

// `several` engine blocks into one.
std::vector<wire::ExtraKeys> Join(Blocks blocks, size_t several) {
  std::vector<wire::ExtraKeys> aligned;
  for (size_t first = 0; first + several <= blocks.size(); first += several) {
    wire::ExtraKeys& keys = aligned.emplace_back();
    for (size_t i = first; i < first + several; ++i) {
      for (const EventExtra& key : blocks[i]) {
        if (i == first || !GoesOn(key, blocks[i - 1])) keys.push_back(Bare(key.text));
      }
    }
  }
  return aligned;
}

std::string TextOf(const wire::KeyAtom& atom) {
  if (const auto* text = std::get_if<std::string>(&atom)) return *text;
  if (const auto* bytes = std::get_if<std::vector<uint8_t>>(&atom)) return Hex(*bytes);
  return NumberText(std::get<int64_t>(atom));
}

// The text that one placed key tells blocks apart by; absent: none (an adapter's).
std::optional<std::string> TextOf(const wire::ExtraKey& key) {
  if (key.atoms.empty()) return std::nullopt;
  if (key.bare || key.atoms.size() == 1) return TextOf(key.atoms[0]);
  const auto* tag = std::get_if<std::string>(&key.atoms[0]);
  if (tag != nullptr && *tag == "lora") return std::nullopt;
  const bool untagged = std::holds_alternative<int64_t>(key.atoms[1]);
  return TextOf(key.atoms[untagged ? 0 : 1]);
}

}  // namespace

Result<EventExtras> ParseEventExtras(std::span<const uint8_t> raw, size_t blocks,
                                     std::string_view lora) {
  EventExtras extras;
  if (raw.empty()) return extras;
  HR_RETURN_IF_ERROR(ExtrasReader(raw, lora).Read(blocks, &extras));
  return extras;
}

std::vector<wire::ExtraKeys> RealignExtras(std::span<const std::vector<EventExtra>> blocks,
                                           uint32_t engine_tokens, uint32_t key_tokens,
                                           bool begins_prompt) {
  HR_CHECK(engine_tokens > 0 && key_tokens > 0);
  if (engine_tokens >= key_tokens) return Split(blocks, engine_tokens, key_tokens, begins_prompt);
  HR_CHECK(key_tokens % engine_tokens == 0);
  return Join(blocks, key_tokens / engine_tokens);
}

void NormalizeExtras(wire::ExtraKeys* keys) {
  wire::ExtraKeys bare;
  for (const wire::ExtraKey& key : *keys) {
    if (auto text = TextOf(key)) bare.push_back(Bare(std::move(*text)));
  }
  *keys = std::move(bare);
}

}  // namespace headrace::indexer
