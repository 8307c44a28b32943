// Binds the options of each kind: how its texts are read, what is said of a wrong one.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "base/option_table.h"
#include "base/options.h"

namespace headrace {

using option_sources::OptionForm;

namespace {

std::string Quoted(const std::string& text) {
  return "\"" + text + "\"";
}

std::string Joined(const std::vector<std::string>& words, const char* separator) {
  std::string joined;
  for (const std::string& word : words) {
    if (!joined.empty()) joined += separator;
    joined += word;
  }
  return joined;
}

Result<uint64_t> ParseWhole(const std::string& text, uint64_t /*kind*/) {
  return ParseNumber(text);
}

Result<int64_t> ParseWhole(const std::string& text, int64_t /*kind*/) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Fail(Errc::kInvalid, "not a number");
  }
  return number;
}

// `Wide` holds more than T does, so that what is out of range is told from what is no number.
template <typename Wide, typename T>
Option::Setter NumberSetter(T* value, T low, T high) {
  return [value, low, high](const std::vector<std::string>& texts) -> std::string {
    auto number = ParseWhole(texts.back(), Wide{});
    if (number && *number >= low && *number <= high) {
      *value = static_cast<T>(*number);
      return "";
    }
    std::string range = std::to_string(low) + " to " + std::to_string(high);
    if (number) return texts.back() + " is out of range; write a number from " + range;
    return Quoted(texts.back()) + " is not a whole number; write one from " + range;
  };
}

std::string SpellDecimal(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.15g", value);
  return text;
}

std::string SetDecimal(const std::string& text, double low, double high, double* value) {
  double number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  bool is_number = error == std::errc() && end == text.data() + text.size();
  if (is_number && number >= low && number <= high && std::isfinite(number)) {
    *value = number;
    return "";
  }
  std::string wanted = std::isinf(high) ? "of at least " + SpellDecimal(low)
                                        : "from " + SpellDecimal(low) + " to " + SpellDecimal(high);
  if (std::isinf(low)) wanted = "such as 0.5";
  return Quoted(text) + (is_number ? " is out of range" : " is not a number") +
         "; write a number " + wanted;
}

std::string SetShare(const std::string& text, double* value) {
  double share = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
  if (error != std::errc() || end != text.data() + text.size() || !(share >= 0 && share <= 1)) {
    return Quoted(text) + " is not a share; write a number from 0 to 1, for example 0.9";
  }
  *value = share;
  return "";
}

std::string SpellShare(double share) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.6g", share);
  return text;
}

std::string SetSwitch(const std::string& text, bool* value) {
  for (const char* yes : {"on", "true", "yes", "1"}) {
    if (text == yes) return *value = true, "";
  }
  for (const char* no : {"off", "false", "no", "0"}) {
    if (text == no) return *value = false, "";
  }
  return Quoted(text) + " is not a switch; write on or off";
}

std::string SetList(const std::vector<std::string>& texts, std::vector<std::string>* value) {
  std::vector<std::string> elements;
  for (const std::string& text : texts) {
    if (text.empty()) continue;  // "" is the empty list
    for (size_t at = 0; at <= text.size();) {
      size_t end = std::min(text.find(',', at), text.size());
      if (end == at) return Quoted(text) + " has an empty element; write for example a,b,c";
      elements.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  }
  *value = std::move(elements);
  return "";
}

}  // namespace

void OptionTable::Text(const char* name, std::string* value, const char* meta, const char* help) {
  HR_CHECK(*meta != '\0');
  auto set = [value](const std::vector<std::string>& texts) -> std::string {
    *value = texts.back();
    return "";
  };
  table_->Add(name, meta, help, set, [value] { return *value; })->form = OptionForm::kText;
}

void OptionTable::Json(const char* name, std::string* value, const char* help) {
  Text(name, value, "JSON", help);
  table_->Find(name)->takes_map = true;
}

void OptionTable::Size(const char* name, uint64_t* value, const char* help) {
  auto set = [value](const std::vector<std::string>& texts) -> std::string {
    auto size = ParseSize(texts.back());
    if (!size) return Quoted(texts.back()) + " is not a size; write for example 30gb";
    *value = *size;
    return "";
  };
  table_->Add(name, "SIZE", help, set, [value] { return SpellSize(*value); });
}

