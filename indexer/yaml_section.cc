#include "indexer/yaml_section.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/bytes.h"
#include "base/result.h"

namespace headrace::indexer {

YamlSection::YamlSection(const YAML::Node& node, std::string path, std::string* message)
    : node_(node), path_(std::move(path)), message_(message) {
  HR_CHECK(message_ != nullptr);
  if (failed() || node_.IsMap() || node_.IsNull()) return;
  const std::string where = path_.empty() ? "the file" : path_.substr(0, path_.size() - 1);
  *message_ = where + ": must be \"key: value\" lines";
}

void YamlSection::Refuse(const std::string& key, const std::string& text) {
  HR_CHECK(!text.empty());
  if (!failed()) *message_ = path_ + key + ": " + text;
}

// Undefined or null: not there.
YAML::Node YamlSection::Take(const std::string& key) {
  asked_.push_back(key);
  if (failed() || !node_.IsMap()) return YAML::Node(YAML::NodeType::Null);
  const YAML::Node value = node_[key];
  return value.IsDefined() ? value : YAML::Node(YAML::NodeType::Null);
}

bool YamlSection::Scalar(const std::string& key, std::string* text, const char* wanted) {
  const YAML::Node value = Take(key);
  if (value.IsNull()) return false;
  if (!value.IsScalar()) {
    Refuse(key, std::string("must be ") + wanted);
    return false;
  }
  *text = value.Scalar();
  return true;
}

bool YamlSection::Text(const std::string& key, std::string* value) {
  return Scalar(key, value, "a text");
}

bool YamlSection::Flag(const std::string& key, bool* value) {
  constexpr const char* kWanted = "true or false";
  std::string text;
  if (!Scalar(key, &text, kWanted)) return false;
  if (text == "true" || text == "false") {
    *value = text == "true";
    return true;
  }
  Refuse(key, fmt::format("\"{}\" is not {}", text, kWanted));
  return false;
}

bool YamlSection::Number(const std::string& key, uint64_t* value, uint64_t low, uint64_t high) {
  HR_CHECK(low <= high);
  std::string text;
  if (!Scalar(key, &text, "a whole number")) return false;
  const auto number = ParseNumber(text);
  if (number && *number >= low && *number <= high) {
    *value = *number;
    return true;
  }
  Refuse(key, fmt::format("\"{}\" is not a whole number from {} to {}", text, low, high));
  return false;
}

bool YamlSection::Number(const std::string& key, uint32_t* value, uint32_t low, uint32_t high) {
  uint64_t wide = 0;
  if (!Number(key, &wide, uint64_t{low}, uint64_t{high})) return false;
  *value = static_cast<uint32_t>(wide);
  return true;
}

bool YamlSection::Weight(const std::string& key, double* value) {
  std::string text;
  if (!Scalar(key, &text, "a number")) return false;
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, failure] = std::from_chars(text.data(), end, number);
  if (failure == std::errc() && stop == end && std::isfinite(number) && number >= 0) {
    *value = number;
    return true;
  }
  Refuse(key, fmt::format("\"{}\" is not a number of 0 or more", text));
  return false;
}

bool YamlSection::Size(const std::string& key, uint64_t* value) {
  std::string text;
  if (!Scalar(key, &text, "a size")) return false;
  const auto size = ParseSize(text);
  if (size) {
    *value = *size;
    return true;
  }
  Refuse(key, fmt::format("\"{}\" is not a size; write for example 2GiB", text));
  return false;
}

bool YamlSection::Time(const std::string& key, Duration* value) {
  std::string text;
  if (!Scalar(key, &text, "a duration")) return false;
  constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
  const auto nanos = ParseNumber(text);
  const auto duration = ParseDuration(text);
  if (!duration && !(nanos && *nanos <= kMost)) {
    Refuse(key,
           fmt::format("\"{}\" is not a duration; write for example 5s, or nanoseconds", text));
    return false;
  }
  *value = duration ? *duration : Duration(static_cast<int64_t>(*nanos));
  return true;
}

bool YamlSection::Texts(const std::string& key, std::vector<std::string>* values) {
  const YAML::Node list = Take(key);
  if (list.IsNull()) return false;
  bool good = list.IsSequence();
  for (size_t i = 0; good && i < list.size(); ++i) {
    good = list[i].IsScalar();
    if (good) values->push_back(list[i].Scalar());
  }
  if (!good) Refuse(key, "must be a list of texts");
  return good;
}

bool YamlSection::TextMap(const std::string& key,
                          std::vector<std::pair<std::string, std::string>>* values) {
  const YAML::Node map = Take(key);
  if (map.IsNull()) return false;
  bool good = map.IsMap();
  if (good) {
    for (const auto& entry : map) {
      good = good && entry.first.IsScalar() && entry.second.IsScalar();
      if (good) values->emplace_back(entry.first.Scalar(), entry.second.Scalar());
    }
  }
  if (!good) Refuse(key, "must be \"name: text\" lines");
  return good;
}

bool YamlSection::Section(const std::string& key, const std::function<void(YamlSection*)>& read) {
  const YAML::Node node = Take(key);
  if (node.IsNull()) return false;
  YamlSection section(node, path_ + key + ".", message_);
  read(&section);
  section.Finish();
  return !failed();
}

bool YamlSection::Sections(const std::string& key, const std::function<void(YamlSection*)>& read) {
  const YAML::Node list = Take(key);
  if (list.IsNull()) return false;
  if (!list.IsSequence()) {
    Refuse(key, "must be a list");
    return false;
  }
  for (size_t i = 0; i < list.size() && !failed(); ++i) {
    YamlSection section(list[i], fmt::format("{}{}[{}].", path_, key, i), message_);
    read(&section);
    section.Finish();
  }
  return !failed();
}

bool YamlSection::Ignore(const std::string& key) {
  return !Take(key).IsNull();
}

void YamlSection::Finish() {
  if (failed() || !node_.IsMap()) return;
  std::set<std::string> seen;
  for (const auto& entry : node_) {
    if (!entry.first.IsScalar()) return Refuse("", "a key must be a text");
    const std::string& key = entry.first.Scalar();
    if (!seen.insert(key).second) return Refuse(key, "stands twice; keep one");
    if (std::find(asked_.begin(), asked_.end(), key) != asked_.end()) continue;
    std::string names;
    for (const std::string& name : asked_) names += (names.empty() ? "" : ", ") + name;
    return Refuse(key, "is no key here; the keys are " + names);
  }
}

}  // namespace headrace::indexer
