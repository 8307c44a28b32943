// A configuration from a YAML file and from arguments: taken or refused with one line.
#include <sys/mman.h>
#include <unistd.h>

#include "sim/config.h"

namespace {

// What is before the first zero byte is the file, the rest are arguments, one a line.
void Parse(std::string_view yaml, std::string_view arguments) {
  const int fd = ::memfd_create("config", 0);
  HR_CHECK(fd >= 0);
  HR_CHECK(::write(fd, yaml.data(), yaml.size()) == static_cast<ssize_t>(yaml.size()));
  HR_CHECK(::lseek(fd, 0, SEEK_SET) == 0);
  std::vector<std::string> words = {"headrace-sim", "--config",
                                    "/proc/self/fd/" + std::to_string(fd)};
  for (size_t at = 0; at < arguments.size();) {
    const size_t end = std::min(arguments.find('\n', at), arguments.size());
    const std::string_view word = arguments.substr(at, end - at);
    if (!word.starts_with("--help") && !word.starts_with("--version")) words.emplace_back(word);
    at = end + 1;
  }
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  headrace::sim::Config config;
  std::string message;
  const auto outcome = headrace::sim::ParseConfig(
      static_cast<int>(argv.size()), argv.data(),
      [](const char* name) { return std::string_view(name) == "POD_IP" ? "10.0.0.1" : nullptr; },
      &config, &message);
  ::close(fd);
  HR_CHECK(outcome.has_value() == message.empty());
  if (!outcome || *outcome != headrace::OptionTable::Outcome::kRun) return;
  HR_CHECK(!config.model.name.empty() && !config.serving.hosts.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t cut = std::min(text.find('\0'), text.size());
  Parse(text.substr(0, cut), text.substr(std::min(cut + 1, text.size())));
  return 0;
}
