#include "base/options.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include "base/option_sources.h"
#include "base/option_table.h"
#include "base/version.h"

namespace headrace {

using option_sources::FlagSpec;
using option_sources::OptionForm;
using option_sources::RawValue;

namespace {

constexpr size_t kHelpColumn = 32;
constexpr size_t kHelpWidth = 100;

std::string Joined(const std::vector<std::string>& words, const char* separator) {
  std::string joined;
  for (const std::string& word : words) {
    if (!joined.empty()) joined += separator;
    joined += word;
  }
  return joined;
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
  if (!option.twin.empty()) text += "; also --" + option.twin;
  if (option.has_named_variable) text += "; also " + option.variables.back();
  AddWrapped(text, &column, &out);
  return out + "\n";
}

// What is no switch stays as it is and is refused as such.
std::string Negated(const std::string& text) {
  constexpr std::array<std::pair<const char*, const char*>, 4> kWords = {
      {{"on", "off"}, {"true", "false"}, {"yes", "no"}, {"1", "0"}}};
  for (const auto& [yes, no] : kWords) {
    if (text == yes) return no;
    if (text == no) return yes;
  }
  return text;
}

}  // namespace

Option* OptionTable::Table::Find(const std::string& name) {
  auto it = names.find(name);
  return it == names.end() ? nullptr : &options[it->second];
}

std::string OptionTable::Table::VariableOf(const std::string& name) const {
  if (!own_variables) return "";
  std::string variable = "HEADRACE_" + name;
  for (char& c : variable) {
    if (c == '-') c = '_';
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return variable;
}

void OptionTable::Table::AddName(const std::string& name, size_t index) {
  bool added = names.emplace(name, index).second;
  HR_CHECK(added);  // two options of one name
}

Option* OptionTable::Table::Add(const char* name, const char* meta, const char* help_text,
                                Option::Setter set, Option::Speller spell) {
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
  option.place = "--" + option.name;
  if (own_variables) option.variables.push_back(VariableOf(option.name));
  return &option;
}

Status OptionTable::Table::Set(Option* option, const std::vector<RawValue>& values,
                               const std::string& source, std::string* message) {
  HR_CHECK(!values.empty());
  std::vector<std::string> texts;
  texts.reserve(values.size());
  for (const RawValue& value : values) {
    bool is_negated = !option->twin.empty() && value.name == option->twin;
    if (!value.is_absent) texts.push_back(is_negated ? Negated(value.value) : value.value);
  }
  std::string fault = option->set(texts);
  if (!fault.empty()) {
    *message = values.back().where + ": " + fault;
    return Fail(Errc::kInvalid, "wrong option value");
  }
  option->source = source;
  option->place = values.back().where;
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

Status OptionTable::Table::CheckFileValue(const RawValue& value, std::string* message) {
  const Option* option = Find(value.name);
  if (option == nullptr || !option->in_file) {
    std::vector<std::string> known;
    for (const auto& [name, index] : names) {
      if (options[index].in_file) known.push_back(name);
    }
    std::string near = option_sources::Nearest(value.name, known);
    *message = value.where + ": unknown option" +
               (near.empty() ? "; --help lists all" : "; did you mean " + near + "?");
    return Fail(Errc::kInvalid, "unknown option in the file");
  }
  if (value.is_map && !option->takes_map) {
    *message = value.where + ": is not a value or a list of values";
    return Fail(Errc::kInvalid, "a mapping for a plain option");
  }
  return {};
}

Status OptionTable::Table::ReadFile(std::string* message) {
  std::vector<RawValue> values;
  HR_RETURN_IF_ERROR(option_sources::ReadYaml(config, sections, &values, message));
  std::map<std::string, std::string> first_spelling;
  for (const RawValue& value : values) {
    HR_RETURN_IF_ERROR(CheckFileValue(value, message));
    const Option* option = Find(value.name);
    const auto [first, is_first] = first_spelling.emplace(option->name, value.where);
    if (is_first || (option->is_list && first->second == value.where)) continue;
    *message = first->second == value.where
                   ? value.where + ": takes one value, not a list"
                   : value.where + ": is the same option as " + first->second + "; keep one";
    return Fail(Errc::kInvalid, "option twice in the file");
  }
  return SetAll(values, "file " + config, message);
}

Status OptionTable::Table::ReadEnvironment(std::string* message) {
  for (Option& option : options) {
    for (const std::string& variable : option.variables) {
      const char* text = environment(variable.c_str());
      if (text == nullptr || *text == '\0') continue;
      HR_RETURN_IF_ERROR(
          Set(&option, {{option.name, text, variable}}, "environment " + variable, message));
      break;
    }
  }
  return {};
}

std::vector<FlagSpec> OptionTable::Table::FlagSpecs() const {
  std::vector<FlagSpec> specs;
  specs.reserve(names.size());
  for (const auto& [name, index] : names) specs.push_back({name, options[index].form});
  return specs;
}

std::string OptionTable::Table::Help() const {
  std::string out = program + " " + Version() + ": " + about + "\n";
  for (const std::string& title : groups) {
    out += "\n" + title + ":\n";
    for (const Option& option : options) {
      if (option.group == title) out += HelpOf(option);
    }
  }
  if (!own_variables) {
    return out +
           "\nThe file of --config sets options too, and so does the environment where it says " +
           "so above; a\nflag wins over the environment, the environment over the file.\n";
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
  table_->environment = [](const char* variable) -> const char* { return std::getenv(variable); };
}

OptionTable::~OptionTable() = default;

void OptionTable::Group(const std::string& title) {
  table_->group = title;
}

void OptionTable::Alias(const char* name, const char* of) {
  Option* option = table_->Find(of);
  HR_CHECK(option != nullptr);
  table_->AddName(name, static_cast<size_t>(option - table_->options.data()));
  option->aliases.emplace_back(name);
  if (!table_->own_variables) return;
  // After the main names, before those that Environment added: help tells by position.
  auto at = option->variables.begin() + static_cast<std::ptrdiff_t>(option->aliases.size());
  option->variables.insert(at, table_->VariableOf(name));
}

void OptionTable::Environment(const char* variable, const char* of) {
  Option* option = table_->Find(of);
  HR_CHECK(option != nullptr);
  option->variables.emplace_back(variable);
  option->has_named_variable = true;
}

void OptionTable::HideDefault(const char* of) {
  Option* option = table_->Find(of);
  HR_CHECK(option != nullptr);
  option->default_text.clear();
}

void OptionTable::Twin(const char* of) {
  Option* option = table_->Find(of);
  HR_CHECK(option != nullptr && option->form == OptionForm::kSwitch);
  option->twin = "no-" + option->name;
  table_->AddName(option->twin, static_cast<size_t>(option - table_->options.data()));
}

void OptionTable::Section(const char* key) {
  table_->sections.emplace_back(key);
}

void OptionTable::LookUpIn(Lookup environment) {
  table_->environment = std::move(environment);
}

void OptionTable::OnlyNamedVariables() {
  HR_CHECK(table_->options.empty());
  table_->own_variables = false;
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

  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  std::vector<RawValue> flags;
  HR_RETURN_IF_ERROR(option_sources::ReadFlags(arguments, table.FlagSpecs(), &flags, message));
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

std::string OptionTable::place(const char* name) const {
  const Option* option = table_->Find(name);
  HR_CHECK(option != nullptr);
  return option->place;
}

bool OptionTable::given(const char* name) const {
  const Option* option = table_->Find(name);
  HR_CHECK(option != nullptr);
  return option->source != "default";
}

}  // namespace headrace
