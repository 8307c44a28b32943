// msgpack-c reads what our encoder wrote, and our decoder reads what msgpack-c packed, in whatever
// widths.
#include <gtest/gtest.h>
#include <msgpack.h>

#include <nlohmann/json.hpp>
#include <random>

#include "wire/event.h"
#include "wire/event_samples.h"

namespace headrace::wire {
namespace {

using Json = nlohmann::json;

Json FromObject(const msgpack_object& object) {
  Json json;
  switch (object.type) {
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
      return object.via.u64;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
      return object.via.i64;
    case MSGPACK_OBJECT_FLOAT64:
      return object.via.f64;
    case MSGPACK_OBJECT_STR:
      return std::string(object.via.str.ptr, object.via.str.size);
    case MSGPACK_OBJECT_BIN:
      return Json::binary({object.via.bin.ptr, object.via.bin.ptr + object.via.bin.size});
    case MSGPACK_OBJECT_ARRAY:
      json = Json::array();
      for (uint32_t i = 0; i < object.via.array.size; ++i) {
        json.push_back(FromObject(object.via.array.ptr[i]));
      }
      return json;
    case MSGPACK_OBJECT_MAP:
      json = Json::object();
      for (uint32_t i = 0; i < object.via.map.size; ++i) {
        const auto& pair = object.via.map.ptr[i];
        const std::string key = FromObject(pair.key);
        EXPECT_FALSE(json.contains(key)) << key;
        json[key] = FromObject(pair.val);
      }
      return json;
    default:
      EXPECT_EQ(object.type, MSGPACK_OBJECT_NIL);
      return nullptr;
  }
}

Json Judged(const std::string& bytes) {
  msgpack_unpacked unpacked;
  msgpack_unpacked_init(&unpacked);
  size_t offset = 0;
  EXPECT_EQ(msgpack_unpack_next(&unpacked, bytes.data(), bytes.size(), &offset),
            MSGPACK_UNPACK_SUCCESS);
  EXPECT_EQ(offset, bytes.size());
  Json json = FromObject(unpacked.data);
  msgpack_unpacked_destroy(&unpacked);
  return json;
}

Json HashesOf(const Event& event, bool ints) {
  Json hashes = Json::array();
  for (size_t i = 0; i < event.hashes.size(); ++i) {
    const auto bytes = event.full_hashes.subspan(i * event.hash_bytes, event.hash_bytes);
    hashes.push_back(ints ? Json(event.hashes[i]) : Json::binary({bytes.begin(), bytes.end()}));
  }
  return hashes;
}

TEST(EventJudge, ReadsEveryFieldThatOurEncoderWrote) {
  const FullEvents full;
  const auto events = full.batch().events;
  const Json extra = {nullptr, {"img", {"mm", 3}}, nullptr};
  for (const bool ints : {false, true}) {
    const auto parent = events[0].full_parent;
    const Json stored = {{"type", "BlockStored"},
                         {"block_hashes", HashesOf(events[0], ints)},
                         {"parent_block_hash", ints ? Json(*events[0].parent)
                                                    : Json::binary({parent.begin(), parent.end()})},
                         {"token_ids", events[0].tokens},
                         {"block_size", 16},
                         {"lora_id", -5},
                         {"medium", "GPU"},
                         {"lora_name", "adapter"},
                         {"extra_keys", extra},
                         {"group_idx", 2},
                         {"kv_cache_spec_kind", "sliding_window"},
                         {"kv_cache_spec_sliding_window", 4096},
                         {"locality", "REMOTE"},
                         {"ownership", "shared"},
                         {"session_id", "s-1"}};
    const Json removed = {{"type", "BlockRemoved"},
                          {"block_hashes", HashesOf(events[1], ints)},
                          {"medium", "cpu"},
                          {"group_idx", 0},
                          {"locality", "LOCAL"},
                          {"ownership", "own"},
                          {"remaining_copy_counts", {1, 0, 300}},
                          {"reason", "evicted"}};
    std::string map;
    EncodeEventBatch(full.batch(), {.int_hashes = ints}, &map);
    EXPECT_EQ(Judged(map),
              Json({full.batch().timestamp, {stored, removed, {{"type", "AllBlocksCleared"}}}, 1}));

    std::string array;
    EncodeEventBatch(full.batch(), {.array = true, .int_hashes = ints}, &array);
    const Json in_order = {"BlockStored",
                           stored["block_hashes"],
                           stored["parent_block_hash"],
                           stored["token_ids"],
                           16,
                           -5,
                           "GPU",
                           "adapter",
                           extra,
                           2,
                           "sliding_window",
                           4096};
    EXPECT_EQ(Judged(array), Json({full.batch().timestamp,
                                   Json::array({in_order,
                                                {"BlockRemoved", removed["block_hashes"], "cpu", 0},
                                                Json::array({"AllBlocksCleared"})}),
                                   1}));
  }
}

// Packs with msgpack-c, each integer in a width that the test draws.
class Packer {
 public:
  explicit Packer(std::mt19937_64* random) : random_(*random) {
    msgpack_sbuffer_init(&buffer_);
    msgpack_packer_init(&packer_, &buffer_, msgpack_sbuffer_write);
  }
  ~Packer() { msgpack_sbuffer_destroy(&buffer_); }
  Packer(const Packer&) = delete;

