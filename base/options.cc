#include "base/options.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <span>
#include <utility>

#include "base/option_sources.h"
#include "base/version.h"

namespace headrace {

using option_sources::FlagSpec;
using option_sources::RawValue;

namespace {

constexpr size_t kHelpColumn = 32;
constexpr size_t kHelpWidth = 100;

// Takes the texts given for an option; returns "" or what is wrong with them.
using Setter = std::function<std::string(const std::vector<std::string>& texts)>;
using Speller = std::function<std::string()>;

struct Option {
  std::string name;
  std::string group;
  std::string meta;  // empty for a switch
  std::string help;
  Setter set;
  Speller spell;
  std::string default_text;
  std::vector<std::string> aliases;
  std::vector<std::string> variables;  // in the environment; the first that is set counts
  std::string source = "default";
  bool in_file = true;  // may stand in the file of --config
  bool is_list = false;
};

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

std::string VariableOf(const std::string& name) {
  std::string variable = "HEADRACE_" + name;
  for (char& c : variable) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return variable;
}

template <typename T>
Setter NumberSetter(T* value, T low, T high) {
  return [value, low, high](const std::vector<std::string>& texts) -> std::string {
    auto number = ParseNumber(texts.back());
    if (number && *number >= low && *number <= high) {
      *value = static_cast<T>(*number);
      return "";
    }
    std::string range = std::to_string(low) + " to " + std::to_string(high);
    if (number) return texts.back() + " is out of range; write a number from " + range;
    return Quoted(texts.back()) + " is not a whole number; write one from " + range;
  };
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

// Adds `text` in words, broken so that no line passes kHelpWidth; `*column` is where we stand.
void AddWrapped(const std::string& text, size_t* column, std::string* out) {
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find(' ', at), text.size());
    if (*column + 1 + (end - at) > kHelpWidth) {
      *out += '\n' + std::string(kHelpColumn, ' ');
      *column = kHelpColumn;
    } else if (at != 0) {
      *out += ' ';
      ++*column;
    }
    out->append(text, at, end - at);
    *column += end - at;
    at = end + 1;
  }
}

std::string HelpOf(const Option& option) {
  bool action = option.meta.empty() && !option.in_file;  // --help, --version
  std::string value = option.meta.empty() ? "[=on|off]" : " " + option.meta;
  if (action) value.clear();
  std::string out = "  --" + option.name + value;
  size_t column = out.size();
  if (column + 2 > kHelpColumn) {
    out += '\n';
    column = 0;
  }
  out.append(kHelpColumn - column, ' ');
  column = kHelpColumn;
  std::string text = option.help;
  if (!option.default_text.empty() && !action) text += " (default " + option.default_text + ")";
  if (!option.aliases.empty()) text += "; also --" + Joined(option.aliases, ", --");
  if (option.variables.size() > 1 + option.aliases.size()) {
    text += "; also " + option.variables.back();
  }
  AddWrapped(text, &column, &out);
  return out + "\n";
}

}  // namespace

struct OptionTable::Table {
  std::string program, about;
  std::string group = "Options";
  std::vector<std::string> groups;
  std::vector<Option> options;
  std::map<std::string, size_t> names;  // with aliases
  std::string config;
  bool help = false, version = false;

  Option* Find(const std::string& name) {
    auto it = names.find(name);
    return it == names.end() ? nullptr : &options[it->second];
  }
  void AddName(const std::string& name, size_t index) {
    bool added = names.emplace(name, index).second;
    HR_CHECK(added);  // two options of one name
  }
  Option* Add(const char* name, const char* meta, const char* help_text, Setter set, Speller spell);
  // Sets the option from all its texts in one source.
  Status Set(Option* option, const std::vector<RawValue>& values, const std::string& source,
             std::string* message);
  Status SetAll(const std::vector<RawValue>& values, const std::string& source,
                std::string* message);
  Status ReadFile(std::string* message);
  Status ReadEnvironment(std::string* message);
  std::string Help() const;
};

