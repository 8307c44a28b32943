// One mapping of a YAML file, taken apart key by key: each key is asked for by name, and what
// nobody asked for is refused at the end. The first thing that is wrong stands in the message; all
// after it does nothing. Uses yaml-cpp; callers catch its exceptions. One thread.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "base/time.h"

namespace headrace::indexer {

class YamlSection {
 public:
  // `path` stands before each key in messages: "" or "kvEventsConfig.".
  YamlSection(const YAML::Node& node, std::string path, std::string* message);

  bool failed() const { return !message_->empty(); }
  void Refuse(const std::string& key, const std::string& text);

  // Each leaves `*value` alone when the key is absent or null; true when it was set.
  bool Text(const std::string& key, std::string* value);
  bool Flag(const std::string& key, bool* value);
  bool Number(const std::string& key, uint64_t* value, uint64_t low = 0,
              uint64_t high = std::numeric_limits<uint64_t>::max());
  bool Number(const std::string& key, uint32_t* value, uint32_t low, uint32_t high);
  bool Weight(const std::string& key, double* value);  // finite, 0 or more
  bool Size(const std::string& key, uint64_t* value);  // "2GiB", or bytes
  bool Time(const std::string& key, Duration* value);  // "5s"; a bare number is nanoseconds
  bool Texts(const std::string& key, std::vector<std::string>* values);
  // "name: text" lines, in the file's order.
  bool TextMap(const std::string& key, std::vector<std::pair<std::string, std::string>>* values);
  // The mapping, or each of a list of mappings, under a key; each must use up its keys.
  bool Section(const std::string& key, const std::function<void(YamlSection*)>& read);
  bool Sections(const std::string& key, const std::function<void(YamlSection*)>& read);
  // Takes a key whatever it holds.
  bool Ignore(const std::string& key);

  // Refuses keys that nobody asked for, and keys that stand twice.
  void Finish();

 private:
  YAML::Node Take(const std::string& key);
  bool Scalar(const std::string& key, std::string* text, const char* wanted);

  const YAML::Node node_;
  const std::string path_;
  std::string* const message_;
  std::vector<std::string> asked_;
};

}  // namespace headrace::indexer
