#include "base/option_sources.h"

#include <algorithm>
#include <boost/program_options.hpp>

namespace headrace::option_sources {
namespace {

namespace po = boost::program_options;

Status Refuse(std::string text, std::string* message) {
  *message = std::move(text);
  return Fail(Errc::kInvalid, "wrong option");
}

std::string Unknown(const std::string& token, const std::vector<FlagSpec>& specs) {
  std::vector<std::string> names;
  names.reserve(specs.size());
  for (const FlagSpec& spec : specs) names.push_back(spec.name);
  std::string name = token.substr(0, token.find('='));
  std::string_view plain = std::string_view(name).substr(std::min<size_t>(name.size(), 2));
  std::string near = Nearest(plain, names);
  if (near.empty()) return name + ": unknown option; --help lists all";
  return name + ": unknown option; did you mean --" + near + "?";
}

// Editing steps between two words; a swap of neighbours is one.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t other = a[i - 1] == b[j - 1] ? 0 : 1;
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + other});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

// The flag of this name, or null.
const FlagSpec* SpecOf(std::string_view name, const std::vector<FlagSpec>& specs) {
  auto same = [&](const FlagSpec& spec) { return spec.name == name; };
  auto spec = std::find_if(specs.begin(), specs.end(), same);
  return spec == specs.end() ? nullptr : &*spec;
}

// "-v" gets its second dash, and "--name=" is taken apart where nothing is a value: Boost knows
// neither.
std::vector<std::string> Spelled(const std::vector<std::string>& arguments,
                                 const std::vector<FlagSpec>& specs) {
  std::vector<std::string> spelled;
  for (const std::string& argument : arguments) {
    std::string name = argument.substr(0, argument.find('='));
    bool is_letter = name.size() == 2 && name[0] == '-' && SpecOf(name.substr(1), specs) != nullptr;
    bool is_empty = argument == name + "=" && name.starts_with("--");
    const FlagSpec* spec = is_empty ? SpecOf(name.substr(2), specs) : nullptr;
    OptionForm form = spec == nullptr ? OptionForm::kValue : spec->form;
    if (form == OptionForm::kText || form == OptionForm::kWords) {
      spelled.push_back(name);
      if (form == OptionForm::kText) spelled.emplace_back();
    } else {
      spelled.push_back(is_letter ? "-" + argument : argument);
    }
  }
  return spelled;
}

void Describe(const FlagSpec& spec, po::options_description* description) {
  if (spec.form == OptionForm::kWords) {
    auto* words = po::value<std::vector<std::string>>()->multitoken()->zero_tokens();
    description->add_options()(spec.name.c_str(), words);
    return;
  }
  auto* value = po::value<std::string>();
  if (spec.form == OptionForm::kSwitch) value->implicit_value("on");
  description->add_options()(spec.name.c_str(), value);
}

Status Stray(const std::string& token, std::string* message) {
  return Refuse(
      "\"" + token + "\": not expected; write options as --name value and switches as --name=off",
      message);
}

Status TakeFlag(const po::option& option, const std::vector<FlagSpec>& specs,
                std::vector<RawValue>* values, std::string* message) {
  const std::vector<std::string>& tokens = option.original_tokens;
  const std::string token = tokens.empty() ? "" : tokens[0];
  if (option.position_key != -1) return Stray(token, message);
  if (option.unregistered) return Refuse(Unknown(token, specs), message);
  const std::string where = "--" + option.string_key;
  const FlagSpec* spec = SpecOf(option.string_key, specs);
  HR_CHECK(spec != nullptr);
  if (spec->form == OptionForm::kWords) {
    // "--name=a b" says that there is one.
    if (option.value.size() > 1 && token != where) return Stray(option.value[1], message);
    for (const std::string& word : option.value) values->push_back({spec->name, word, where});
    if (option.value.empty()) values->push_back({spec->name, "", where, true});
    return {};
  }
  std::string value = option.value.empty() ? "on" : option.value.back();
  // "--socket --canary" forgot a value; one that begins so is written --socket=--canary.
  if (tokens.size() > 1 && value.starts_with("--")) {
    return Refuse(where + ": needs a value", message);
  }
  values->push_back({spec->name, value, where});
  return {};
}

}  // namespace

std::string Nearest(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest = 64;
  if (name.empty() || name.size() > kLongest) return "";
  std::string plain(name);
  std::replace(plain.begin(), plain.end(), '_', '-');
  std::string best;
  size_t best_distance = plain.size() < 5 ? 1 : 2;
  for (const std::string& candidate : candidates) {
    size_t distance = Distance(plain, candidate);
    if (distance < best_distance || (distance == best_distance && best.empty())) {
      best = candidate;
      best_distance = distance;
    }
  }
  if (!best.empty() || plain.size() < 3) return best;
  auto longer = std::find_if(candidates.begin(), candidates.end(),
                             [&](const std::string& c) { return c.starts_with(plain); });
  return longer == candidates.end() ? "" : *longer;
}

Status ReadFlags(const std::vector<std::string>& arguments, const std::vector<FlagSpec>& specs,
                 std::vector<RawValue>* values, std::string* message) {
  try {
    po::options_description description;
    for (const FlagSpec& spec : specs) Describe(spec, &description);
    using Style = po::command_line_style::style_t;
    po::parsed_options parsed =
        po::command_line_parser(Spelled(arguments, specs))
            .options(description)
            .style(Style::allow_long | Style::long_allow_adjacent | Style::long_allow_next)
            .allow_unregistered()
            .run();
    for (const po::option& option : parsed.options) {
      HR_RETURN_IF_ERROR(TakeFlag(option, specs, values, message));
    }
    return {};
  } catch (const po::invalid_command_line_syntax& error) {
    return Refuse(error.get_option_name() + ": needs a value", message);
  } catch (const std::exception& error) {
    return Refuse(error.what(), message);
  }
}

}  // namespace headrace::option_sources
