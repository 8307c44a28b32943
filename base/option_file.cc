#include <fcntl.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <set>
#include <utility>

#include "base/fd.h"
#include "base/option_sources.h"

namespace headrace::option_sources {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxDepth = 32;  // of a mapping that becomes JSON

Status Refuse(std::string text, std::string* message) {
  *message = std::move(text);
  return Fail(Errc::kInvalid, "wrong option");
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

void AddJsonText(const std::string& text, std::string* json) {
  *json += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') *json += '\\';
    if (static_cast<unsigned char>(c) >= 0x20) {
      *json += c;
      continue;
    }
    std::array<char, 8> escape{};
    std::snprintf(escape.data(), escape.size(), "\\u%04x", static_cast<unsigned>(c));
    *json += escape.data();
  }
  *json += '"';
}

// Cuts what one of `signs` may begin, and digits, off `*text`; false when there are no digits.
bool TakeDigits(std::string_view* text, std::string_view signs) {
  if (!text->empty() && signs.find((*text)[0]) != std::string_view::npos) text->remove_prefix(1);
  size_t digits = std::min(text->find_first_not_of("0123456789"), text->size());
  text->remove_prefix(digits);
  return digits > 0;
}

// What JSON and YAML both call a number.
bool IsNumber(std::string_view text) {
  std::string_view whole = text.substr(text.starts_with('-') ? 1 : 0);
  if (whole.starts_with('0') && whole.find_first_of("0123456789", 1) == 1) return false;
  if (!TakeDigits(&text, "-")) return false;
  if (text.starts_with('.') && !TakeDigits(&text, ".")) return false;
  if (text.starts_with('e') || text.starts_with('E')) {
    text.remove_prefix(1);
    if (!TakeDigits(&text, "+-")) return false;
  }
  return text.empty();
}

void AddJsonScalar(const YAML::Node& node, std::string* json) {
  const std::string& text = node.Scalar();
  bool is_plain = node.Tag() != "!";  // what stands in quotes is a text whatever it looks like
  if (is_plain && (text == "true" || text == "false" || IsNumber(text))) {
    *json += text;
  } else {
    AddJsonText(text, json);
  }
}

bool AddJson(const YAML::Node& node, size_t depth, std::string* json);

// Elements, or the members of a mapping.
bool AddJsonElements(const YAML::Node& node, size_t depth, std::string* json) {
  bool is_first = true;
  for (const auto& entry : node) {
    if (!is_first) *json += ',';
    is_first = false;
    if (!node.IsMap()) {
      if (!AddJson(entry, depth, json)) return false;
      continue;
    }
    if (!entry.first.IsScalar()) return false;
    AddJsonText(entry.first.Scalar(), json);
    *json += ':';
    if (!AddJson(entry.second, depth, json)) return false;
  }
  return true;
}

// False past the limits: aliases may make much, or themselves, of little.
bool AddJson(const YAML::Node& node, size_t depth, std::string* json) {
  if (depth == 0 || json->size() > kMaxFileBytes) return false;
  if (node.IsScalar()) {
    AddJsonScalar(node, json);
    return true;
  }
  if (node.IsNull()) {
    *json += "null";
    return true;
  }
  const bool is_map = node.IsMap();
  *json += is_map ? '{' : '[';
  if (!AddJsonElements(node, depth - 1, json)) return false;
  *json += is_map ? '}' : ']';
  return true;
}

// What a file holds, key by key.
class FileReader {
 public:
  FileReader(std::string path, const std::vector<std::string>& sections,
             std::vector<RawValue>* values, std::string* message)
      : path_(std::move(path)), sections_(sections), values_(values), message_(message) {}

  // `prefix` stands before each key in messages: "" or "latencies.".
  Status ReadMap(const YAML::Node& root, const std::string& prefix) {
    if (root.IsNull()) return {};  // an empty file sets nothing
    if (!root.IsMap()) {
      return Refuse(Place(path_, root.Mark()) + ": is not a list of \"option: value\" lines",
                    message_);
    }
    std::set<std::string> seen;
    for (const auto& entry : root) {
      HR_RETURN_IF_ERROR(ReadEntry(entry.first, entry.second, prefix));
      if (!seen.insert(entry.first.Scalar()).second) {
        return Refuse(Place(path_, entry.first.Mark()) + ": " + prefix + entry.first.Scalar() +
                          ": stands twice in this file; keep one",
                      message_);
      }
    }
    return {};
  }

 private:
  Status ReadEntry(const YAML::Node& key, const YAML::Node& value, const std::string& prefix) {
    std::string place = Place(path_, key.Mark());
    if (!key.IsScalar()) return Refuse(place + ": a key is not the name of an option", message_);
    const std::string& name = key.Scalar();
    std::string where = place + ": " + prefix + name;
    if (value.IsNull()) return Refuse(where + ": has no value", message_);
    bool is_section = std::find(sections_.begin(), sections_.end(), name) != sections_.end();
    if (is_section && prefix.empty()) return ReadMap(value, name + ".");
    if (!value.IsSequence()) return Add(name, value, where);
    for (const YAML::Node& element : value) HR_RETURN_IF_ERROR(Add(name, element, where));
    return {};
  }

  Status Add(const std::string& name, const YAML::Node& value, const std::string& where) {
    if (value.IsScalar()) {
      values_->push_back({name, value.Scalar(), where});
      return {};
    }
    std::string json;
    if (!value.IsMap()) return Refuse(where + ": is not a list of plain values", message_);
    if (!AddJson(value, kMaxDepth, &json)) {
      return Refuse(where + ": is nested too deep or too large", message_);
    }
    values_->push_back({name, json, where, false, true});
    return {};
  }

  const std::string path_;
  const std::vector<std::string>& sections_;
  std::vector<RawValue>* const values_;
  std::string* const message_;
};

}  // namespace

Status ReadYaml(const std::string& path, const std::vector<std::string>& sections,
                std::vector<RawValue>* values, std::string* message) {
  std::string text;
  if (int os = ReadWhole(path, &text); os != 0) {
    return Refuse("--config: cannot read " + path + ": " + std::strerror(os), message);
  }
  try {
    return FileReader(path, sections, values, message).ReadMap(YAML::Load(text), "");
  } catch (const YAML::Exception& error) {
    return Refuse(Place(path, error.mark) + ": is not YAML: " + error.msg, message);
  } catch (const std::exception& error) {
    return Refuse(path + ": is not YAML: " + error.what(), message);
  }
}

}  // namespace headrace::option_sources
