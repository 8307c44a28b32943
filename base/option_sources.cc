#include "base/option_sources.h"

#include <fcntl.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <boost/program_options.hpp>
#include <cerrno>
#include <cstring>
#include <set>

#include "base/fd.h"

namespace headrace::option_sources {
namespace {

namespace po = boost::program_options;

constexpr size_t kMaxFileBytes = 1 << 20;

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

// The whole file, or an errno; EFBIG past kMaxFileBytes.
int ReadWhole(const std::string& path, std::string* text) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return errno;
  std::array<char, 4096> part;
  for (;;) {
    ssize_t got = ::read(fd.get(), part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) return 0;
    text->append(part.data(), static_cast<size_t>(got));
    if (text->size() > kMaxFileBytes) return EFBIG;
  }
}

std::string Place(const std::string& path, const YAML::Mark& mark) {
  return path + ":" + std::to_string(mark.line + 1);
}

Status ReadEntry(const std::string& path, const YAML::Node& key, const YAML::Node& value,
                 std::vector<RawValue>* values, std::string* message) {
  std::string place = Place(path, key.Mark());
  if (!key.IsScalar()) return Refuse(place + ": a key is not the name of an option", message);
  std::string where = place + ": " + key.Scalar();
  if (value.IsScalar()) {
    values->push_back({key.Scalar(), value.Scalar(), where});
    return {};
  }
  if (value.IsNull()) return Refuse(where + ": has no value", message);
  if (!value.IsSequence()) return Refuse(where + ": is not a value or a list of values", message);
  for (const YAML::Node& element : value) {
    if (!element.IsScalar()) return Refuse(where + ": is not a list of plain values", message);
    values->push_back({key.Scalar(), element.Scalar(), where});
  }
  return {};
}

Status ReadRoot(const std::string& path, const YAML::Node& root, std::vector<RawValue>* values,
                std::string* message) {
  if (root.IsNull()) return {};  // an empty file sets nothing
  if (!root.IsMap()) {
    return Refuse(Place(path, root.Mark()) + ": is not a list of \"option: value\" lines", message);
  }
  std::set<std::string> seen;
  for (const auto& entry : root) {
    HR_RETURN_IF_ERROR(ReadEntry(path, entry.first, entry.second, values, message));
    if (!seen.insert(entry.first.Scalar()).second) {
      return Refuse(Place(path, entry.first.Mark()) + ": " + entry.first.Scalar() +
                        ": stands twice in this file; keep one",
                    message);
    }
  }
  return {};
}

}  // namespace

std::string Nearest(std::string_view name, const std::vector<std::string>& candidates) {
  constexpr size_t longest = 64;
  if (name.empty() || name.size() > longest) return "";
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
    for (const FlagSpec& spec : specs) {
      auto* value = po::value<std::string>();
      if (spec.value_optional) value->implicit_value("on");
      description.add_options()(spec.name.c_str(), value);
    }
    using Style = po::command_line_style::style_t;
    po::parsed_options parsed =
        po::command_line_parser(arguments)
            .options(description)
            .style(Style::allow_long | Style::long_allow_adjacent | Style::long_allow_next)
            .allow_unregistered()
            .run();
    for (const po::option& option : parsed.options) {
      const std::string& token = option.original_tokens.empty() ? "" : option.original_tokens[0];
      if (option.position_key != -1) {
        return Refuse("\"" + token + "\": not expected; write options as --name value and " +
                          "switches as --name=off",
                      message);
      }
      if (option.unregistered) return Refuse(Unknown(token, specs), message);
      std::string value = option.value.empty() ? "on" : option.value.back();
      // "--socket --canary" forgot a value; one that begins so is written --socket=--canary.
      if (option.original_tokens.size() > 1 && value.starts_with("--")) {
        return Refuse("--" + option.string_key + ": needs a value", message);
      }
      values->push_back({option.string_key, value, "--" + option.string_key});
    }
    return {};
  } catch (const po::invalid_command_line_syntax& error) {
    return Refuse(error.get_option_name() + ": needs a value", message);
  } catch (const std::exception& error) {
    return Refuse(error.what(), message);
  }
}

Status ReadYaml(const std::string& path, std::vector<RawValue>* values, std::string* message) {
  std::string text;
  if (int os = ReadWhole(path, &text); os != 0) {
    return Refuse("--config: cannot read " + path + ": " + std::strerror(os), message);
  }
  try {
    return ReadRoot(path, YAML::Load(text), values, message);
  } catch (const YAML::Exception& error) {
    return Refuse(Place(path, error.mark) + ": is not YAML: " + error.msg, message);
  } catch (const std::exception& error) {
    return Refuse(path + ": is not YAML: " + error.what(), message);
  }
}

}  // namespace headrace::option_sources
