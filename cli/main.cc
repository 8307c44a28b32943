// headrace: the operator's program. Each command reads its own flags. Exit code 2: the line cannot
// be read, and standard error says which part of it.
#include <cstdio>
#include <string_view>

#include "base/version.h"
#include "cli/command_line.h"
#include "cli/events_command.h"
#include "cli/hash_command.h"
#include "cli/index_command.h"

namespace {

struct Command {
  std::string_view name;
  const char* help;                   // one line
  int (*run)(int argc, char** argv);  // argv[0] is the command's name
};
constexpr Command kCommands[] = {
    {"events", "KV cache events of engines and servers, decoded or as they come",
     headrace::cli::RunEvents},
    {"hash", "block hashes of a prompt, as engines and indexers compute them",
     headrace::cli::RunHash},
    {"index", "who holds how much of a prompt: ask, dump and compare", headrace::cli::RunIndex},
};

void PrintCommands(std::FILE* out) {
  std::fprintf(out, "usage: headrace COMMAND [flags]; headrace COMMAND --help says more\n");
  for (const Command& command : kCommands) {
    std::fprintf(out, "  %-8.*s  %s\n", static_cast<int>(command.name.size()), command.name.data(),
                 command.help);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view word = argc < 2 ? "" : argv[1];
  if (word == "--help" || word == "-h") {
    PrintCommands(stdout);
    return 0;
  }
  if (word == "--version") {
    std::printf("headrace %s\n", headrace::Version());
    return 0;
  }
  for (const Command& command : kCommands) {
    if (command.name == word) return command.run(argc - 1, argv + 1);
  }
  if (argc >= 2)
    std::fprintf(stderr, "headrace: no command %s\n", headrace::cli::Quoted(word).c_str());
  PrintCommands(stderr);
  return headrace::cli::kExitWrongUse;
}
