// headrace-seeds: runs many seeded histories of the shipped core and reports what they reached.
// A broken invariant aborts the child that runs the seed; the seed is printed with the command that
// replays it.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/seeds/history.h"

namespace headrace::seeds {
namespace {

struct Arguments {
  uint64_t first = 1;
  uint64_t seeds = 1000;
  unsigned jobs = std::thread::hardware_concurrency();
  bool one = false;
};

// What a child tells its parent after each seed; coverage.seed is 0 with the final sum.
struct Report {
  uint64_t seed = 0;
  Coverage coverage;
};

[[noreturn]] void Usage(int code) {
  std::fprintf(code == 0 ? stdout : stderr,
               "usage: headrace-seeds [--seeds N] [--first S] [--jobs J]\n"
               "       headrace-seeds --seed S      replays one history\n");
  std::exit(code);
}

uint64_t NumberOf(const char* flag, const char* text) {
  char* end = nullptr;
  const uint64_t number = text == nullptr ? 0 : std::strtoull(text, &end, 10);
  if (text == nullptr || *text == 0 || *end != 0) {
    std::fprintf(stderr, "%s: write a whole number\n", flag);
    std::exit(2);
  }
  return number;
}

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--help") Usage(0);
    const char* value = i + 1 < argc ? argv[++i] : nullptr;
    if (flag == "--seeds")
      arguments.seeds = NumberOf("--seeds", value);
    else if (flag == "--first")
      arguments.first = NumberOf("--first", value);
    else if (flag == "--jobs")
      arguments.jobs = static_cast<unsigned>(NumberOf("--jobs", value));
    else if (flag == "--seed")
      arguments.first = NumberOf("--seed", value), arguments.one = true;
    else
      Usage(2);
  }
  if (arguments.jobs == 0) arguments.jobs = 1;
  return arguments;
}

// Seeds first + index, first + index + jobs, ...: the number of the seed that runs is always known
// to the parent, because the child announces each before it starts.
[[noreturn]] void RunChild(const Arguments& arguments, unsigned index, int pipe) {
  Report report;
  for (uint64_t i = index; i < arguments.seeds; i += arguments.jobs) {
    report.seed = arguments.first + i;
    if (write(pipe, &report, sizeof report) != sizeof report) _exit(3);
    report.coverage.Add(RunHistory(report.seed));
  }
  report.seed = 0;
  _exit(write(pipe, &report, sizeof report) == sizeof report ? 0 : 3);
}

struct Child {
  pid_t pid = 0;
  int pipe = -1;
  Report last;
  uint64_t done = 0;
};

Child Spawn(const Arguments& arguments, unsigned index) {
  int ends[2];
  if (pipe(ends) != 0) std::abort();
  Child child;
  child.pid = fork();
  if (child.pid == 0) {
    close(ends[0]);
    RunChild(arguments, index, ends[1]);
  }
  close(ends[1]);
  child.pipe = ends[0];
  return child;
}

int RunMany(const Arguments& arguments) {
  std::vector<Child> children;
  for (unsigned i = 0; i < arguments.jobs; ++i) children.push_back(Spawn(arguments, i));
  std::vector<std::thread> readers;
  for (Child& child : children) {
    readers.emplace_back([&child] {
      Report report;
      while (read(child.pipe, &report, sizeof report) == sizeof report) {
        child.last = report;
        ++child.done;
      }
    });
  }
  for (auto& reader : readers) reader.join();
  Coverage total;
  uint64_t failed = 0;
  for (Child& child : children) {
    int status = 0;
    waitpid(child.pid, &status, 0);
    total.Add(child.last.coverage);
    if (status == 0 && child.last.seed == 0) continue;
    ++failed;
    std::printf("seed %llu failed; replay it: build/bin/headrace-seeds --seed %llu\n",
                static_cast<unsigned long long>(child.last.seed),
                static_cast<unsigned long long>(child.last.seed));
  }
  std::printf("reached in %llu histories:\n%s", static_cast<unsigned long long>(arguments.seeds),
              total.Table().c_str());
  const std::string missing = total.Missing();
  if (!missing.empty()) std::printf("never reached: %s\n", missing.c_str());
  if (failed != 0 || !missing.empty()) return 1;
  std::printf("%llu seeds, all invariants held\n",
              static_cast<unsigned long long>(arguments.seeds));
  return 0;
}

}  // namespace
}  // namespace headrace::seeds

int main(int argc, char** argv) {
  using namespace headrace::seeds;
  const Arguments arguments = Parse(argc, argv);
  if (!arguments.one) return RunMany(arguments);
  std::printf("%s", RunHistory(arguments.first).Table().c_str());
  std::printf("seed %llu: all invariants held\n", static_cast<unsigned long long>(arguments.first));
  return 0;
}
