// `headrace index score`: what a running index says about a prompt.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "cli/command_line.h"
#include "indexer/api_json.h"

namespace headrace::cli {

std::span<const Flag> ScoreFlags();

// `line` has been read with ScoreFlags(). On failure `*message` names the flag and what would be
// right.
Result<indexer::ScoreCall> ReadScoreCall(const CommandLine& line, std::string* message);

// The answer for people: a line about the prompt, then a row a pod, best first.
std::string ScoreTable(const indexer::ScoreAnswer& answer);

// argv[0] is the command's name. Returns the exit code.
int RunIndexScore(int argc, char** argv);

}  // namespace headrace::cli
