// Where option values come from, as plain text: the command line (Boost.Program_options, only in
// option_sources.cc) and a YAML file (yaml-cpp, only in option_file.cc); neither's exceptions leave
// them. Part of options.cc, which gives the text its meaning. Main thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::option_sources {

// How the texts of an option follow its flag.
enum class OptionForm : uint8_t {
  kValue,   // one text; --name= forgot it
  kText,    // one text, which may be empty
  kSwitch,  // none or one: --name alone is --name=on
  kWords,   // all up to the next flag, or the one of --name=text
};

struct FlagSpec {
  std::string name;  // of one letter: -v will do
  OptionForm form = OptionForm::kValue;
};

// One value as somebody wrote it. A list has one of these for each element or comma group.
struct RawValue {
  std::string name;  // as written; the command line's are known, a file's may not be
  std::string value;
  std::string where;       // "--pool-size", "/etc/headrace.yaml:3: pool-size"
  bool is_absent = false;  // a flag of words without any
  bool is_map = false;     // of a file: a mapping, as JSON
};

// On failure `*message` is the line for the user, without a line break.
Status ReadFlags(const std::vector<std::string>& arguments, const std::vector<FlagSpec>& specs,
                 std::vector<RawValue>* values, std::string* message);
// The mapping under a key of `sections` is read as if its keys stood in the file itself.
Status ReadYaml(const std::string& path, const std::vector<std::string>& sections,
                std::vector<RawValue>* values, std::string* message);

// The candidate nearest to a misspelt name, or "".
std::string Nearest(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace headrace::option_sources
