#include "net/http_target.h"

#include <algorithm>

#include "base/hex.h"

namespace headrace::net {
namespace {

Result<std::string> Decode(std::string_view text, bool plus_is_space) {
  std::string plain;
  plain.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
      continue;
    }
    int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    int code = high * 16 + low;
    if (high < 0 || low < 0 || code == 0) return Fail(Errc::kInvalid, "broken percent code");
    plain.push_back(static_cast<char>(code));
    i += 2;
  }
  return plain;
}

}  // namespace

Result<HttpTarget> ParseTarget(std::string_view target) {
  if (!target.starts_with('/')) return Fail(Errc::kInvalid, "target is not a path");
  target = target.substr(0, target.find('#'));
  size_t mark = std::min(target.find('?'), target.size());
  HttpTarget parsed;
  HR_TRY(parsed.path, Decode(target.substr(0, mark), false));
  for (size_t at = mark + 1; at < target.size();) {
    size_t end = std::min(target.find('&', at), target.size());
    std::string_view pair = target.substr(at, end - at);
    at = end + 1;
    if (pair.empty()) continue;
    size_t equals = std::min(pair.find('='), pair.size());
    HR_TRY(std::string key, Decode(pair.substr(0, equals), true));
    std::string_view rest = equals < pair.size() ? pair.substr(equals + 1) : std::string_view();
    HR_TRY(parsed.query[std::move(key)], Decode(rest, true));
  }
  return parsed;
}

}  // namespace headrace::net
