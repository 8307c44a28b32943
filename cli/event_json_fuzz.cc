// Whatever a payload holds, the lines printed for it are JSON.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/event_json.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string hex;
  for (size_t i = 0; i < size; ++i) {
    hex += "0123456789abcdef"[data[i] >> 4];
    hex += "0123456789ABCDEF"[data[i] & 15];
  }
  wire::EventDecoder decoder;
  std::string out;
  const bool good = cli::AppendEventLines(hex, &decoder, &out);
  bool all_good = true;
  for (size_t start = 0; start < out.size();) {
    const size_t end = out.find('\n', start);
    HR_CHECK(end != std::string::npos);
    const auto json = nlohmann::json::parse(out.substr(start, end - start), nullptr, false);
    HR_CHECK(json.is_object() && json.contains("error") != json.contains("type"));
    all_good = all_good && json.contains("type");
    start = end + 1;
  }
  HR_CHECK(good == all_good);
  const std::string raw(reinterpret_cast<const char*>(data), size);
  cli::AppendEventLines(raw, &decoder, &out);
  return 0;
}