  void Text(std::string_view text) {
    if (random_() % 8 == 0) return Bytes(text.data(), text.size());
    msgpack_pack_str(&packer_, text.size());
    msgpack_pack_str_body(&packer_, text.data(), text.size());
  }
  void Bytes(const void* data, size_t size) {
    msgpack_pack_bin(&packer_, size);
    msgpack_pack_bin_body(&packer_, data, size);
  }
  void Uint(uint64_t value) {
    switch (random_() % 5) {
      case 0:
        if (value <= 0xff)
          return void(msgpack_pack_fix_uint8(&packer_, static_cast<uint8_t>(value)));
        [[fallthrough]];
      case 1:
        if (value <= 0xffff)
          return void(msgpack_pack_fix_uint16(&packer_, static_cast<uint16_t>(value)));
        [[fallthrough]];
      case 2:
        if (value <= 0xffffffff)
          return void(msgpack_pack_fix_uint32(&packer_, static_cast<uint32_t>(value)));
        [[fallthrough]];
      case 3:
        return void(msgpack_pack_fix_uint64(&packer_, value));
      default:
        msgpack_pack_uint64(&packer_, value);
    }
  }
  void Array(size_t count) { msgpack_pack_array(&packer_, count); }
  void Map(size_t count) { msgpack_pack_map(&packer_, count); }
  void Nil() { msgpack_pack_nil(&packer_); }
  void Double(double value) { msgpack_pack_double(&packer_, value); }
  std::span<const uint8_t> bytes() const {
    return {reinterpret_cast<const uint8_t*>(buffer_.data), buffer_.size};
  }

 private:
  std::mt19937_64& random_;
  msgpack_sbuffer buffer_;
  msgpack_packer packer_;
};

struct Sample {
  std::vector<uint8_t> full;
  std::vector<uint64_t> low;
  std::vector<uint32_t> tokens;
  size_t width = 0;
  bool ints = false;
};

Sample RandomSample(std::mt19937_64& random) {
  Sample sample{.width = 8 + random() % 25, .ints = random() % 2 == 0};
  sample.full.resize(sample.width * (random() % 20));
  for (uint8_t& byte : sample.full) byte = static_cast<uint8_t>(random());
  sample.low = LowOf(sample.full, sample.width);
  sample.tokens.resize(16 * sample.low.size());
  const unsigned shift = random() % 32;
  for (uint32_t& token : sample.tokens) token = static_cast<uint32_t>(random()) >> shift;
  return sample;
}

void PackStored(const Sample& sample, bool map, Packer* out) {
  const auto name = [&](std::string_view text) {
    if (map) out->Text(text);
  };
  map ? out->Map(5) : out->Array(5);
  name("type");
  out->Text("BlockStored");
  name("block_hashes");
  out->Array(sample.low.size());
  for (size_t i = 0; i < sample.low.size(); ++i) {
    if (sample.ints) {
      out->Uint(sample.low[i]);
    } else {
      out->Bytes(sample.full.data() + i * sample.width, sample.width);
    }
  }
  name("parent_block_hash");
  out->Nil();
  name("token_ids");
  out->Array(sample.tokens.size());
  for (const uint32_t token : sample.tokens) out->Uint(token);
  name("block_size");
  out->Uint(16);
}

TEST(EventJudge, PacksWhatOurDecoderReads) {
  std::mt19937_64 random(12);
  EventDecoder decoder;
  for (int round = 0; round < 2000; ++round) {
    const Sample sample = RandomSample(random);
    Packer packer(&random);
    packer.Array(3);
    packer.Double(round);
    packer.Array(2);
    PackStored(sample, false, &packer);
    PackStored(sample, true, &packer);
    packer.Uint(7);
    EventBatch batch;
    ASSERT_TRUE(decoder.Decode(packer.bytes(), &batch));
    ASSERT_EQ(batch.events.size(), 2u);
    EXPECT_EQ(batch.timestamp, round);
    EXPECT_EQ(batch.rank, 7);
    Event expected{.type = EventType::kStored, .hashes = sample.low};
    if (!sample.ints && !sample.low.empty()) {
      expected.full_hashes = sample.full;
      expected.hash_bytes = static_cast<uint8_t>(sample.width);
    }
    expected.tokens = sample.tokens;
    expected.block_size = 16;
    for (const Event& event : batch.events) {
      ASSERT_TRUE(SameEvent(event, expected, {.int_hashes = false})) << round;
    }
  }
}

}  // namespace
}  // namespace headrace::wire
