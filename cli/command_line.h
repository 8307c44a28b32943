// The flags of one command of `headrace`: --name VALUE or --name=VALUE, the last of a repeated one
// counts. Nothing comes from the environment: what a command prints follows from its line alone.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::cli {

constexpr int kExitWrongUse = 2;  // of a program whose line cannot be read

struct Flag {
  std::string_view name;  // "block-size"
  std::string_view meta;  // "N"
  std::string_view help;  // further lines after '\n'
};

struct CommandLine {
  std::map<std::string, std::string, std::less<>> values;  // by name
  bool help = false;                                       // --help or -h stands on it

  // Null when the flag is not on the line.
  const std::string* Find(std::string_view name) const;
};

// Arguments from argv[1]. On failure `*message` is the line for the user.
Status ParseCommandLine(int argc, const char* const* argv, std::span<const Flag> flags,
                        CommandLine* line, std::string* message);

// "  --block-size N   help", aligned.
std::string FlagHelp(std::span<const Flag> flags);

// Makes `*message` the text after a failure: "--name: text".
tl::unexpected<Error> WrongFlag(std::string_view name, std::string_view text, std::string* message);

// A user's text in a message: quoted, short, on one line.
std::string Quoted(std::string_view text);

// Whole text as an unsigned decimal number of at most `high`.
bool ParseNumber(std::string_view text, uint64_t high, uint64_t* number);

// Pairs of hexadecimal digits, "0x" before them or not. `out` needs push_back.
template <typename Bytes>
bool ParseHex(std::string_view text, Bytes* out) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  if (text.starts_with("0x")) text.remove_prefix(2);
  if (text.size() % 2 != 0) return false;
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = digit(text[i + 1]);
    if (high < 0 || low < 0) return false;
    out->push_back(static_cast<typename Bytes::value_type>(16 * high + low));
  }
  return true;
}

}  // namespace headrace::cli
