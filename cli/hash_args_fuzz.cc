// Any values of any flags, one a line: what is read can be hashed, what is not is told in one line.
#include <string>

#include "cli/hash_args.h"

using namespace headrace;

namespace {

// "name=value" a line, as far as the name is a flag's.
cli::CommandLine LineOf(std::string_view text) {
  cli::CommandLine line;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view entry = text.substr(0, end);
    text.remove_prefix(std::min(text.size(), end + 1));
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) continue;
    for (const cli::Flag& flag : cli::HashFlags()) {
      if (flag.name != entry.substr(0, equals)) continue;
      line.values[std::string(flag.name)] = std::string(entry.substr(equals + 1));
    }
  }
  return line;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const cli::CommandLine line = LineOf({reinterpret_cast<const char*>(data), size});
  std::string message;
  const auto request = cli::ReadHashRequest(line, &message);
  if (!request) {
    HR_CHECK(!message.empty() && message.find('\n') == std::string::npos);
    return 0;
  }
  const size_t block = request->options.block_tokens;
  const std::span<const uint32_t> tokens(request->tokens);
  std::vector<uint64_t> keys;
  request->hasher->Keys(tokens, request->extras, &keys);
  HR_CHECK(keys.size() == tokens.size() / block);
  wire::BlockHash hash;
  for (size_t i = 0; i < keys.size(); ++i) {
    const wire::ExtraKeys* extra = request->extras.empty() ? nullptr : &request->extras[i];
    hash = request->hasher->Next(hash, tokens.subspan(i * block, block), extra);
    HR_CHECK(wire::BlockHasher::Low64(hash) == keys[i]);
  }
  if (request->parent.empty()) return 0;
  HR_CHECK(request->parent.size == request->hasher->root().size);
  return 0;
}
