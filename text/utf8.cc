#include "text/utf8.h"

#include <cstdint>
#include <cstring>

#include "base/result.h"

namespace headrace::text {

namespace {

struct Lead {
  size_t length;        // of the whole character; 0: no character begins so
  uint8_t second_from;  // what the second byte may be
  uint8_t second_to;
};

Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xc2) return {0, 0, 0};
  if (byte < 0xe0) return {2, 0x80, 0xbf};
  if (byte == 0xe0) return {3, 0xa0, 0xbf};
  if (byte == 0xed) return {3, 0x80, 0x9f};
  if (byte < 0xf0) return {3, 0x80, 0xbf};
  if (byte == 0xf0) return {4, 0x90, 0xbf};
  if (byte < 0xf4) return {4, 0x80, 0xbf};
  if (byte == 0xf4) return {4, 0x80, 0x8f};
  return {0, 0, 0};
}

struct Step {
  size_t size;  // never 0
  bool good;
};

// REQUIRES: `bytes` is not empty.
Step NextCharacter(std::string_view bytes) {
  const auto at = [&](size_t place) { return static_cast<uint8_t>(bytes[place]); };
  const Lead lead = LeadOf(at(0));
  if (lead.length <= 1) return {1, lead.length == 1};
  size_t size = 1;
  while (size < lead.length && size < bytes.size()) {
    const uint8_t from = size == 1 ? lead.second_from : 0x80;
    const uint8_t to = size == 1 ? lead.second_to : 0xbf;
    if (at(size) < from || at(size) > to) break;
    ++size;
  }
  return {size, size == lead.length};
}

size_t AsciiRun(std::string_view bytes) {
  size_t size = 0;
  uint64_t word = 0;
  while (bytes.size() - size >= sizeof(word)) {
    std::memcpy(&word, bytes.data() + size, sizeof(word));
    if ((word & 0x8080808080808080u) != 0) break;
    size += sizeof(word);
  }
  while (size < bytes.size() && static_cast<uint8_t>(bytes[size]) < 0x80) ++size;
  return size;
}

// How many bytes from the begin on are well-formed.
size_t GoodRun(std::string_view bytes) {
  size_t done = 0;
  while (true) {
    done += AsciiRun(bytes.substr(done));
    if (done == bytes.size()) return done;
    const Step step = NextCharacter(bytes.substr(done));
    if (!step.good) return done;
    done += step.size;
  }
}

}  // namespace

bool IsUtf8(std::string_view bytes) {
  return GoodRun(bytes) == bytes.size();
}

std::string ToUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  while (!bytes.empty()) {
    const size_t good = GoodRun(bytes);
    out.append(bytes.substr(0, good));
    bytes.remove_prefix(good);
    if (bytes.empty()) break;
    const Step step = NextCharacter(bytes);
    HR_DCHECK(!step.good && step.size > 0);
    out.append("\xef\xbf\xbd");
    bytes.remove_prefix(step.size);
  }
  return out;
}

}  // namespace headrace::text
