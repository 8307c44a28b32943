// Who may ask the index, and what: bearer tokens from a file. Immutable once made; any thread.
// docs/index_api.md shows the file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::indexer {

// What a token opens.
struct Grant {
  bool everything = false;  // else only scores with the salt below
  std::string salt;
};

class AccessTokens {
 public:
  static constexpr size_t kMinTokenChars = 16;
  static constexpr size_t kMaxTokens = 65536;
  static constexpr size_t kMaxFileBytes = 16u << 20;

  // One token a line, which opens everything, or a token, blanks and salt=TEXT up to the line's
  // end. Empty lines and lines with # at their head say nothing. On failure `*message` names the
  // line and what would be right, never the token.
  static Result<AccessTokens> Parse(std::string_view text, std::string* message);
  static Result<AccessTokens> Read(const std::string& path, std::string* message);

  // `authorization` is a request's header, "" when there is none. How long it takes tells nothing
  // about which token was nearly right.
  std::optional<Grant> Check(std::string_view authorization) const;
  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string token;
    Grant grant;
  };
  static Result<Entry> ParseLine(std::string_view line, std::string* why);

  std::vector<Entry> entries_;
};

}  // namespace headrace::indexer