Option* OptionTable::Table::Add(const char* name, const char* meta, const char* help_text,
                                Setter set, Speller spell) {
  AddName(name, options.size());
  if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  Option& option = options.emplace_back();
  option.name = name;
  option.group = group;
  option.meta = meta;
  option.help = help_text;
  option.default_text = spell();
  option.set = std::move(set);
  option.spell = std::move(spell);
  option.variables.push_back(VariableOf(option.name));
  return &option;
}

Status OptionTable::Table::Set(Option* option, const std::vector<RawValue>& values,
                               const std::string& source, std::string* message) {
  HR_CHECK(!values.empty());
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const RawValue& value : values) texts.push_back(value.value);
  std::string fault = option->set(texts);
  if (!fault.empty()) {
    *message = values.back().where + ": " + fault;
    return Fail(Errc::kInvalid, "wrong option value");
  }
  option->source = source;
  return {};
}

Status OptionTable::Table::SetAll(const std::vector<RawValue>& values, const std::string& source,
                                  std::string* message) {
  std::map<std::string, std::vector<RawValue>> by_name;  // under the main name
  for (const RawValue& value : values) {
    Option* option = Find(value.name);
    HR_CHECK(option != nullptr);
    by_name[option->name].push_back(value);
  }
  for (const auto& [name, given] : by_name) {
    HR_RETURN_IF_ERROR(Set(Find(name), given, source, message));
  }
  return {};
}

Status OptionTable::Table::ReadFile(std::string* message) {
  std::vector<RawValue> values;
  HR_RETURN_IF_ERROR(option_sources::ReadYaml(config, &values, message));
  std::vector<std::string> known;
  for (const auto& [name, index] : names) {
    if (options[index].in_file) known.push_back(name);
  }
  std::map<std::string, std::string> first_spelling;
  for (const RawValue& value : values) {
    Option* option = Find(value.name);
    if (option == nullptr || !option->in_file) {
      std::string near = option_sources::Nearest(value.name, known);
      *message = value.where + ": unknown option" +
                 (near.empty() ? "; --help lists all" : "; did you mean " + near + "?");
      return Fail(Errc::kInvalid, "unknown option in the file");
    }
    const std::string& first = first_spelling.emplace(option->name, value.where).first->second;
    if (!option->is_list && first != value.where) {
      *message = value.where + ": is the same option as " + first + "; keep one";
      return Fail(Errc::kInvalid, "option twice in the file");
    }
  }
  return SetAll(values, "file " + config, message);
}

Status OptionTable::Table::ReadEnvironment(std::string* message) {
  for (Option& option : options) {
    for (const std::string& variable : option.variables) {
      const char* text = std::getenv(variable.c_str());
      if (text == nullptr || *text == '\0') continue;
      HR_RETURN_IF_ERROR(
          Set(&option, {{option.name, text, variable}}, "environment " + variable, message));
      break;
    }
  }
  return {};
}

std::string OptionTable::Table::Help() const {
  std::string out = program + " " + Version() + ": " + about + "\n";
  for (const std::string& title : groups) {
    out += "\n" + title + ":\n";
    for (const Option& option : options) {
      if (option.group == title) out += HelpOf(option);
    }
  }
  return out +
         "\nThe environment HEADRACE_<OPTION> (HEADRACE_CONFIG for --config) and the file of " +
         "--config set\noptions too; a flag wins over the environment, the environment over the " +
         "file.\n";
}

OptionTable::OptionTable(std::string program, std::string about)
    : table_(std::make_unique<Table>()) {
  table_->program = std::move(program);
  table_->about = std::move(about);
}

OptionTable::~OptionTable() = default;

void OptionTable::Group(const std::string& title) {
  table_->group = title;
}

