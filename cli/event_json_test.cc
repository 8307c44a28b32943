#include "cli/event_json.h"

#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

using wire::Event;
using wire::EventType;

std::string Lines(std::string_view hex) {
  wire::EventDecoder decoder;
  std::string out;
  const bool good = AppendEventLines(hex, &decoder, &out);
  EXPECT_EQ(good, out.find("error") == std::string::npos);
  return out;
}

TEST(EventJson, ShowsIntegersAsDecimalTextsAndBytesAsHex) {
  const uint64_t hashes[] = {1, ~uint64_t{0}};
  Event event{.type = EventType::kRemoved, .hashes = hashes};
  EXPECT_EQ(EventJson(event),
            R"({"type":"BlockRemoved","block_hashes":["1","18446744073709551615"],"medium":null})");
  const uint8_t full[] = {0, 1, 255, 254};
  event.full_hashes = full;
  event.hash_bytes = 2;
  EXPECT_EQ(EventJson(event),
            R"({"type":"BlockRemoved","block_hashes":["0x0001","0xfffe"],"medium":null})");
}

TEST(EventJson, LeavesOutWhatVllmLeavesOut) {
  EXPECT_EQ(EventJson({.type = EventType::kStored}),
            R"({"type":"BlockStored","block_hashes":[],"parent_block_hash":null,"token_ids":[],)"
            R"("block_size":0,"lora_id":null,"medium":null,"lora_name":null})");
  EXPECT_EQ(EventJson({}), R"({"type":"AllBlocksCleared"})");
}

TEST(EventJson, ShowsEveryField) {
  const uint32_t numbers[] = {7, 8};
  const uint64_t hash = 5;
  const uint8_t parent[] = {1, 2};
  // [nil, ["a", bin 01ff, -1, {"k": nil}]]
  const uint8_t extra[] = {0x92, 0xc0, 0x94, 0xa1, 'a',  0xc4, 2,
                           1,    0xff, 0xff, 0x81, 0xa1, 'k',  0xc0};
  Event event{.type = EventType::kStored, .hashes = {&hash, 1}};
  event.parent = 258;
  event.full_parent = parent;
  event.tokens = numbers;
  event.block_size = 2;
  event.lora_id = -4;
  event.medium = "GPU";
  event.lora_name = "l";
  event.extra_keys = extra;
  event.group = 0;
  event.spec_kind = "mamba";
  event.sliding_window = 9;
  event.locality = "LOCAL";
  event.ownership = "o";
  event.session_id = "s";
  EXPECT_EQ(EventJson(event),
            R"({"type":"BlockStored","block_hashes":["5"],"parent_block_hash":"0x0102",)"
            R"("token_ids":[7,8],"block_size":2,"lora_id":-4,"medium":"GPU","lora_name":"l",)"
            R"("extra_keys":[null,["a","0x01ff",-1,{"k":null}]],"group_idx":0,)"
            R"("kv_cache_spec_kind":"mamba","kv_cache_spec_sliding_window":9,"locality":"LOCAL",)"
            R"("ownership":"o","session_id":"s"})");
  event.type = EventType::kRemoved;
  event.remaining_copies = numbers;
  event.reason = "evicted";
  EXPECT_EQ(EventJson(event),
            R"({"type":"BlockRemoved","block_hashes":["5"],"medium":"GPU","group_idx":0,)"
            R"("locality":"LOCAL","ownership":"o","remaining_copy_counts":[7,8],)"
            R"("reason":"evicted"})");
}

TEST(EventJson, ShowsThePodsOfANode) {
  const std::string packed = wire::PackEventPods(std::vector<std::string>{"a:1", "b"});
  Event event{.type = EventType::kStored};
  event.pods = {reinterpret_cast<const uint8_t*>(packed.data()), packed.size()};
  event.pods_model = "m";
  const std::string json = EventJson(event);
  EXPECT_NE(json.find(R"("pods":["a:1","b"],"pods_model":"m"})"), std::string::npos) << json;
}

TEST(EventJson, IsJsonWhateverTextAPeerSends) {
  Event event{.type = EventType::kRemoved};
  event.medium = "\xff\"\n";
  EXPECT_EQ(EventJson(event),
            "{\"type\":\"BlockRemoved\",\"block_hashes\":[],\"medium\":\"\xef\xbf\xbd\\\"\\n\"}");
  const uint8_t odd_map[] = {0x91, 0x91, 0x81, 0x01, 0x02};
  event.type = EventType::kStored;
  event.extra_keys = odd_map;
  EXPECT_NE(EventJson(event).find(R"("extra_keys":"0x9191810102")"), std::string::npos);
}

TEST(EventLines, KeepEventsAndErrorsInTheirOrder) {
  // [1, [5, ["AllBlocksCleared"], ["x"], ["AllBlocksCleared"]]]
  const std::string cleared = "91b0416c6c426c6f636b73436c6561726564";
  EXPECT_EQ(Lines("92019405" + cleared + "91a178" + cleared),
            "{\"error\":\"neither a map nor an array\",\"event\":0}\n"
            "{\"type\":\"AllBlocksCleared\"}\n"
            "{\"error\":\"unknown type: x\",\"event\":2}\n"
            "{\"type\":\"AllBlocksCleared\"}\n");
  EXPECT_EQ(Lines("0x920190"), "");
}

TEST(EventLines, SayWhatIsNoPayload) {
  EXPECT_EQ(Lines("92019"), "{\"error\":\"not hexadecimal digits\",\"event\":null}\n");
  EXPECT_EQ(Lines("zz"), "{\"error\":\"not hexadecimal digits\",\"event\":null}\n");
  EXPECT_EQ(Lines("ff"),
            "{\"error\":\"event batch: not [timestamp, [event...], rank]\",\"event\":null}\n");
}

TEST(MessageLines, BeginWithTheirTopicAndSequence) {
  // [1, [["AllBlocksCleared"], 5]]
  std::string payload = "\x92\x01\x92\x91\xb0";
  payload += "AllBlocksCleared\x05";
  const auto bytes = std::span(reinterpret_cast<const uint8_t*>(payload.data()), payload.size());
  wire::EventDecoder decoder;
  std::string out;
  EXPECT_FALSE(AppendMessageLines({"kv@a@m", UINT64_MAX}, bytes, &decoder, &out));
  EXPECT_EQ(out,
            "{\"topic\":\"kv@a@m\",\"sequence\":18446744073709551615,"
            "\"type\":\"AllBlocksCleared\"}\n"
            "{\"topic\":\"kv@a@m\",\"sequence\":18446744073709551615,"
            "\"error\":\"neither a map nor an array\",\"event\":1}\n");
  out.clear();
  EXPECT_FALSE(AppendMessageLines({"", 0}, {}, &decoder, &out));
  EXPECT_NE(out.find("\"event\":null"), std::string::npos);
}

}  // namespace
}  // namespace headrace::cli
