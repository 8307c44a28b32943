#include "cli/index_command.h"

#include <cstdio>
#include <string>
#include <string_view>

#include "cli/command_line.h"
#include "cli/index_diff.h"
#include "cli/index_dump.h"
#include "cli/index_score.h"
#include "cli/server_place.h"

namespace headrace::cli {
namespace {

constexpr const char* kUsage =
    "usage: headrace index score --model NAME --tokens 1,2,3 [flags]\n"
    "       headrace index dump [flags]\n"
    "       headrace index diff LEFT RIGHT [flags]\n"
    "How much of a prompt each pod holds; every block that the index has; what two indexes, or an\n"
    "index and its publisher, do not agree on. COMMAND --help says more.\n";

constexpr Flag kDumpFlags[] = {
    {"url", "URL", "of the index; default http://127.0.0.1:9091"},
    {"token-file", "FILE", "with the token that the index asks for"},
    {"page", "N", "blocks of one question, 1 to 1024; default 1024"},
};

int Refuse(int code, const std::string& message) {
  std::fprintf(stderr, "headrace index dump: %s\n", message.c_str());
  return code;
}

int RunDump(int argc, char** argv) {
  constexpr uint64_t kMostBlocks = 1024;
  CommandLine line;
  std::string message;
  if (!ParseCommandLine(argc, argv, kDumpFlags, &line, &message)) {
    return Refuse(kExitWrongUse, message);
  }
  if (line.help) {
    std::printf(
        "usage: headrace index dump [flags]\n"
        "Prints every block of the index, one JSON object a line. Blocks that come or go\n"
        "meanwhile may be missed or stand twice.\n%s",
        FlagHelp(kDumpFlags).c_str());
    return 0;
  }
  uint64_t page = kMostBlocks;
  if (const std::string* text = line.Find("page")) {
    if (!ParseNumber(*text, kMostBlocks, &page) || page == 0) {
      return Refuse(kExitWrongUse, "--page: must be 1 to 1024");
    }
  }
  const auto place = ReadServerPlace(line, &message);
  if (!place) return Refuse(kExitWrongUse, message);
  bool written = true;
  const auto print = [&written](const std::string& block) {
    written = written && std::printf("%s\n", block.c_str()) >= 0;
  };
  if (!ReadDump(*place, static_cast<uint32_t>(page), print, &message)) return Refuse(1, message);
  return std::fflush(stdout) == 0 && written ? 0 : 1;
}

}  // namespace

int RunIndex(int argc, char** argv) {
  const std::string_view word = argc < 2 ? "" : argv[1];
  if (word == "score") return RunIndexScore(argc - 1, argv + 1);
  if (word == "dump") return RunDump(argc - 1, argv + 1);
  if (word == "diff") return RunIndexDiff(argc - 1, argv + 1);
  const bool help = word == "--help" || word == "-h";
  std::fputs(kUsage, help ? stdout : stderr);
  return help ? 0 : kExitWrongUse;
}

}  // namespace headrace::cli
