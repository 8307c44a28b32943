// One table of options for a program: flag > environment > YAML file > default.
// Names are long flags ("pool-size"); the environment name is HEADRACE_POOL_SIZE, the YAML key is
// pool-size. Parsing gives one clear line on error that names the option and what would be right.
// A list is written a,b,c or by repeating its flag; words stand one after the other behind their
// flag, up to the next one; both also as a sequence in YAML. Any other flag that is repeated counts
// with its last value, so that a wrapper can append. Main thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"  // sizes and durations, for those who read options
#include "base/result.h"
#include "base/time.h"

namespace headrace {

class OptionTable {
 public:
  // `program` and `about` stand at the head of --help.
  OptionTable(std::string program, std::string about);
  ~OptionTable();
  OptionTable(const OptionTable&) = delete;
  OptionTable& operator=(const OptionTable&) = delete;

  // Starts a group of --help ("Memory", "Limits").
  void Group(const std::string& title);

  // Each binds a variable that holds the default. `meta` is the value's name in --help ("SIZE").
  void Text(const char* name, std::string* value, const char* meta, const char* help);
  void Size(const char* name, uint64_t* value, const char* help);
  void Number(const char* name, uint64_t* value, uint64_t low, uint64_t high, const char* help);
  void Number(const char* name, uint32_t* value, uint32_t low, uint32_t high, const char* help);
  void Integer(const char* name, int64_t* value, int64_t low, int64_t high, const char* help);
  void Share(const char* name, double* value, const char* help);  // 0 to 1
  void Decimal(const char* name, double* value, double low, double high, const char* help);
  void Time(const char* name, Duration* value, const char* help);
  void GoTime(const char* name, Duration* value, const char* help);  // "1m30s", as Go writes it
  void Flag(const char* name, bool* value, const char* help);        // --name, --name=off
  void Choice(const char* name, std::string* value, std::vector<std::string> allowed,
              const char* help);
  void List(const char* name, std::vector<std::string>* value, const char* meta, const char* help);
  // A list whose elements may hold commas: --name a b, --name=a --name=b, and --name alone for
  // none. A mapping in a YAML sequence is an element, as JSON.
  void Words(const char* name, std::vector<std::string>* value, const char* meta, const char* help);
  // A text that is JSON; in YAML also a mapping. Not parsed here.
  void Json(const char* name, std::string* value, const char* help);
  // `name` is another spelling of `of`; shown with it in --help.
  void Alias(const char* name, const char* of);
  // Another environment name for an option ("HEADRACE_ENGINE_ENDPOINT" for "socket").
  void Environment(const char* variable, const char* of);
  // The variable only looks like a default: not to be given is something of its own.
  void HideDefault(const char* of);
  // The switch `of` is turned off by --no-<of>, too.
  void Twin(const char* of);
  // A key of the YAML file whose mapping holds options as the file itself does.
  void Section(const char* key);

  // Where variables are looked up: null when not set. std::getenv without this.
  using Lookup = std::function<const char*(const char* variable)>;
  void LookUpIn(Lookup environment);
  // No HEADRACE_ variables: only those of Environment count. REQUIRES: before any option.
  void OnlyNamedVariables();

  enum class Outcome : uint8_t { kRun, kExit };  // kExit: --help or --version was printed
  // --config FILE, --help and --version are built in. On failure `*message` is the line for the
  // user ("--pool-size: \"abc\" is not a size; write for example 30gb"), and bound variables may
  // hold anything. An environment variable that is set to nothing counts as not set.
  Result<Outcome> Parse(int argc, const char* const* argv, std::string* message);

  // The effective value of every option and where it came from, for the log and /health.
  struct Effective {
    std::string name, value, source;
  };
  std::vector<Effective> effective() const;
  bool given(const char* name) const;  // not the default
  // Where the value was written, as messages begin: "--lease", "/etc/x.yaml:3: lease"; of a default
  // "--lease".
  std::string place(const char* name) const;

 private:
  struct Table;
  std::unique_ptr<Table> table_;
};

}  // namespace headrace
