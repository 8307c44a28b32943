// Any bytes are conversations of the roles that there are, or refused with a message.
#include "base/result.h"
#include "sim/share_gpt.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view json(reinterpret_cast<const char*>(data), size);
  size_t taken = 0, skipped = 0;
  const sim::ConversationSink sink{
      .take =
          [&](const std::vector<sim::ChatTurn>& turns) {
            HR_CHECK(!turns.empty() && turns.size() <= sim::kMaxTurns);
            for (const sim::ChatTurn& turn : turns) {
              HR_CHECK(turn.role == "user" || turn.role == "assistant" || turn.role == "system");
            }
            return ++taken < 3;
          },
      .skip = [&] { ++skipped; }};
  std::string message;
  const bool good = sim::ParseShareGpt(json, sink, &message).has_value();
  HR_CHECK(good == message.empty());
  HR_CHECK(taken + skipped <= size);
  return 0;
}
