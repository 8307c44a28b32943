#include "indexer/redis_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/endian.h"
#include "wire/msgpack.h"

namespace headrace::indexer {
namespace {

// Tiers that need no name in a field, by number; 0 is "its name follows".
constexpr std::array<std::string_view, 7> kTiers = {"",       "gpu",     "cpu",           "disk",
                                                    "remote", "storage", "shared_storage"};
constexpr uint8_t kTierMask = 0x0f;
constexpr uint8_t kSpeculative = 0x10;
constexpr uint8_t kGrouped = 0x20;
static_assert(kTiers.size() <= kTierMask + 1);
constexpr size_t kLifeBytes = 7;
constexpr size_t kGroupBytes = 2;

template <typename T>
T OfBigEndian(std::string_view bytes) {
  HR_CHECK(bytes.size() <= sizeof(T));
  uint64_t value = 0;
  for (char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return static_cast<T>(value);
}

// The bytes that a character which begins with `lead` has; 0: none begins so.
size_t LengthByLead(uint8_t lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  return lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
}

// What may follow a lead: no overlong forms, no surrogates, nothing beyond U+10FFFF.
bool IsSecond(uint8_t lead, uint8_t second) {
  const uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  return second >= low && second <= high;
}

// The bytes of one UTF-8 character at the front of `text`; 0 when there is none.
size_t Utf8Length(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = LengthByLead(lead);
  if (length <= 1) return length;
  if (text.size() < length || !IsSecond(lead, static_cast<uint8_t>(text[1]))) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((static_cast<uint8_t>(text[i]) & 0xc0) != 0x80) return 0;
  }
  return length;
}

// One ASCII character inside a JSON string.
void AppendEscaped(char c, std::string* out) {
  constexpr std::string_view kShort = "\"\\\b\f\n\r\t";
  constexpr std::string_view kLetter = "\"\\bfnrt";
  const size_t at = kShort.find(c);
  if (at != std::string_view::npos) {
    out->push_back('\\');
    out->push_back(kLetter[at]);
  } else if (static_cast<uint8_t>(c) < 0x20 || c == '<' || c == '>' || c == '&') {
    *out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
  } else {
    out->push_back(c);
  }
}

// As encoding/json does: HTML's characters and the two line separators are escaped, what is no
// UTF-8 becomes U+FFFD.
std::string GoString(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) {
      out += "\\ufffd";
    } else if (length == 1) {
      AppendEscaped(text[0], &out);
    } else if (text.starts_with("\xe2\x80\xa8") || text.starts_with("\xe2\x80\xa9")) {
      out += text[2] == '\xa8' ? "\\u2028" : "\\u2029";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out + "\"";
}

// By GroupRule.
constexpr std::array<std::string_view, 3> kRules = {"full", "window", "state"};

bool ReadGroup(wire::MsgpackReader* reader, GroupSpec* spec) {
  uint32_t parts = 0;
  uint64_t group = 0, window = 0;
  std::string_view name;
  if (!reader->Array(&parts) || parts != 3) return false;
  if (!reader->Uint(&group) || !reader->Str(&name) || !reader->Uint(&window)) return false;
  const auto* const rule = std::find(kRules.begin(), kRules.end(), name);
  if (group > INT16_MAX || window > UINT32_MAX || rule == kRules.end()) return false;
  *spec = {static_cast<int16_t>(group), static_cast<GroupRule>(rule - kRules.begin()),
           static_cast<uint32_t>(window)};
  return true;
}

bool ReadRules(wire::MsgpackReader* reader, RemoteRules* rules) {
  uint32_t parts = 0, count = 0;
  if (!reader->Array(&parts) || parts != 3 || !reader->Array(&count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    rules->groups.emplace_back();
    if (!ReadGroup(reader, &rules->groups.back())) return false;
  }
  if (!reader->Uint(&rules->serve_space) || !reader->Array(&count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    std::string_view pod;
    if (!reader->Str(&pod)) return false;
    rules->serves.emplace_back(pod);
  }
  return reader->AtEnd();
}

}  // namespace

std::string KeyBytes(uint64_t key) {
  return BigEndian(key);
}
uint64_t KeyOfBytes(std::string_view bytes) {
  HR_CHECK(bytes.size() == kKeyBytes);
  return OfBigEndian<uint64_t>(bytes);
}
std::string LifeBytes(PodLife life) {
  HR_CHECK(life >> (8 * kLifeBytes) == 0);
  return BigEndian(life).substr(sizeof(PodLife) - kLifeBytes);
}

Result<PodLife> LifeOfBytes(std::string_view bytes) {
  if (bytes.size() < kLifeBytes) return Fail(Errc::kCorrupt, "a pod's life is too short");
  return OfBigEndian<PodLife>(bytes.substr(0, kLifeBytes));
}

bool NativeNames::IsKey(std::string_view name, char kind) const {
  return name.size() == prefix.size() + 1 + kKeyBytes && name.starts_with(prefix) &&
         name[prefix.size()] == kind;
}

std::string NativeSuffix(const RemoteHolder& holder) {
  const auto* const found = std::find(kTiers.begin() + 1, kTiers.end(), holder.tier);
  const bool named = found == kTiers.end();
  uint8_t kind = named ? 0 : static_cast<uint8_t>(found - kTiers.begin());
  if (holder.speculative) kind |= kSpeculative;
  if (holder.group >= 0) kind |= kGrouped;
  std::string suffix(1, static_cast<char>(kind));
  if (holder.group >= 0) suffix += BigEndian(static_cast<uint16_t>(holder.group));
  if (named) suffix += holder.tier;
  return suffix;
}

Status ParseNativeField(std::string_view field, PodLife* life, RemoteHolder* holder) {
  if (field.size() < kLifeBytes + 1) return Fail(Errc::kCorrupt, "a holder's field is too short");
  *life = OfBigEndian<PodLife>(field.substr(0, kLifeBytes));
  const auto kind = static_cast<uint8_t>(field[kLifeBytes]);
  field.remove_prefix(kLifeBytes + 1);
  const size_t tier = kind & kTierMask;
  if (tier >= kTiers.size() || (kind & ~(kTierMask | kSpeculative | kGrouped)) != 0) {
    return Fail(Errc::kCorrupt, "a holder's field is of an unknown kind");
  }
  holder->speculative = (kind & kSpeculative) != 0;
  holder->group = -1;
  if ((kind & kGrouped) != 0) {
    if (field.size() < kGroupBytes) return Fail(Errc::kCorrupt, "a holder's field has no group");
    const auto group = OfBigEndian<uint16_t>(field.substr(0, kGroupBytes));
    if (group > std::numeric_limits<int16_t>::max()) {
      return Fail(Errc::kCorrupt, "a holder's group is too high");
    }
    holder->group = static_cast<int16_t>(group);
    field.remove_prefix(kGroupBytes);
  }
  if (tier != 0 && !field.empty()) {
    return Fail(Errc::kCorrupt, "a holder's field is too long");
  }
  holder->tier = tier == 0 ? field : kTiers[tier];
  return {};
}

std::string RulesBytes(const RemoteRules& rules) {
  std::string bytes;
  wire::MsgpackWriter writer(&bytes);
  writer.Array(3);
  writer.Array(static_cast<uint32_t>(rules.groups.size()));
  for (const GroupSpec& spec : rules.groups) {
    HR_CHECK(spec.group >= 0);
    writer.Array(3);
    writer.Uint(static_cast<uint64_t>(spec.group));
    writer.Str(kRules.at(static_cast<size_t>(spec.rule)));
    writer.Uint(spec.window_tokens);
  }
  writer.Uint(rules.serve_space);
  writer.Array(static_cast<uint32_t>(rules.serves.size()));
  for (const std::string& pod : rules.serves) writer.Str(pod);
  return bytes;
}

Result<RemoteRules> RulesOfBytes(std::string_view bytes) {
  wire::MsgpackReader reader({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  RemoteRules rules;
  if (!ReadRules(&reader, &rules)) return Fail(Errc::kInvalid, "these are no rules of a pod");
  return rules;
}

std::string LlmdRequest(uint64_t key) {
  return std::to_string(key);
}
std::string LlmdEngine(uint64_t key) {
  return fmt::format("engine:{}", key);
}

std::string LlmdField(const RemoteHolder& holder) {
  return fmt::format(
      R"({{"PodIdentifier":{},"DeviceTier":{},"Speculative":{},"HasGroup":{},"GroupIdx":{}}})",
      GoString(holder.pod), GoString(holder.tier), holder.speculative, holder.group >= 0,
      std::max<int>(holder.group, 0));
}

Result<RemoteHolder> ParseLlmdField(std::string_view field) {
  using Json = nlohmann::json;
  const Json json = Json::parse(field, nullptr, false);
  if (!json.is_object()) return Fail(Errc::kCorrupt, "a field is no JSON object");
  const Json none;
  const auto member = [&](const char* name) -> const Json& {
    const auto found = json.find(name);
    return found == json.end() ? none : *found;
  };
  const auto* pod = member("PodIdentifier").get_ptr<const Json::string_t*>();
  const auto* tier = member("DeviceTier").get_ptr<const Json::string_t*>();
  if (pod == nullptr || tier == nullptr) {
    return Fail(Errc::kCorrupt, "a field names no pod or no tier");
  }
  RemoteHolder holder{*pod, *tier, -1, member("Speculative") == true};
  if (member("HasGroup") != true) return holder;
  const auto* group = member("GroupIdx").get_ptr<const Json::number_unsigned_t*>();
  if (group == nullptr || *group > std::numeric_limits<int16_t>::max()) {
    return Fail(Errc::kCorrupt, "a field's group is no small number");
  }
  holder.group = static_cast<int16_t>(*group);
  return holder;
}

std::string GlobQuoted(std::string_view text) {
  std::string quoted;
  for (char c : text) {
    if (std::string_view("*?[]\\^-").find(c) != std::string_view::npos) quoted.push_back('\\');
    quoted.push_back(c);
  }
  return quoted;
}

}  // namespace headrace::indexer
