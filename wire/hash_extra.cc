#include <algorithm>

#include "base/hex.h"
#include "wire/hash.h"
#include "wire/hash_chain.h"

namespace headrace::wire {
namespace {

ExtraKey LoraKey(const PromptExtras::Lora& lora, ExtraKeyForm form) {
  if (form == ExtraKeyForm::kUntagged) return {{lora.name}, true};
  return {{std::string("lora"), lora.name, lora.path}};
}

// `offset` is that of the item from the first token of the block.
ExtraKey MultimodalKey(const std::string& id, int64_t offset, ExtraKeyForm form) {
  if (form == ExtraKeyForm::kUntagged) return {{id, offset}};
  return {{std::string("mm"), id, offset}};
}

ExtraKey OneAtomKey(const char* tag, KeyAtom atom, ExtraKeyForm form) {
  if (form == ExtraKeyForm::kUntagged) return {{std::move(atom)}, true};
  return {{std::string(tag), std::move(atom)}};
}

// Walks multimodal items block by block, as vLLM does: an item that reaches beyond a block ends the
// block's list, even if a later one overlaps the block as well.
class ItemWalk {
 public:
  // `extras` must outlive the walk.
  ItemWalk(const PromptExtras& extras, ExtraKeyForm form) : form_(form) {
    for (const auto& item : extras.mm) items_.push_back(&item);
    std::sort(items_.begin(), items_.end(), [](const auto* a, const auto* b) {
      return a->offset != b->offset ? a->offset < b->offset : a < b;
    });
  }

  void Place(uint64_t begin, uint64_t end, ExtraKeys* keys) {
    if (items_.empty() || End(*items_.back()) <= begin) return;
    for (; at_ < items_.size(); ++at_) {
      const PromptExtras::Multimodal& item = *items_[at_];
      if (end <= item.offset) return;
      if (begin >= End(item)) continue;
      const auto offset = static_cast<int64_t>(item.offset) - static_cast<int64_t>(begin);
      keys->push_back(MultimodalKey(item.id, offset, form_));
      if (end < End(item)) return;
    }
  }

 private:
  static uint64_t End(const PromptExtras::Multimodal& item) {
    return uint64_t{item.offset} + item.length;
  }

  std::vector<const PromptExtras::Multimodal*> items_;  // by offset
  const ExtraKeyForm form_;
  size_t at_ = 0;
};

bool IsText(const KeyAtom& atom) {
  return std::holds_alternative<std::string>(atom);
}

// The mark of one atom, if it is one: a text, or the digest of embeddings in hexadecimal.
std::optional<std::string> MarkOf(const KeyAtom& atom) {
  if (IsText(atom)) return std::get<std::string>(atom);
  if (const auto* bytes = std::get_if<std::vector<uint8_t>>(&atom)) return Hex(*bytes);
  return std::nullopt;
}

// Of a tuple: (tag, value...) or, before tags, (identifier, offset).
std::optional<std::string> MarkOfTuple(const std::vector<KeyAtom>& atoms) {
  if (atoms.empty()) return std::nullopt;
  if (atoms.size() > 1 && IsText(atoms[0])) {
    const auto& tag = std::get<std::string>(atoms[0]);
    if (tag == "lora") return std::nullopt;  // its name stands in the place of the model's
    if (tag == "mm" || tag == "cache_salt" || tag == "prompt_embeds") return MarkOf(atoms[1]);
  }
  return MarkOf(atoms[0]);
}

}  // namespace

std::vector<ExtraKeys> PlaceExtraKeys(const PromptExtras& extras, ExtraKeyForm form,
                                      uint32_t block_tokens, size_t blocks) {
  std::vector<ExtraKeys> placed(blocks);
  ItemWalk items(extras, form);
  for (size_t i = 0; i < blocks; ++i) {
    ExtraKeys& keys = placed[i];
    if (extras.lora) keys.push_back(LoraKey(*extras.lora, form));
    items.Place(i * block_tokens, (i + 1) * block_tokens, &keys);
    if (i == 0 && !extras.salt.empty()) keys.push_back(OneAtomKey("cache_salt", extras.salt, form));
    if (i < extras.embeds.size()) {
      keys.push_back(OneAtomKey("prompt_embeds", extras.embeds[i], form));
    }
  }
  return placed;
}

std::optional<std::vector<std::string>> LlmdMarks(const ExtraKeys& extra) {
  std::vector<std::string> marks;
  bool has_atoms = false;
  for (const ExtraKey& key : extra) {
    has_atoms = has_atoms || !key.atoms.empty();
    if (!key.bare) {
      if (auto mark = MarkOfTuple(key.atoms)) marks.push_back(std::move(*mark));
      continue;
    }
    for (const KeyAtom& atom : key.atoms) {
      if (auto mark = MarkOf(atom)) marks.push_back(std::move(*mark));
    }
  }
  if (marks.empty() && has_atoms) return std::nullopt;
  return marks;
}

}  // namespace headrace::wire
