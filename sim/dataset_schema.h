// The table of a dataset, as llm-d-inference-sim has it: rows are answers, found by their prompts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "wire/sha256.h"

namespace headrace::sim {

struct DatasetColumn {
  std::string_view name;
  std::string_view type;  // as it is declared, in upper case
};
inline constexpr std::array<DatasetColumn, 4> kDatasetColumns = {{
    {"id", "INTEGER"},        // the primary key
    {"prompt_hash", "BLOB"},  // a PromptKey
    {"gen_tokens", "JSON"},   // {"tokens":[1,2],"strings":["a ","b"]}
    {"n_gen_tokens", "INTEGER"},
}};

// SHA-256 of the prompt's token ids, four bytes each, the lowest first. One thread.
using PromptKey = std::array<uint8_t, wire::Sha256::kBytes>;
class PromptHasher {
 public:
  static Result<PromptHasher> Create() {
    HR_TRY(auto algorithm, wire::Sha256Algorithm::Create());
    return PromptHasher(std::move(algorithm));
  }

  PromptKey Hash(std::span<const uint32_t> ids) {
    bytes_.clear();
    for (const uint32_t id : ids) {
      for (uint32_t shift = 0; shift < 32; shift += 8) {
        bytes_.push_back(static_cast<uint8_t>(id >> shift));
      }
    }
    PromptKey key{};
    digest_->Digest(*algorithm_, bytes_, key.data());
    return key;
  }

 private:
  explicit PromptHasher(std::shared_ptr<const wire::Sha256Algorithm> algorithm)
      : algorithm_(std::move(algorithm)) {}

  std::shared_ptr<const wire::Sha256Algorithm> algorithm_;
  std::unique_ptr<wire::Sha256> digest_ = std::make_unique<wire::Sha256>();
  std::vector<uint8_t> bytes_;
};

}  // namespace headrace::sim
