// Any bytes as a field of either schema: refused, or the holder that they name is written again as
// something that reads back the same.
#include <cstddef>
#include <cstdint>

#include "indexer/redis_schema.h"

using namespace headrace;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view field(reinterpret_cast<const char*>(data), size);
  indexer::PodLife life = 0;
  indexer::RemoteHolder holder;
  if (indexer::ParseNativeField(field, &life, &holder)) {
    const std::string again = indexer::LifeBytes(life) + indexer::NativeSuffix(holder);
    HR_CHECK(again.size() <= field.size());  // a known tier needs no name
    indexer::PodLife same_life = 0;
    indexer::RemoteHolder same;
    HR_CHECK(indexer::ParseNativeField(again, &same_life, &same).has_value());
    HR_CHECK(same_life == life && same == holder);
  }
  if (auto parsed = indexer::ParseLlmdField(field)) {
    auto same = indexer::ParseLlmdField(indexer::LlmdField(*parsed));
    HR_CHECK(same.has_value() && *same == *parsed);
  }
  if (auto rules = indexer::RulesOfBytes(field)) {
    auto same = indexer::RulesOfBytes(indexer::RulesBytes(*rules));
    HR_CHECK(same.has_value() && *same == *rules);
  }
  return 0;
}
