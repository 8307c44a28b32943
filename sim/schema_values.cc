#include "sim/schema_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <set>

#include "sim/json_read.h"
#include "sim/json_text.h"
#include "sim/schema_check.h"

namespace headrace::sim {
namespace {

constexpr uint32_t kMaxDepth = 32;         // a schema may hold itself
constexpr uint32_t kMaxOptionalDepth = 6;  // from here on only what is required
constexpr uint32_t kMaxSteps = 4000;       // schemas looked at
constexpr int64_t kMaxTextBytes = 4096;
constexpr int64_t kMaxItems = 1000;
constexpr double kExact = 9007199254740992.0;  // 2^53: as far as bounds of integers are told apart

constexpr std::array<std::string_view, 16> kWords = {
    "amber", "basin", "canal", "delta", "eddy",   "ferry",  "gully", "harbor",
    "inlet", "jetty", "kelp",  "lock",  "meadow", "needle", "oxbow", "pond"};

struct Format {
  std::string_view name;
  std::string_view example;
};
constexpr std::array<Format, 8> kFormats = {{
    {"date", "2026-01-15"},
    {"date-time", "2026-01-15T09:30:00Z"},
    {"time", "09:30:00Z"},
    {"email", "ferry@example.org"},
    {"uri", "https://example.org/canal"},
    {"uuid", "3f1c9a52-7d04-4c1b-9e6a-0b5d2f8e7a61"},
    {"ipv4", "192.0.2.7"},
    {"ipv6", "2001:db8::7"},
}};

// All that a value must fit at once: a schema, what it refers to, its allOf, and the one chosen of
// its oneOf and anyOf.
using Parts = std::vector<JsonValue>;

JsonValue Keyword(const Parts& parts, std::string_view name) {
  for (const JsonValue part : parts) {
    if (const JsonValue value = part.Find(name)) return value;
  }
  return {};
}

std::optional<double> Bound(const Parts& parts, std::string_view name) {
  const JsonValue value = Keyword(parts, name);
  return value ? value.number() : std::nullopt;
}

void AppendValue(JsonValue value, std::string* out) {
  if (value.IsText()) {
    AppendJsonString(value.text(), out);
  } else {
    out->append(value.raw());
  }
}

// The range of options, moved into that of a schema.
template <typename T>
struct Range {
  T low, high;

  void AtLeast(T bound) {
    low = std::max(low, bound);
    high = std::max(high, low);
  }
  void AtMost(T bound) {
    high = std::min(high, bound);
    low = std::min(low, high);
  }
};

int64_t Whole(double value) {
  return static_cast<int64_t>(std::clamp(value, -kExact, kExact));
}

class ValueMaker {
 public:
  ValueMaker(JsonValue root, const ToolOptions& options, Random* random)
      : root_(root), options_(options), random_(*random) {}

  std::string Arguments() {
    Parts parts;
    Collect(root_, 0, &parts);
    Object(parts, 0);
    return std::move(out_);
  }

 private:
  bool Spent() const { return steps_ > kMaxSteps || out_.size() > kMaxArgumentBytes; }

  JsonValue Pick(JsonValue list) {
    auto place = list.begin();
    for (uint64_t skip = random_.Below(list.count()); skip > 0; --skip) ++place;
    return *place;
  }
  static bool HasItems(JsonValue value) { return value && value.IsList() && value.count() > 0; }

  void Collect(JsonValue schema, uint32_t depth, Parts* parts) {
    ++steps_;
    if (!schema || !schema.IsObject() || depth > kMaxDepth || Spent()) return;
    parts->push_back(schema);
    const JsonValue reference = schema.Find("$ref");
    if (reference && reference.IsText()) {
      Collect(ResolveReference(root_, reference.text()), depth + 1, parts);
    }
    if (const JsonValue all = schema.Find("allOf"); HasItems(all)) {
      for (const JsonValue each : all) Collect(each, depth + 1, parts);
    }
    for (const std::string_view name : {"oneOf", "anyOf"}) {
      const JsonValue some = schema.Find(name);
      if (HasItems(some)) Collect(Pick(some), depth + 1, parts);
    }
  }

  void Value(JsonValue schema, uint32_t depth) {
    if (Spent() || depth > kMaxDepth) {
      out_.append("null");
      return;
    }
    Parts parts;
    Collect(schema, depth, &parts);
    for (const JsonValue part : parts) {
      if (const JsonValue fixed = part.Member("const")) {  // null, too
        AppendValue(fixed, &out_);
        return;
      }
    }
    if (const JsonValue some = Keyword(parts, "enum"); HasItems(some)) {
      AppendValue(Pick(some), &out_);
      return;
    }
    OfType(Type(parts), parts, depth);
  }

  std::string_view Type(const Parts& parts) {
    JsonValue type = Keyword(parts, "type");
    if (HasItems(type)) type = Pick(type);
    if (type && type.IsText()) return type.text();
    if (Keyword(parts, "properties")) return "object";
    return Keyword(parts, "items") ? "array" : "string";
  }

  void OfType(std::string_view type, const Parts& parts, uint32_t depth) {
    if (type == "object") {
      Object(parts, depth);
    } else if (type == "array") {
      Array(parts, depth);
    } else if (type == "integer") {
      Integer(parts);
    } else if (type == "number") {
      Number(parts);
    } else if (type == "boolean") {
      out_.append(random_.Chance(1, 2) ? "true" : "false");
    } else if (type == "null") {
      out_.append("null");
    } else {
      Text(parts);
    }
  }

