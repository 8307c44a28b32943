// What stands on the line of `headrace hash`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command_line.h"
#include "wire/hash.h"

namespace headrace::cli {

constexpr size_t kMaxHashTokens = 1u << 24;

std::span<const Flag> HashFlags();

struct HashRequest {
  wire::HasherOptions options;
  std::unique_ptr<const wire::BlockHasher> hasher;
  std::vector<uint32_t> tokens;
  std::vector<wire::ExtraKeys> extras;  // empty, or one a full block
  wire::BlockHash parent;               // or empty
  std::string note;                     // for standard error, or empty
};

// --tokens: whole numbers with commas or blanks between them, in brackets or not.
Status ReadTokenIds(const CommandLine& line, std::vector<uint32_t>* tokens, std::string* message);

// `line` has been read with HashFlags(). On failure `*message` names the flag and what would be
// right.
Result<HashRequest> ReadHashRequest(const CommandLine& line, std::string* message);

}  // namespace headrace::cli
