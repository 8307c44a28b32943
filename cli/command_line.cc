#include "cli/command_line.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace headrace::cli {
namespace {

tl::unexpected<Error> Wrong(std::string text, std::string* message) {
  *message = std::move(text);
  return Fail(Errc::kInvalid, "command line");
}

std::string Spelled(const Flag& flag) {
  return fmt::format("  --{} {}", flag.name, flag.meta);
}

}  // namespace

const std::string* CommandLine::Find(std::string_view name) const {
  const auto found = values.find(name);
  return found == values.end() ? nullptr : &found->second;
}

Status ParseCommandLine(int argc, const char* const* argv, std::span<const Flag> flags,
                        CommandLine* line, std::string* message) {
  for (int i = 1; i < argc; ++i) {
    std::string_view word = argv[i];
    if (word == "--help" || word == "-h") {
      line->help = true;
      continue;
    }
    if (!word.starts_with("--")) {
      return Wrong(fmt::format("{} belongs to no flag; see --help", Quoted(word)), message);
    }
    word.remove_prefix(2);
    const size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    const bool known =
        std::any_of(flags.begin(), flags.end(), [&](const Flag& x) { return x.name == name; });
    if (!known) return Wrong(fmt::format("no flag {}; see --help", Quoted(name)), message);
    if (equals == std::string_view::npos && i + 1 >= argc) {
      return WrongFlag(name, "needs a value", message);
    }
    const std::string_view value =
        equals == std::string_view::npos ? argv[++i] : word.substr(equals + 1);
    line->values.insert_or_assign(std::string(name), std::string(value));
  }
  return {};
}

std::string FlagHelp(std::span<const Flag> flags) {
  size_t width = 0;
  for (const Flag& flag : flags) width = std::max(width, Spelled(flag).size());
  std::string help;
  for (const Flag& flag : flags) {
    std::string left = Spelled(flag);
    std::string_view rest = flag.help;
    while (true) {
      const size_t end = rest.find('\n');
      help += fmt::format("{:<{}}  {}\n", left, width, rest.substr(0, end));
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
      left.clear();
    }
  }
  return help;
}

tl::unexpected<Error> WrongFlag(std::string_view name, std::string_view text,
                                std::string* message) {
  return Wrong(fmt::format("--{}: {}", name, text), message);
}

std::string Quoted(std::string_view text) {
  constexpr size_t kShown = 60;
  std::string quoted =
      fmt::format("\"{}{}\"", text.substr(0, kShown), text.size() > kShown ? "..." : "");
  std::replace_if(
      quoted.begin(), quoted.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return quoted;
}

bool ParseNumber(std::string_view text, uint64_t high, uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size() && *number <= high;
}

}  // namespace headrace::cli
