// headrace-bench-engine: the figures of `scripts/bench engine`, as JSON lines on standard output.
#include <cstdio>
#include <cstring>
#include <string>

#include "bench/copy_bench.h"
#include "bench/core_bench.h"
#include "bench/rtt_bench.h"

int main(int argc, char** argv) {
  if (argc != 2 || std::strcmp(argv[1], "--help") == 0) {
    std::fprintf(stderr, "usage: headrace-bench-engine PATH-OF-HEADRACE-SERVER\n");
    return argc == 2 ? 0 : 2;
  }
  const std::string server = argv[1];
  headrace::bench::RunRoundTrips(server);
  headrace::bench::RunClientQueries(server);
  headrace::bench::RunCopyBench(server, 64ull << 10, "64k");
  headrace::bench::RunCopyBench(server, 2ull << 20, "2m");
  headrace::bench::RunCoreBench();
  return 0;
}