void OptionTable::Text(const char* name, std::string* value, const char* meta, const char* help) {
  HR_CHECK(*meta != '\0');
  auto set = [value](const std::vector<std::string>& texts) -> std::string {
    *value = texts.back();
    return "";
  };
  table_->Add(name, meta, help, set, [value] { return *value; });
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
  table_->Add(name, "N", help, NumberSetter(value, low, high),
              [value] { return std::to_string(*value); });
}

void OptionTable::Number(const char* name, uint32_t* value, uint32_t low, uint32_t high,
                         const char* help) {
  HR_CHECK(low <= *value && *value <= high);
  table_->Add(name, "N", help, NumberSetter(value, low, high),
              [value] { return std::to_string(*value); });
}

void OptionTable::Share(const char* name, double* value, const char* help) {
  HR_CHECK(*value >= 0 && *value <= 1);
  auto set = [value](const std::vector<std::string>& texts) {
    return SetShare(texts.back(), value);
  };
  table_->Add(name, "SHARE", help, set, [value] { return SpellShare(*value); });
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

void OptionTable::Flag(const char* name, bool* value, const char* help) {
  auto set = [value](const std::vector<std::string>& texts) {
    return SetSwitch(texts.back(), value);
  };
  table_->Add(name, "", help, set, [value] { return std::string(*value ? "on" : "off"); });
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

void OptionTable::Alias(const char* name, const char* of) {
  Option* option = table_->Find(of);
  HR_CHECK(option != nullptr);
  table_->AddName(name, static_cast<size_t>(option - table_->options.data()));
  option->aliases.emplace_back(name);
  // After the main names, before those that Environment added: help tells by position.
  auto at = option->variables.begin() + static_cast<std::ptrdiff_t>(option->aliases.size());
  option->variables.insert(at, VariableOf(name));
}

void OptionTable::Environment(const char* variable, const char* of) {
  Option* option = table_->Find(of);
  HR_CHECK(option != nullptr);
  option->variables.emplace_back(variable);
}

Result<OptionTable::Outcome> OptionTable::Parse(int argc, const char* const* argv,
                                                std::string* message) {
  Table& table = *table_;
  Group("General");
  Text("config", &table.config, "FILE", "read options from this YAML file (option: value)");
  Flag("help", &table.help, "print this text");
  Flag("version", &table.version, "print the version");
  for (const char* name : {"config", "help", "version"}) table.Find(name)->in_file = false;
  for (const char* name : {"help", "version"}) table.Find(name)->variables.clear();

  std::vector<FlagSpec> specs;
  specs.reserve(table.names.size());
  for (const auto& [name, index] : table.names) {
    specs.push_back({name, table.options[index].meta.empty()});
  }
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  std::vector<RawValue> flags;
  HR_RETURN_IF_ERROR(option_sources::ReadFlags(arguments, specs, &flags, message));
  for (const RawValue& flag : flags) {
    bool help = flag.name == "help";
    if (!help && flag.name != "version") continue;
    std::string text = help ? table.Help() : table.program + " " + Version() + "\n";
    std::fputs(text.c_str(), stdout);
    return Outcome::kExit;
  }

  // The strongest source is read last and so wins; the file's name must be known before that.
  HR_RETURN_IF_ERROR(table.ReadEnvironment(message));
  HR_RETURN_IF_ERROR(table.SetAll(flags, "flag", message));
  if (!table.config.empty()) {
    HR_RETURN_IF_ERROR(table.ReadFile(message));
    HR_RETURN_IF_ERROR(table.ReadEnvironment(message));
    HR_RETURN_IF_ERROR(table.SetAll(flags, "flag", message));
  }
  return Outcome::kRun;
}

std::vector<OptionTable::Effective> OptionTable::effective() const {
  std::vector<Effective> all;
  for (const Option& option : table_->options) {
    bool built_in = option.name == "help" || option.name == "version";
    if (!built_in) all.push_back({option.name, option.spell(), option.source});
  }
  return all;
}

bool OptionTable::given(const char* name) const {
  const Option* option = table_->Find(name);
  HR_CHECK(option != nullptr);
  return option->source != "default";
}

}  // namespace headrace
