// `headrace index diff`: where an index differs from another one, from a file, or from what its
// publisher has.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/index_dump.h"
#include "cli/snapshot_ask.h"

namespace headrace::cli {

inline constexpr int kExitDiffers = 1;
inline constexpr int kExitTrouble = 3;  // it cannot be compared

// "< KEY POD TIER": only the left one has it, ">" only the right one; in order.
std::vector<std::string> Differences(const DumpedHolders& left, const DumpedHolders& right);

// What of `pod` an index holds, against what its publisher has. `blocks_of` tells the index's
// blocks of one engine hash, as lines of a dump.
using BlocksOf = std::function<Result<std::vector<std::string>>(uint64_t hash)>;
Result<std::vector<std::string>> PublisherDifferences(const DumpedHolders& index,
                                                      const std::string& pod,
                                                      std::span<const ResidentBlock> resident,
                                                      const BlocksOf& blocks_of);

// argv[0] is the command's name. Returns the exit code.
int RunIndexDiff(int argc, char** argv);

}  // namespace headrace::cli
