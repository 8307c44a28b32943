// headrace-bench-engine: the figures of `scripts/bench engine`, as JSON lines on standard output.
#include <cstdio>
#include <cstring>
#include <string>

#include "bench/copy_bench.h"
#include "bench/core_bench.h"
#include "bench/rtt_bench.h"

namespace {

// In the order in which they run; without names, all.
struct Part {
  const char* name;
  void (*run)(const std::string& server);
};
constexpr Part kParts[] = {
    {"rtt", headrace::bench::RunRoundTrips},
    {"query", headrace::bench::RunClientQueries},
    {"copy-64k",
     [](const std::string& server) { headrace::bench::RunCopyBench(server, 64ull << 10, "64k"); }},
    {"copy-2m",
     [](const std::string& server) { headrace::bench::RunCopyBench(server, 2ull << 20, "2m"); }},
    {"core", [](const std::string&) { headrace::bench::RunCoreBench(); }},
};

int Usage() {
  std::fprintf(stderr, "usage: headrace-bench-engine PATH-OF-HEADRACE-SERVER [PART...]\nparts:");
  for (const Part& part : kParts) std::fprintf(stderr, " %s", part.name);
  std::fprintf(stderr, " (none named: all)\n");
  return 2;
}

bool Known(const char* name) {
  for (const Part& part : kParts) {
    if (std::strcmp(part.name, name) == 0) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argv[1][0] == '-') return Usage();
  for (int i = 2; i < argc; ++i) {
    if (!Known(argv[i])) return Usage();
  }
  for (const Part& part : kParts) {
    bool wanted = argc == 2;
    for (int i = 2; i < argc; ++i) wanted = wanted || std::strcmp(part.name, argv[i]) == 0;
    if (wanted) part.run(argv[1]);
  }
  return 0;
}
