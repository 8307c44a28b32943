#include "cli/hash_command.h"

#include <cinttypes>
#include <cstdio>
#include <string>

#include "cli/hash_args.h"
#include "cli/text_file.h"

namespace headrace::cli {
namespace {

void PrintHelp() {
  std::printf(
      "usage: headrace hash --algo NAME --tokens 1,2,3 [flags]\n"
      "Prints one line a full block: INDEX HEX UINT64. HEX is the digest, UINT64 its low 64 bits,\n"
      "as KV cache events carry it.\n%s",
      FlagHelp(HashFlags()).c_str());
}

int Refuse(const std::string& message) {
  std::fprintf(stderr, "headrace hash: %s\n", message.c_str());
  return kExitWrongUse;
}

void PrintBlock(size_t index, const wire::BlockHash& hash) {
  std::printf("%zu ", index);
  for (const uint8_t byte : hash.view()) std::printf("%02x", byte);
  std::printf(" %" PRIu64 "\n", wire::BlockHasher::Low64(hash));
}

void PrintBlocks(const HashRequest& request) {
  const size_t size = request.options.block_tokens;
  const std::span<const uint32_t> tokens(request.tokens);
  wire::BlockHash hash = request.parent;
  for (size_t i = 0; i < tokens.size() / size; ++i) {
    const wire::ExtraKeys* extra = request.extras.empty() ? nullptr : &request.extras[i];
    hash = request.hasher->Next(hash, tokens.subspan(i * size, size), extra);
    PrintBlock(i, hash);
  }
}

}  // namespace

int RunHash(int argc, char** argv) {
  CommandLine line;
  std::string message;
  if (!ParseCommandLine(argc, argv, HashFlags(), &line, &message)) return Refuse(message);
  if (line.help) {
    PrintHelp();
    return 0;
  }
  TakeStandardInput("tokens", &line);
  const auto request = ReadHashRequest(line, &message);
  if (!request) return Refuse(message);
  if (!request->note.empty()) std::fprintf(stderr, "headrace hash: %s\n", request->note.c_str());
  if (request->tokens.size() < request->options.block_tokens) {
    std::fprintf(stderr, "headrace hash: %zu tokens do not fill a block of %u\n",
                 request->tokens.size(), request->options.block_tokens);
  }
  PrintBlocks(*request);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace headrace::cli
