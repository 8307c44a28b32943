// What OptionTable keeps of each option. Part of options.cc and option_kinds.cc; nobody else
// includes it. Main thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/option_sources.h"
#include "base/options.h"

namespace headrace {

struct Option {
  // Takes the texts given for an option; returns "" or what is wrong with them.
  using Setter = std::function<std::string(const std::vector<std::string>& texts)>;
  using Speller = std::function<std::string()>;

  std::string name;
  std::string group;
  std::string meta;  // empty for a switch
  std::string help;
  Setter set;
  Speller spell;
  std::string default_text;
  std::vector<std::string> aliases;
  std::vector<std::string> variables;  // in the environment; the first that is set counts
  std::string twin;                    // of a switch: the name that turns it off, or ""
  std::string source = "default";
  std::string place;  // where its value was written
  option_sources::OptionForm form = option_sources::OptionForm::kValue;
  bool has_named_variable = false;  // the last of `variables` was named for it
  bool in_file = true;              // may stand in the file of --config
  bool is_list = false;             // more than one value counts
  bool takes_map = false;           // a mapping in the file is its value, as JSON
};

struct OptionTable::Table {
  std::string program, about;
  std::string group = "Options";
  std::vector<std::string> groups;
  std::vector<Option> options;
  std::map<std::string, size_t> names;  // with aliases and twins
  std::vector<std::string> sections;    // of the file
  Lookup environment;
  bool own_variables = true;
  std::string config;
  bool help = false, version = false;

  Option* Find(const std::string& name);
  // The variable that stands for an option of this name, or "".
  std::string VariableOf(const std::string& name) const;
  void AddName(const std::string& name, size_t index);
  Option* Add(const char* name, const char* meta, const char* help_text, Option::Setter set,
              Option::Speller spell);
  // Sets the option from all its texts in one source.
  Status Set(Option* option, const std::vector<option_sources::RawValue>& values,
             const std::string& source, std::string* message);
  Status SetAll(const std::vector<option_sources::RawValue>& values, const std::string& source,
                std::string* message);
  Status CheckFileValue(const option_sources::RawValue& value, std::string* message);
  Status ReadFile(std::string* message);
  Status ReadEnvironment(std::string* message);
  std::vector<option_sources::FlagSpec> FlagSpecs() const;
  std::string Help() const;
};

}  // namespace headrace
