// Extra keys of events: what makes blocks of equal tokens differ, taken from the forms in which
// engines publish it to the one that keys are computed from: bare texts, an image's identifier, a
// salt, a digest of embeds, in the engine's order. Names of LoRA adapters are not among them: they
// are part of a chain's root. docs/indexer.md lists the forms. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "wire/hash.h"

namespace headrace::indexer {

// One extra key of an engine's block.
struct EventExtra {
  std::string text;
  // Of multimodal items whose place is known: the first token, from the block's first on; negative
  // when the item began in a block before.
  bool placed = false;
  int64_t offset = 0;
  // A digest of embeds, or an adapter's number: what has no place and is of the whole block.
  bool everywhere = false;
};

struct EventExtras {
  std::vector<std::vector<EventExtra>> blocks;  // one an engine block, or none: no block has any
  std::string lora;                             // the adapter that a tagged key names, or ""
};

// `raw` is the msgpack of an event: an array with nil or an array of keys for each of `blocks`.
// `lora` is the event's own adapter name. kInvalid: it is no such thing, so that nobody knows what
// the blocks are.
Result<EventExtras> ParseEventExtras(std::span<const uint8_t> raw, size_t blocks,
                                     std::string_view lora);

// From engine blocks of `engine_tokens` to blocks of `key_tokens`, one of which is a multiple of
// the other; what fills no whole block is left out. Several into one: joined, an item that goes on
// from one to the next once. One into several: each gets all, but those before an item's place; and
// where the first block begins a prompt, a text without a place is a salt, which is the first's.
std::vector<wire::ExtraKeys> RealignExtras(std::span<const std::vector<EventExtra>> blocks,
                                           uint32_t engine_tokens, uint32_t key_tokens,
                                           bool begins_prompt);

// The same form for what wire::PlaceExtraKeys places.
void NormalizeExtras(wire::ExtraKeys* keys);

}  // namespace headrace::indexer
