// headrace-fleet-seeds: runs seeded histories of a fleet of publishers and index replicas, and
// reports what they reached. A broken promise aborts; the seed that runs is printed before.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/seeds/fleet.h"

namespace headrace::seeds {
namespace {

uint64_t NumberOf(const char* flag, const char* text) {
  char* end = nullptr;
  const uint64_t number = text == nullptr ? 0 : std::strtoull(text, &end, 10);
  if (text == nullptr || *text == 0 || *end != 0 || number == 0) {
    std::fprintf(stderr, "%s: write a whole number above 0\n", flag);
    std::exit(2);
  }
  return number;
}

struct Arguments {
  FleetOptions options;  // of the first seed
  uint64_t seeds = 1;
};

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  FleetOptions& options = arguments.options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (flag == "--seeds") {
      arguments.seeds = NumberOf("--seeds", value);
    } else if (flag == "--seed") {
      options.seed = NumberOf("--seed", value);
    } else if (flag == "--publishers") {
      options.publishers = NumberOf("--publishers", value);
    } else if (flag == "--replicas") {
      options.replicas = NumberOf("--replicas", value);
    } else {
      std::fprintf(stderr,
                   "usage: headrace-fleet-seeds [--seeds N] [--seed FIRST] [--publishers N] "
                   "[--replicas N]\n");
      std::exit(2);
    }
  }
  return arguments;
}

int Run(const Arguments& arguments) {
  FleetOptions options = arguments.options;
  const uint64_t seeds = arguments.seeds;
  FleetReport total;
  for (uint64_t i = 0; i < seeds; ++i, ++options.seed) {
    std::printf("seed %llu\n", static_cast<unsigned long long>(options.seed));
    std::fflush(stdout);
    const FleetReport report = RunFleet(options);
    if (total.empty()) total.resize(report.size());
    for (size_t row = 0; row < report.size(); ++row) {
      total[row] = {report[row].first, total[row].second + report[row].second};
    }
  }
  bool all = true;
  std::printf("%zu publishers, %zu replicas, %llu histories:\n", options.publishers,
              options.replicas, static_cast<unsigned long long>(seeds));
  for (const auto& [name, count] : total) {
    std::printf("%12llu %s\n", static_cast<unsigned long long>(count), name.c_str());
    all = all && count > 0;
  }
  std::printf(all ? "every replica ended equal to the publishers\n" : "a count is zero\n");
  return all ? 0 : 1;
}

}  // namespace
}  // namespace headrace::seeds

int main(int argc, char** argv) {
  return headrace::seeds::Run(headrace::seeds::Parse(argc, argv));
}
