// What `headrace hash --extra` takes: JSON that says what else than tokens goes into a prompt's
// block hashes. docs/hashes.md shows both forms.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "wire/hash.h"

namespace headrace::cli {

// The keys of each block as they are, or what is still to be placed on blocks.
using Extra = std::variant<std::vector<wire::ExtraKeys>, wire::PromptExtras>;

// On failure `*message` says what is wrong and what would be right.
Result<Extra> ParseExtra(std::string_view json, std::string* message);

}  // namespace headrace::cli
