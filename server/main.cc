// headrace-server: see server/app.h. Exit code 2: the command line or the machine does not allow a
// start; the line on standard error names the option.
#include <cstdio>
#include <string>
#include <string_view>

#include "base/version.h"
#include "server/app.h"
#include "server/options.h"
#include "server/status.h"

namespace {

constexpr int kWrongStart = 2;

int Fail(const std::string& line) {
  std::fprintf(stderr, "headrace-server: %s\n", line.c_str());
  return kWrongStart;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--version") {
    std::printf("headrace-server %s (%s)\n", headrace::Version(),
                headrace::server::BuiltWith().c_str());
    return 0;
  }
  headrace::server::ServerOptions options;
  std::string message;
  const auto outcome = headrace::server::ParseServerOptions(argc, argv, &options, &message);
  if (!outcome) return Fail(message);
  if (*outcome == headrace::OptionTable::Outcome::kExit) return 0;
  const headrace::Status status = headrace::server::RunServer(options, &message);
  if (status) return 0;
  return Fail(message.empty() ? status.error().what : message);
}
