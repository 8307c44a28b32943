// What llm-d's indexer answers to sequences of events (tests/data/indexer/llmd_facts.jsonl, made by
// its own code), through our decoder, digest and scorer's rules. Where we differ on purpose the
// table below has our answer; docs/events.md has the reasons.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "indexer/ingest_world.h"

namespace headrace::indexer {
namespace {

using Scores = std::map<std::string, double>;

const std::map<std::string, Scores>& Different() {
  static const std::map<std::string, Scores> different = {
      {"same, single engine blocks never fill a key", {{"a", 1}}},
      {"same, odd tail: 6 tokens give one key, child continues after it", {{"a", 2}}},
      {"engine block 8: tokenless CPU update reaches only the last key", {{"a", 3.2}}},
      {"duplicate store, one remove evicts", {{"a", 2}}},
      {"lora_name and the same name in extra_keys (as vLLM sends): not found", {{"a", 2}}},
      {"same engine hashes, different content on another pod: mapping overwritten", {}},
  };
  return different;
}

// "[BlockStored [1 2] <nil> [1 2] 4 <nil> GPU]", as Go prints it, to msgpack.
class GoText {
 public:
  explicit GoText(std::string_view text) : text_(text) {}

  void Value(std::string* out) {
    wire::MsgpackWriter writer(out);
    if (Take('[')) {
      std::string inner;
      uint32_t count = 0;
      while (!Take(']')) {
        Value(&inner);
        ++count;
        while (Take(' ')) {
        }
      }
      writer.Array(count);
      *out += inner;
      return;
    }
    const std::string_view word = text_.substr(0, text_.find_first_of(" ]"));
    ASSERT_FALSE(word.empty());
    text_.remove_prefix(word.size());
    if (word == "<nil>") {
      writer.Nil();
    } else if (word.find_first_not_of("0123456789") == std::string_view::npos) {
      writer.Uint(std::stoull(std::string(word)));
    } else {
      writer.Str(word);
    }
  }

 private:
  bool Take(char c) {
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  std::string_view text_;
};

// [timestamp, [event], nil]
std::string Payload(std::string_view event) {
  std::string payload;
  wire::MsgpackWriter writer(&payload);
  writer.Array(3);
  writer.Uint(0);
  writer.Array(1);
  GoText(event).Value(&payload);
  writer.Nil();
  return payload;
}

void Tell(IngestWorld* world, const std::string& line) {
  const size_t colon = line.find(": ");
  ASSERT_NE(colon, std::string::npos);
  const std::string payload = Payload(std::string_view(line).substr(colon + 2));
  wire::EventDecoder decoder;
  wire::EventBatch batch;
  ASSERT_TRUE(
      decoder.Decode({reinterpret_cast<const uint8_t*>(payload.data()), payload.size()}, &batch));
  ASSERT_EQ(batch.events.size(), 1u);
  ASSERT_TRUE(world->digest.Apply(&world->FeedOf(line.substr(0, colon)), batch, world->now));
}

Scores Expected(const nlohmann::json& fact) {
  const auto different = Different().find(fact["name"].get<std::string>());
  if (different != Different().end()) return different->second;
  Scores scores;
  if (!fact["scores"].is_array()) return scores;
  for (const std::string entry : fact["scores"]) {
    const size_t equals = entry.find('=');
    scores[entry.substr(0, equals)] = std::stod(entry.substr(equals + 1));
  }
  return scores;
}

TEST(IngestFacts, AgreeWithLlmdButForTheListedDifferences) {
  std::ifstream file(INDEXER_DATA "/llmd_facts.jsonl");
  ASSERT_TRUE(file);
  size_t facts = 0;
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);) {
    const auto fact = nlohmann::json::parse(line);
    const std::string name = fact["name"];
    SCOPED_TRACE(name);
    IngestWorld world({}, fact["indexer_block"].get<uint32_t>());
    for (const std::string event : fact["events"]) Tell(&world, event);
    const auto scores = world.Scores(fact["ask_tokens"].get<std::vector<uint32_t>>(),
                                     fact["ask_model"].get<std::string>());
    const Scores expected = Expected(fact);
    EXPECT_EQ(scores.size(), expected.size());
    for (const auto& [pod, score] : expected) {
      ASSERT_EQ(scores.count(pod), 1u);
      EXPECT_DOUBLE_EQ(scores.at(pod), score);
    }
    names.insert(name);
    ++facts;
  }
  EXPECT_EQ(facts, 21u);
  for (const auto& [name, scores] : Different()) EXPECT_EQ(names.count(name), 1u) << name;
}

}  // namespace
}  // namespace headrace::indexer
