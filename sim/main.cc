// headrace-sim: see sim/app.h. Exit code 2: the configuration or the machine does not allow a
// start; the line on standard error names the flag.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "sim/app.h"
#include "sim/config.h"

namespace {

constexpr int kWrongStart = 2;

int Fail(const std::string& line) {
  std::fprintf(stderr, "headrace-sim: %s\n", line.c_str());
  return kWrongStart;
}

}  // namespace

int main(int argc, char** argv) {
  headrace::sim::Config config;
  std::string message;
  const auto getenv = [](const char* name) { return static_cast<const char*>(std::getenv(name)); };
  const auto outcome = headrace::sim::ParseConfig(argc, argv, getenv, &config, &message);
  if (!outcome) return Fail(message);
  if (*outcome == headrace::OptionTable::Outcome::kExit) return 0;
  const headrace::Status status = headrace::sim::RunSimulator(config, &message);
  if (status) return 0;
  return Fail(message.empty() ? status.error().what : message);
}