  static std::set<std::string_view> Required(const Parts& parts) {
    std::set<std::string_view> required;
    for (const JsonValue part : parts) {
      const JsonValue names = part.Find("required");
      if (!HasItems(names)) continue;
      for (const JsonValue name : names) {
        if (name.IsText()) required.insert(name.text());
      }
    }
    return required;
  }

  // Whether what is not required is there.
  bool Luck(uint32_t depth) {
    const uint32_t percent =
        depth == 0 ? options_.not_required_param_percent : options_.not_required_field_percent;
    return depth <= kMaxOptionalDepth && !Spent() && random_.Chance(percent, 100);
  }

  void Object(const Parts& parts, uint32_t depth) {
    const std::set<std::string_view> required = Required(parts);
    std::set<std::string_view> written;
    out_.push_back('{');
    for (const JsonValue part : parts) {
      const JsonValue properties = part.Find("properties");
      if (!properties || !properties.IsObject()) continue;
      for (auto place = properties.begin(); place != properties.end(); ++place) {
        const std::string_view name = (*place).text();
        ++place;
        const bool wanted = required.contains(name) || Luck(depth);
        if (wanted && written.insert(name).second) Field(name, *place, depth);
      }
    }
    for (const std::string_view name : required) {  // those that no property describes
      if (written.insert(name).second) Field(name, {}, depth);
    }
    out_.push_back('}');
  }
  void Field(std::string_view name, JsonValue schema, uint32_t depth) {
    if (out_.back() != '{') out_.append(", ");
    AppendJsonString(name, &out_);
    out_.append(": ");
    Value(schema, depth + 1);
  }

  // How many, between two keywords; the options' range where they say nothing.
  int64_t Length(const Parts& parts, std::string_view least, std::string_view most,
                 Range<int64_t> range) {
    if (const auto low = Bound(parts, least)) range.AtLeast(Whole(*low));
    if (const auto high = Bound(parts, most)) range.AtMost(std::max<int64_t>(0, Whole(*high)));
    return Between(range);
  }
  int64_t Between(const Range<int64_t>& range) {
    const auto low = static_cast<uint64_t>(range.low);
    return static_cast<int64_t>(low + random_.Between(0, static_cast<uint64_t>(range.high) - low));
  }

  void Array(const Parts& parts, uint32_t depth) {
    const int64_t length =
        std::min(kMaxItems, Length(parts, "minItems", "maxItems",
                                   {options_.min_array_length, options_.max_array_length}));
    const JsonValue items = Keyword(parts, "items");
    const bool older = HasItems(items);  // a draft in which "items" may be a list
    const JsonValue first = older ? items : Keyword(parts, "prefixItems");
    int64_t written = 0;
    const auto add = [&](JsonValue schema) {
      if (written++ > 0) out_.append(", ");
      Value(schema, depth + 1);
    };
    out_.push_back('[');
    if (HasItems(first)) {
      for (const JsonValue schema : first) {
        if (written < length) add(schema);
      }
    }
    while (written < length && !Spent()) add(older ? JsonValue() : items);
    out_.push_back(']');
  }

  void Integer(const Parts& parts) {
    Range<int64_t> range{options_.min_integer, options_.max_integer};
    if (const auto low = Bound(parts, "minimum")) range.AtLeast(Whole(std::ceil(*low)));
    if (const auto low = Bound(parts, "exclusiveMinimum")) {
      range.AtLeast(Whole(std::floor(*low)) + 1);
    }
    if (const auto high = Bound(parts, "maximum")) range.AtMost(Whole(std::floor(*high)));
    if (const auto high = Bound(parts, "exclusiveMaximum")) {
      range.AtMost(Whole(std::ceil(*high)) - 1);
    }
    AppendNumber(Between(range), &out_);
  }
  void Number(const Parts& parts) {
    constexpr double kFar = std::numeric_limits<double>::max();
    Range<double> range{options_.min_number, options_.max_number};
    if (const auto low = Bound(parts, "minimum")) range.AtLeast(*low);
    if (const auto low = Bound(parts, "exclusiveMinimum")) {
      range.AtLeast(std::nextafter(*low, kFar));
    }
    if (const auto high = Bound(parts, "maximum")) range.AtMost(*high);
    if (const auto high = Bound(parts, "exclusiveMaximum")) {
      range.AtMost(std::nextafter(*high, -kFar));
    }
    const double share = random_.Share();
    const double value = range.low * (1 - share) + range.high * share;
    fmt::format_to(std::back_inserter(out_), "{}", std::clamp(value, range.low, range.high));
  }

  void Text(const Parts& parts) {
    const JsonValue format = Keyword(parts, "format");
    if (format && format.IsText()) {
      for (const Format& known : kFormats) {
        if (known.name != format.text()) continue;
        AppendJsonString(known.example, &out_);
        return;
      }
    }
    constexpr Range<int64_t> kUsual{4, 24};
    const auto length = static_cast<size_t>(
        std::min(kMaxTextBytes, Length(parts, "minLength", "maxLength", kUsual)));
    std::string text;
    while (text.size() < length) {
      if (!text.empty()) text.push_back(' ');
      text.append(kWords[random_.Below(kWords.size())]);
    }
    text.resize(length);
    if (!text.empty() && text.back() == ' ') text.back() = 's';
    AppendJsonString(text, &out_);
  }

  const JsonValue root_;
  const ToolOptions& options_;
  Random& random_;
  std::string out_;
  uint32_t steps_ = 0;
};

}  // namespace

std::string MakeArguments(std::string_view schema, const ToolOptions& options, Random* random) {
  JsonDocument document;
  const auto root = document.Parse(schema);
  if (!root || !root->IsObject()) return "{}";
  return ValueMaker(*root, options, random).Arguments();
}

}  // namespace headrace::sim
