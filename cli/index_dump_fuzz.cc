// Whatever an index answers, or a file holds, it is read or refused; a block that was read has a
// text for each of its names.
#include "cli/index_dump.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  cli::DumpedHolders holders;
  (void)cli::AddHolders(text, &holders);
  const auto page = cli::ParseDumpPage(text);
  if (!page) return 0;
  cli::DumpedHolders once, twice;
  for (const std::string& line : page->lines) {
    HR_CHECK(line.find('\n') == std::string::npos);
    const bool good = cli::AddHolders(line, &once).has_value();
    HR_CHECK(good == cli::AddHolders(line, &twice).has_value());
  }
  HR_CHECK(once == twice);
  return 0;
}
