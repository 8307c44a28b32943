#include "indexer/ingest_keys.h"

#include <utility>

#include "indexer/ingest_extras.h"

namespace headrace::indexer {

Result<std::unique_ptr<IngestKeys>> IngestKeys::Create(const wire::HasherOptions& options) {
  if (options.algo != wire::HashAlgo::kLlmdD && options.algo != wire::HashAlgo::kXxh64) {
    return Fail(Errc::kInvalid, "keys of the index are llmd-d or xxh64");
  }
  // Says now what would be wrong with every model.
  HR_RETURN_IF_ERROR(wire::BlockHasher::Create(options));
  return std::unique_ptr<IngestKeys>(new IngestKeys(options));
}

Result<const wire::BlockHasher*> IngestKeys::Find(std::string_view name) {
  const auto known = models_.find(std::string(name));
  if (known != models_.end()) return known->second.get();
  if (models_.size() >= kMaxModels || name.size() > kMaxModelBytes) {
    return Fail(Errc::kLimit, "too many models, or a name that is too long");
  }
  wire::HasherOptions options = options_;
  options.model = name;
  HR_TRY(auto hasher, wire::BlockHasher::Create(options));
  HR_CHECK(hasher->root().size == sizeof(RequestKey));
  return models_.emplace(std::string(name), std::move(hasher)).first->second.get();
}

Status IngestKeys::PromptKeys(std::string_view model, const wire::PromptExtras& extras,
                              std::span<const uint32_t> tokens, std::vector<RequestKey>* out) {
  HR_TRY(const wire::BlockHasher* hasher, Find(extras.lora ? extras.lora->name : model));
  wire::PromptExtras rest = extras;
  rest.lora.reset();
  const size_t blocks = tokens.size() / options_.block_tokens;
  std::vector<wire::ExtraKeys> placed;
  if (!rest.mm.empty() || !rest.salt.empty() || !rest.embeds.empty()) {
    placed = wire::PlaceExtraKeys(rest, wire::ExtraKeyForm::kTagged, options_.block_tokens, blocks);
    for (wire::ExtraKeys& keys : placed) NormalizeExtras(&keys);
  }
  hasher->Keys(tokens.first(blocks * options_.block_tokens), placed, out);
  return {};
}

}  // namespace headrace::indexer
