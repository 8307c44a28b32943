// headrace-bench-index: the figures of `scripts/bench index` that the index itself makes, as JSON
// lines on standard output.
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "bench/hash_bench.h"
#include "bench/index_ingest_bench.h"
#include "bench/index_memory_bench.h"
#include "bench/index_score_bench.h"
#include "bench/index_stream_bench.h"
#include "bench/index_world.h"
#include "bench/redis_bench.h"

namespace {

using headrace::bench::IndexOptions;

// In the order in which they run; without names, all.
struct Part {
  const char* name;
  void (*run)(const IndexOptions&);
};
constexpr Part kParts[] = {
    {"memory", headrace::bench::RunIndexMemory},  // first, in processes that hold little else
    {"grow", headrace::bench::RunIndexGrowth},
    {"ingest", headrace::bench::RunIndexIngest},
    {"score", headrace::bench::RunIndexScores},
    {"stream", headrace::bench::RunIndexStream},
    {"hash", [](const IndexOptions&) { headrace::bench::RunHashBench(); }},
    {"redis", [](const IndexOptions&) { headrace::bench::RunRedisBench(); }},
};

int Usage() {
  std::fprintf(stderr, "usage: headrace-bench-index [--quick] [--peer=NAME=US]... [PART...]\n");
  std::fprintf(stderr, "peers: score8 score64 score512 ingest16\nparts:");
  for (const Part& part : kParts) std::fprintf(stderr, " %s", part.name);
  std::fprintf(stderr, " (none named: all)\n");
  return 2;
}

bool Known(std::string_view name) {
  for (const Part& part : kParts) {
    if (name == part.name) return true;
  }
  return false;
}

// "score8=61.5".
bool SetPeer(const std::string& peer, IndexOptions* options) {
  const size_t at = peer.find('=');
  if (at == std::string::npos) return false;
  const std::string name = peer.substr(0, at);
  char* end = nullptr;
  const double micros = std::strtod(peer.c_str() + at + 1, &end);
  if (*end != 0 || !(micros > 0)) return false;
  if (name == "score8") options->peer_score8 = micros;
  if (name == "score64") options->peer_score64 = micros;
  if (name == "score512") options->peer_score512 = micros;
  if (name == "ingest16") options->peer_ingest16 = micros;
  return name == "score8" || name == "score64" || name == "score512" || name == "ingest16";
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::string_view kPeer = "--peer=";
  IndexOptions options;
  std::set<std::string> wanted;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick") {
      options.quick = true;
    } else if (word.starts_with(kPeer)) {
      if (!SetPeer(word.substr(kPeer.size()), &options)) return Usage();
    } else if (Known(word)) {
      wanted.insert(word);
    } else {
      return Usage();
    }
  }
  for (const Part& part : kParts) {
    if (wanted.empty() || wanted.contains(part.name)) part.run(options);
  }
  return 0;
}
