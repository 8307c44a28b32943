#include "indexer/access.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "base/file.h"

namespace headrace::indexer {
namespace {

constexpr std::string_view kBlanks = " \t\r";

tl::unexpected<Error> Refuse(std::string text, std::string* message) {
  *message = std::move(text);
  return Fail(Errc::kInvalid, "the token file is wrong");
}

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// What RFC 6750 lets a bearer token be made of.
bool IsTokenChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~+/=").find(c) != std::string_view::npos;
}

// Looks at all of `given` whatever it finds.
bool SameBytes(std::string_view known, std::string_view given) {
  HR_CHECK(!known.empty());
  unsigned difference = known.size() == given.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i] ^ known[i % known.size()]);
  }
  return difference == 0;
}

// The token of "Bearer TOKEN"; the scheme's case does not matter.
std::string_view BearerToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return {};
  for (size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != kScheme[i]) return {};
  }
  return Trim(authorization.substr(kScheme.size()));
}

}  // namespace

// Of one line that says something. `*why` says what would be right.
Result<AccessTokens::Entry> AccessTokens::ParseLine(std::string_view line, std::string* why) {
  HR_CHECK(!line.empty());
  constexpr std::string_view kSalt = "salt=";
  const size_t blank = std::min(line.find_first_of(kBlanks), line.size());
  const std::string_view token = line.substr(0, blank);
  const std::string_view rest = Trim(line.substr(blank));
  if (token.size() < kMinTokenChars || !std::all_of(token.begin(), token.end(), IsTokenChar)) {
    return Refuse(fmt::format("a token has {} or more letters, digits or -._~+/=", kMinTokenChars),
                  why);
  }
  if (!rest.empty() && (!rest.starts_with(kSalt) || rest.size() == kSalt.size())) {
    return Refuse("behind the token stands salt=TEXT or nothing", why);
  }
  const std::string salt(rest.empty() ? rest : rest.substr(kSalt.size()));
  return Entry{std::string(token), {.everything = rest.empty(), .salt = salt}};
}

Result<AccessTokens> AccessTokens::Parse(std::string_view text, std::string* message) {
  AccessTokens tokens;
  std::set<std::string> seen;
  size_t number = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = Trim(text.substr(at, end - at));
    at = end + 1;
    ++number;
    if (line.empty() || line.front() == '#') continue;
    std::string why;
    auto entry = ParseLine(line, &why);
    if (entry && !seen.insert(entry->token).second) why = "this token stands there twice; keep one";
    if (!why.empty()) return Refuse(fmt::format("line {}: {}", number, why), message);
    if (tokens.entries_.size() == kMaxTokens) {
      return Refuse(fmt::format("has more than {} tokens", kMaxTokens), message);
    }
    tokens.entries_.push_back(std::move(*entry));
  }
  if (tokens.entries_.empty()) return Refuse("holds no token; write one a line", message);
  return tokens;
}

Result<AccessTokens> AccessTokens::Read(const std::string& path, std::string* message) {
  const auto text = ReadFile(path, kMaxFileBytes);
  if (!text) {
    return Refuse(fmt::format("cannot be read: {}", std::strerror(text.error().os)), message);
  }
  return Parse(*text, message);
}

std::optional<Grant> AccessTokens::Check(std::string_view authorization) const {
  const std::string_view given = BearerToken(authorization);
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    if (SameBytes(entry.token, given)) found = &entry;
  }
  if (found == nullptr) return std::nullopt;
  HR_CHECK(found->grant.everything == found->grant.salt.empty());
  return found->grant;
}

}  // namespace headrace::indexer
