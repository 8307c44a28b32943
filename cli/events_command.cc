#include "cli/events_command.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>

#include "cli/command_line.h"
#include "cli/event_json.h"
#include "cli/tail_command.h"

namespace headrace::cli {
namespace {

constexpr const char* kUsage =
    "usage: headrace events decode FILE\n"
    "Prints one JSON object an event, with vLLM's names. FILE holds payloads of KV event messages\n"
    "as hexadecimal digits, one a line; - is standard input. An event that cannot be decoded\n"
    "prints {\"error\":TEXT,\"event\":INDEX}, and the exit code is 1 at the end.\n"
    "usage: headrace events tail ENDPOINT [flags]\n"
    "Prints what a publisher announces; tail --help says more.\n";

std::string_view Trimmed(std::string_view line) {
  constexpr std::string_view kSpace = " \t\r";
  line.remove_prefix(std::min(line.find_first_not_of(kSpace), line.size()));
  return line.substr(0, line.find_last_not_of(kSpace) + 1);
}

// The exit code.
int Decode(std::istream* in) {
  wire::EventDecoder decoder;
  bool all_good = true;
  for (std::string line; std::getline(*in, line);) {
    const std::string_view hex = Trimmed(line);
    if (hex.empty()) continue;
    std::string lines;
    all_good &= AppendEventLines(hex, &decoder, &lines);
    std::fwrite(lines.data(), 1, lines.size(), stdout);
  }
  if (in->bad()) {
    std::fprintf(stderr, "headrace events decode: cannot be read to its end\n");
    all_good = false;
  }
  return std::fflush(stdout) == 0 && all_good ? 0 : 1;
}

int DecodeFile(const std::string& name) {
  if (name == "-") return Decode(&std::cin);
  std::ifstream file(name, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "headrace events decode: cannot open %s\n", name.c_str());
    return 1;
  }
  return Decode(&file);
}

}  // namespace

int RunEvents(int argc, char** argv) {
  if (argc >= 2 && argv[1] == std::string_view("tail")) return RunEventsTail(argc - 1, argv + 1);
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help" || word == "-h") {
      std::fputs(kUsage, stdout);
      return 0;
    }
  }
  if (argc == 3 && argv[1] == std::string_view("decode")) return DecodeFile(argv[2]);
  std::fputs(kUsage, stderr);
  return kExitWrongUse;
}

}  // namespace headrace::cli