void OptionTable::Number(const char* name, uint64_t* value, uint64_t low, uint64_t high,
                         const char* help) {
  HR_CHECK(low <= *value && *value <= high);
  table_->Add(name, "N", help, NumberSetter<uint64_t>(value, low, high),
              [value] { return std::to_string(*value); });
}

void OptionTable::Number(const char* name, uint32_t* value, uint32_t low, uint32_t high,
                         const char* help) {
  HR_CHECK(low <= *value && *value <= high);
  table_->Add(name, "N", help, NumberSetter<uint64_t>(value, low, high),
              [value] { return std::to_string(*value); });
}

void OptionTable::Integer(const char* name, int64_t* value, int64_t low, int64_t high,
                          const char* help) {
  HR_CHECK(low <= *value && *value <= high);
  table_->Add(name, "N", help, NumberSetter<int64_t>(value, low, high),
              [value] { return std::to_string(*value); });
}

void OptionTable::Share(const char* name, double* value, const char* help) {
  HR_CHECK(*value >= 0 && *value <= 1);
  auto set = [value](const std::vector<std::string>& texts) {
    return SetShare(texts.back(), value);
  };
  table_->Add(name, "SHARE", help, set, [value] { return SpellShare(*value); });
}

void OptionTable::Decimal(const char* name, double* value, double low, double high,
                          const char* help) {
  HR_CHECK(low <= *value && *value <= high);
  auto set = [value, low, high](const std::vector<std::string>& texts) {
    return SetDecimal(texts.back(), low, high, value);
  };
  table_->Add(name, "NUMBER", help, set, [value] { return SpellDecimal(*value); });
}

void OptionTable::Time(const char* name, Duration* value, const char* help) {
  HR_CHECK(value->count() >= 0);
  auto set = [value](const std::vector<std::string>& texts) -> std::string {
    auto duration = ParseDuration(texts.back());
    if (!duration) return Quoted(texts.back()) + " is not a duration; write for example 5ms or 30s";
    *value = *duration;
    return "";
  };
  table_->Add(name, "TIME", help, set, [value] { return SpellDuration(*value); });
}

void OptionTable::GoTime(const char* name, Duration* value, const char* help) {
  HR_CHECK(value->count() >= 0);
  auto set = [value](const std::vector<std::string>& texts) -> std::string {
    auto duration = ParseGoDuration(texts.back());
    if (!duration) {
      return Quoted(texts.back()) + " is not a duration; write for example 1.5s, 200ms or 1m30s";
    }
    if (duration->count() < 0) return texts.back() + " is negative; write a duration from 0 on";
    *value = *duration;
    return "";
  };
  table_->Add(name, "TIME", help, set, [value] { return SpellDuration(*value); });
}

void OptionTable::Flag(const char* name, bool* value, const char* help) {
  auto set = [value](const std::vector<std::string>& texts) {
    return SetSwitch(texts.back(), value);
  };
  table_->Add(name, "", help, set, [value] { return std::string(*value ? "on" : "off"); })->form =
      OptionForm::kSwitch;
}

void OptionTable::Choice(const char* name, std::string* value, std::vector<std::string> allowed,
                         const char* help) {
  HR_CHECK(std::find(allowed.begin(), allowed.end(), *value) != allowed.end());
  std::string meta = Joined(allowed, "|");
  auto set = [value, allowed](const std::vector<std::string>& texts) -> std::string {
    if (std::find(allowed.begin(), allowed.end(), texts.back()) == allowed.end()) {
      return Quoted(texts.back()) + " is not a choice; write one of " + Joined(allowed, ", ");
    }
    *value = texts.back();
    return "";
  };
  table_->Add(name, meta.c_str(), help, set, [value] { return *value; });
}

void OptionTable::List(const char* name, std::vector<std::string>* value, const char* meta,
                       const char* help) {
  HR_CHECK(*meta != '\0');
  auto set = [value](const std::vector<std::string>& texts) { return SetList(texts, value); };
  Option* option = table_->Add(name, meta, help, set, [value] { return Joined(*value, ","); });
  option->is_list = true;
}

void OptionTable::Words(const char* name, std::vector<std::string>* value, const char* meta,
                        const char* help) {
  HR_CHECK(*meta != '\0');
  auto set = [value](const std::vector<std::string>& texts) -> std::string {
    *value = texts;
    return "";
  };
  Option* option = table_->Add(name, meta, help, set, [value] { return Joined(*value, " "); });
  option->form = OptionForm::kWords;
  option->is_list = true;
  option->takes_map = true;
}

}  // namespace headrace
