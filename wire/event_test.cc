#include "wire/event.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "wire/event_samples.h"
#include "wire/msgpack.h"

namespace headrace::wire {
namespace {

using Write = std::function<void(MsgpackWriter&)>;
using Skipped = std::vector<std::pair<size_t, std::string>>;

std::string Written(const Write& write) {
  std::string out;
  MsgpackWriter writer(&out);
  write(writer);
  return out;
}

// [1, [events...], 3]
std::string BatchOf(const std::vector<std::string>& events) {
  std::string out = Written([&](MsgpackWriter& w) {
    w.Array(3);
    w.Uint(1);
    w.Array(static_cast<uint32_t>(events.size()));
  });
  for (const std::string& event : events) out += event;
  return out + '\x03';
}

// A map event of this type with one field more.
std::string MapEvent(std::string_view type, std::string_view name, const std::string& value) {
  return Written([&](MsgpackWriter& w) {
           w.Map(3);
           w.Str("type");
           w.Str(type);
           w.Str("block_hashes");
           w.Array(1);
           w.Uint(7);
           w.Str(name);
         }) +
         value;
}

// An array event: a stored block 7 behind nothing, with these tokens.
std::string StoredWithTokens(const std::string& tokens) {
  return Written([&](MsgpackWriter& w) {
           w.Array(5);
           w.Str("BlockStored");
           w.Array(1);
           w.Uint(7);
           w.Nil();
         }) +
         tokens + '\x04';
}

std::string RemovedOf(const std::string& hashes) {
  return Written([&](MsgpackWriter& w) {
           w.Array(2);
           w.Str("BlockRemoved");
         }) +
         hashes;
}

constexpr const char* kCleared =
    "\x91\xb0"
    "AllBlocksCleared";

// Decodes one batch that must be one, and keeps what it points to.
struct Decoded {
  explicit Decoded(std::string bytes) : payload(std::move(bytes)) {
    EXPECT_TRUE(decoder.Decode(BytesOf(payload), &batch, &skipped));
  }
  const Event& only() const {
    EXPECT_EQ(batch.events.size(), 1u) << (skipped.empty() ? "" : skipped[0].second);
    return batch.events.front();
  }

  std::string payload;
  EventDecoder decoder;
  EventBatch batch;
  Skipped skipped;
};

bool Decodes(const std::string& payload) {
  EventDecoder decoder;
  EventBatch batch;
  return decoder.Decode(BytesOf(payload), &batch).has_value();
}

std::vector<uint64_t> HashesOf(const std::string& hashes) {
  const Decoded decoded(BatchOf({RemovedOf(hashes)}));
  if (decoded.batch.events.size() != 1) return {};
  return {decoded.only().hashes.begin(), decoded.only().hashes.end()};
}

TEST(EventDecoder, ReadsHashesOfEveryIntegerWidth) {
  EXPECT_EQ(HashesOf(Raw("\x9a"
                         "\x05\xcc\x05\xcd\x00\x05\xce\x00\x00\x00\x05"
                         "\xcf\x00\x00\x00\x00\x00\x00\x00\x05"
                         "\xd0\x05\xd1\x00\x05\xd2\x00\x00\x00\x05"
                         "\xd3\x00\x00\x00\x00\x00\x00\x00\x05\x05")),
            std::vector<uint64_t>(10, 5));
}

TEST(EventDecoder, TakesNegativeHashesAsTwosComplement) {
  EXPECT_EQ(HashesOf(Raw("\x95\xff\xd0\xff\xd1\xff\xff\xd2\xff\xff\xff\xff"
                         "\xd3\xff\xff\xff\xff\xff\xff\xff\xff")),
            std::vector<uint64_t>(5, ~uint64_t{0}));
}

TEST(EventDecoder, TakesTheLastEightBytesOfAHashOfBytes) {
  for (size_t size = 1; size <= 32; ++size) {
    std::string bytes;
    uint64_t low = 0;
    for (size_t i = 0; i < size; ++i) {
      bytes.push_back(static_cast<char>(0x81 + i));
      low = low << 8 | (0x81 + i);
    }
    const std::string bin = Written([&](MsgpackWriter& w) {
      w.Array(2);
      w.Bin(BytesOf(bytes));
      w.Bin(BytesOf(bytes));
    });
    const Decoded decoded(BatchOf({RemovedOf(bin)}));
    EXPECT_EQ(decoded.only().hashes[1], low) << size;
    EXPECT_EQ(decoded.only().hash_bytes, size);
    EXPECT_EQ(TextOf(decoded.only().full_hashes), bytes + bytes);
    const std::string text = Written([&](MsgpackWriter& w) {
      w.Array(1);
      w.Str(bytes);
    });
    EXPECT_EQ(HashesOf(text), std::vector<uint64_t>{low}) << size;
  }
}

TEST(EventDecoder, KeepsNoFullHashesWhenTheirLengthsDiffer) {
  const Decoded decoded(BatchOf(
      {RemovedOf("\x93\xc4\x01\x09\xc4\x02\x01\x09\x09"), RemovedOf("\x92\x09\xc4\x01\x09")}));
  ASSERT_EQ(decoded.batch.events.size(), 2u);
  for (const Event& event : decoded.batch.events) {
    EXPECT_EQ(event.hash_bytes, 0);
    EXPECT_TRUE(event.full_hashes.empty());
  }
  EXPECT_EQ(decoded.batch.events[0].hashes[1], 0x109u);
  EXPECT_EQ(decoded.batch.events[1].hashes[1], 9u);
}

TEST(EventDecoder, RefusesWhatIsNoHash) {
  const std::string long_hash = Written([](MsgpackWriter& w) {
    w.Array(1);
    w.Bin(std::vector<uint8_t>(33));
  });
  for (const std::string& hashes :
       {Raw("\x91\xc4\x00"), Raw("\x91\xa0"), Raw("\x91\xc0"), Raw("\x91\xca\x3f\x80\x00\x00"),
        Raw("\x91\x90"), long_hash, Raw("\x05"), Raw("\xa1x")}) {
    const Decoded decoded(BatchOf({RemovedOf(hashes)}));
    EXPECT_EQ(decoded.batch.bad, 1u) << hashes;
    EXPECT_EQ(decoded.skipped.at(0).second.substr(0, 12), "block_hashes");
  }
}

TEST(EventDecoder, ReadsTokensOfEveryWidthInAnyMix) {
  std::mt19937_64 random(3);
  for (const uint64_t limit : {128ull, 256ull, 60000ull, 128000ull, 4294967296ull}) {
    for (uint32_t count = 0; count < 70; ++count) {
      std::vector<uint32_t> tokens(count);
      for (uint32_t& token : tokens) token = static_cast<uint32_t>(random() % limit);
      const Decoded decoded(BatchOf({StoredWithTokens(Written([&](MsgpackWriter& w) {
        w.Array(count);
        for (const uint32_t token : tokens) w.Uint(token);
      }))}));
      const auto got = decoded.only().tokens;
      ASSERT_EQ(std::vector<uint32_t>(got.begin(), got.end()), tokens) << limit;
    }
  }
}

TEST(EventDecoder, ReadsTokensInFormsThatAreLongerThanNeeded) {
  const std::string forms[] = {Raw("\x05"),
                               Raw("\xcc\x05"),
                               Raw("\xcd\x00\x05"),
                               Raw("\xce\x00\x00\x00\x05"),
                               Raw("\xcf\x00\x00\x00\x00\x00\x00\x00\x05"),
                               Raw("\xd0\x05"),
                               Raw("\xd1\x00\x05"),
                               Raw("\xd2\x00\x00\x00\x05"),
                               Raw("\xd3\x00\x00\x00\x00\x00\x00\x00\x05")};
  std::mt19937_64 random(4);
  for (int round = 0; round < 2000; ++round) {
    std::string tokens = Raw("\xdc\x00\x0c");
    for (int i = 0; i < 12; ++i) tokens += forms[random() % std::size(forms)];
    const Decoded decoded(BatchOf({StoredWithTokens(tokens)}));
    const auto got = decoded.only().tokens;
    ASSERT_EQ(std::vector<uint32_t>(got.begin(), got.end()), std::vector<uint32_t>(12, 5));
  }
}

TEST(EventDecoder, RefusesATokenThatIsNone) {
  const std::string others[] = {Raw("\xff"),
                                Raw("\xd0\xff"),
                                Raw("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"),
                                Raw("\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
                                Raw("\xca\x3f\x80\x00\x00"),
                                Raw("\xc0"),
                                Raw("\xa1x")};
  for (const std::string& other : others) {
    for (int place = 0; place < 16; ++place) {
      std::string tokens = Raw("\xdc\x00\x10");
      for (int i = 0; i < 16; ++i) tokens += i == place ? other : Raw("\xcd\x12\x34");
      const Decoded decoded(BatchOf({kCleared, StoredWithTokens(tokens), kCleared}));
      EXPECT_EQ(decoded.batch.bad, 1u);
      EXPECT_EQ(decoded.batch.events.size(), 2u);
      EXPECT_EQ(decoded.skipped.at(0).first, 1u);
    }
  }
}

TEST(EventDecoder, TakesParentZeroAndNilForNone) {
  const std::string none[] = {Raw("\xc0"), Raw("\x00"), Raw("\xcf\0\0\0\0\0\0\0\0"),
                              Raw("\xc4\x02\0\0")};
  for (const std::string& parent : none) {
    const Decoded decoded(BatchOf({MapEvent("BlockStored", "parent_block_hash", parent)}));
    EXPECT_FALSE(decoded.only().parent.has_value());
    EXPECT_TRUE(decoded.only().full_parent.empty());
  }
  const Decoded number(BatchOf({MapEvent("BlockStored", "parent_block_hash", "\xcc\xfe")}));
  EXPECT_EQ(number.only().parent, 0xfeu);
  EXPECT_TRUE(number.only().full_parent.empty());
  const Decoded bytes(BatchOf({MapEvent("BlockStored", "parent_block_hash", "\xc4\x02\x01\xfe")}));
  EXPECT_EQ(bytes.only().parent, 0x1feu);
  EXPECT_EQ(TextOf(bytes.only().full_parent), "\x01\xfe");
}

TEST(EventDecoder, GivesDefaultsForNilAndForWhatIsNotThere) {
  std::string nils = Written([](MsgpackWriter& w) {
    w.Map(19);
    w.Str("type");
    w.Str("BlockStored");
    w.Str("block_hashes");
    w.Array(1);
    w.Uint(7);
    for (const char* name : {"parent_block_hash", "token_ids", "block_size", "lora_id", "medium",
                             "lora_name", "extra_keys", "group_idx", "kv_cache_spec_kind",
                             "kv_cache_spec_sliding_window", "locality", "ownership", "session_id",
                             "remaining_copy_counts", "reason", "pods", "pods_model"}) {
      w.Str(name);
      w.Nil();
    }
  });
  const std::string alone = MapEvent("BlockStored", "later", "\xc3");
  for (const std::string& event : {nils, alone}) {
    const Decoded decoded(BatchOf({event}));
    const Event& got = decoded.only();
    EXPECT_EQ(got.type, EventType::kStored);
    EXPECT_EQ(got.hashes.size(), 1u);
    EXPECT_FALSE(got.parent || got.lora_id);
    EXPECT_EQ(got.tokens.size() + got.extra_keys.size() + got.remaining_copies.size(), 0u);
    EXPECT_EQ(got.block_size + got.sliding_window, 0u);
    EXPECT_EQ(got.group, -1);
    EXPECT_EQ(got.medium.size() + got.lora_name.size() + got.spec_kind.size(), 0u);
    EXPECT_EQ(got.locality.size() + got.ownership.size() + got.session_id.size(), 0u);
    EXPECT_EQ(got.pods.size() + got.pods_model.size(), 0u);
  }
}

TEST(EventDecoder, ReadsEveryFieldOfAMapInAnyOrder) {
  const FullEvents full;
  std::string forward;
  EncodeEventBatch(full.batch(), {}, &forward);
  const Decoded straight(forward);
  EXPECT_TRUE(SameBatch(straight.batch, full.batch(), {}));

  // The pairs of the stored event again, last one first.
  MsgpackReader reader(BytesOf(forward));
  uint32_t count = 0;
  ASSERT_TRUE(reader.Array(&count) && reader.Skip() && reader.Array(&count) && reader.Map(&count));
  std::string backward;
  for (uint32_t i = 0; i < count; ++i) {
    const size_t start = forward.size() - reader.remaining();
    ASSERT_TRUE(reader.Skip() && reader.Skip());
    backward.insert(0, forward, start, forward.size() - reader.remaining() - start);
  }
  const Decoded reversed(BatchOf({Written([&](MsgpackWriter& w) { w.Map(count); }) + backward}));
  EXPECT_TRUE(SameEvent(reversed.only(), full.batch().events[0], {}));
}

TEST(EventDecoder, RefusesEachFieldOfAnotherKind) {
  const std::pair<const char*, std::string> stored[] = {
      {"parent_block_hash", Raw("\x90")},
      {"token_ids", Raw("\x05")},
      {"block_size", Raw("\xff")},
      {"block_size", Raw("\xcf\x00\x00\x00\x01\x00\x00\x00\x00")},
      {"lora_id", Raw("\xa1x")},
      {"medium", Raw("\x03")},
      {"lora_name", Raw("\x90")},
      {"extra_keys", Raw("\x91\xa3img")},
      {"extra_keys", Raw("\x05")},
      {"group_idx", Raw("\xff")},
      {"group_idx", Raw("\xce\x80\x00\x00\x00")},
      {"kv_cache_spec_kind", Raw("\x01")},
      {"kv_cache_spec_sliding_window", Raw("\xff")},
      {"locality", Raw("\x01")},
      {"ownership", Raw("\x01")},
      {"session_id", Raw("\x01")},
      {"pods", Raw("\xa1p")},
      {"pods", Raw("\x91\x01")},
      {"pods", Raw("\x91\xa0")},
      {"pods", "\x91\xda\x01\x01" + std::string(257, 'p')},
      {"pods_model", Raw("\x01")},
      {"pods_model", Raw("\xa0")},
      {"type", Raw("\x01")},
  };
  for (const auto& [name, value] : stored) {
    const Decoded decoded(BatchOf({MapEvent("BlockStored", name, value), kCleared}));
    EXPECT_EQ(decoded.batch.bad, 1u) << name;
    EXPECT_EQ(decoded.batch.events.size(), 1u) << name;
    EXPECT_EQ(decoded.skipped.at(0).second.substr(0, std::string(name).size() + 2),
              std::string(name) + ": ");
  }
  for (const char* name : {"reason", "remaining_copy_counts"}) {
    const Decoded removed(BatchOf({MapEvent("BlockRemoved", name, "\x01")}));
    EXPECT_EQ(removed.batch.bad, 1u) << name;
    const Decoded other(BatchOf({MapEvent("BlockStored", name, "\x01")}));
    EXPECT_EQ(other.batch.bad, 0u) << name << " is no field of a stored event";
  }
  const Decoded removed(BatchOf({MapEvent("BlockRemoved", "token_ids", "\x01")}));
  EXPECT_EQ(removed.batch.bad, 0u);
}

TEST(EventDecoder, ReadsOnlyItsOwnFieldsOfARemovedEvent) {
  const Decoded decoded(BatchOf({MapEvent("BlockRemoved", "token_ids", "\x92\x01\x02")}));
  EXPECT_TRUE(decoded.only().tokens.empty());
  EXPECT_EQ(decoded.only().hashes.size(), 1u);
}

TEST(EventDecoder, WantsAsManyRemainingCopiesAsHashes) {
  const Decoded good(BatchOf({MapEvent("BlockRemoved", "remaining_copy_counts", "\x91\x02")}));
  EXPECT_EQ(good.only().remaining_copies[0], 2u);
  const Decoded bad(BatchOf({MapEvent("BlockRemoved", "remaining_copy_counts", "\x92\x02\x03")}));
  EXPECT_EQ(bad.batch.bad, 1u);
}

TEST(EventDecoder, WantsBlockHashesButNotAnyHash) {
  const Decoded without(
      BatchOf({"\x81\xa4type\xab"
               "BlockStored",
               "\x81\xa4type\xac"
               "BlockRemoved"}));
  EXPECT_EQ(without.batch.bad, 2u);
  EXPECT_EQ(without.skipped.at(0).second, "no block_hashes");
  const Decoded none(BatchOf({RemovedOf("\xc0"), RemovedOf("\x90")}));
  EXPECT_EQ(none.batch.events.size(), 2u);
  EXPECT_TRUE(none.batch.events[0].hashes.empty());
}

TEST(EventDecoder, KeepsTheNeighboursOfEveryBadEvent) {
  const std::string bad[] = {Raw("\xc0"),
                             Raw("\x05"),
                             Raw("\xa1x"),
                             Raw("\x90"),
                             Raw("\x80"),
                             Raw("\x91\x01"),
                             Raw("\x91\xc0"),
                             Raw("\x91\xab"
                                 "BlockStored"),
                             Raw("\x81\x01\x02"),
                             Raw("\xc4\x01\xc1"),
                             Raw("\xc4\x02\x92\x01"),
                             Raw("\xd4\x01\x02"),
                             Raw("\x81\xa4type\xc0"),
                             Raw("\xc4\x03\x91\xb0"
                                 "A")};
  for (const std::string& event : bad) {
    const Decoded decoded(BatchOf({kCleared, event, RemovedOf("\x91\x07")}));
    EXPECT_EQ(decoded.batch.bad, 1u) << testing::PrintToString(event);
    ASSERT_EQ(decoded.batch.events.size(), 2u) << testing::PrintToString(event);
    EXPECT_EQ(decoded.batch.events[1].hashes[0], 7u);
    EXPECT_EQ(decoded.batch.rank, 3);
    EXPECT_EQ(decoded.skipped.at(0).first, 1u);
    EXPECT_FALSE(decoded.skipped.at(0).second.empty());
  }
}

TEST(EventDecoder, CountsEventsOfUnknownTypesApart) {
  const std::string array =
      "\x92\xaa"
      "BlockMoved\x91\x07";
  const std::string map = MapEvent("BlockMoved", "medium", "\x05");
  const Decoded decoded(BatchOf({array, kCleared, map}));
  EXPECT_EQ(decoded.batch.unknown, 2u);
  EXPECT_EQ(decoded.batch.bad, 0u);
  EXPECT_EQ(decoded.only().type, EventType::kCleared);
  ASSERT_EQ(decoded.skipped.size(), 2u);
  EXPECT_EQ(decoded.skipped[0], (std::pair<size_t, std::string>(0, "unknown type: BlockMoved")));
  EXPECT_EQ(decoded.skipped[1], (std::pair<size_t, std::string>(2, "unknown type: BlockMoved")));
}

TEST(EventDecoder, PassesFieldsBehindThoseItKnows) {
  const std::string stored = Written([](MsgpackWriter& w) {
    w.Array(17);
    w.Str("BlockStored");
    w.Array(1);
    w.Uint(7);
    w.Nil();
    w.Array(0);
    w.Uint(4);
    for (int i = 5; i < 12; ++i) w.Nil();
    w.Uint(128);  // where vLLM has the locality, ATOM has a number
    w.Map(1);
    w.Uint(1);
    w.Uint(2);
    w.Str("session");
    w.Str("later");
    w.Array(0);
  });
  const Decoded decoded(BatchOf({stored}));
  EXPECT_EQ(decoded.only().session_id, "session");
  EXPECT_TRUE(decoded.only().locality.empty() && decoded.only().ownership.empty());
}

TEST(EventDecoder, ReadsAnEventThatWasPackedInBytes) {
  const std::string inner = RemovedOf("\x91\x07");
  for (const std::string& event : {inner, MapEvent("BlockRemoved", "medium",
                                                   "\xa3"
                                                   "CPU")}) {
    const Decoded decoded(BatchOf({Written([&](MsgpackWriter& w) { w.Bin(BytesOf(event)); })}));
    EXPECT_EQ(decoded.only().hashes[0], 7u);
    const Decoded more(
        BatchOf({Written([&](MsgpackWriter& w) { w.Bin(BytesOf(event + '\x01')); })}));
    EXPECT_EQ(more.batch.bad, 1u);
  }
}

TEST(EventDecoder, ReadsABatchAsAnArrayOfTwoOrMoreAndAsAMap) {
  const std::string events = std::string("\x91") + kCleared;
  const std::string ts = Raw("\xcb\x3f\xf8\0\0\0\0\0\0");
  const std::pair<std::string, int32_t> batches[] = {
      {"\x92" + ts + events, -1},
      {"\x93" + ts + events + "\xc0", -1},
      {"\x93" + ts + events + "\x02", 2},
      {"\x95" + ts + events + "\x02\xa1x\xc0", 2},
      {"\x93" + ts + events + "\x02\xc1\xc1", 2},
      {"\x82\xa2ts" + ts +
           "\xa6"
           "events" +
           events,
       -1},
      {"\x84\xa1x\x90\xb2"
       "data_parallel_rank\x02\xa6"
       "events" +
           events + "\xa2ts" + ts,
       2},
      {"\x83\xac"
       "attn_dp_rank\x02\xa6"
       "events" +
           events + "\xa2ts" + ts,
       2},
      {"\x93\xca\x3f\xc0" + std::string(2, '\0') + events + "\x02", 2},
  };
  for (const auto& [payload, rank] : batches) {
    const Decoded decoded(payload);
    EXPECT_EQ(decoded.batch.timestamp, 1.5);
    EXPECT_EQ(decoded.batch.rank, rank);
    EXPECT_EQ(decoded.only().type, EventType::kCleared);
  }
  EXPECT_EQ(Decoded("\x93\x07\xc0\xc0").batch.timestamp, 7);
  EXPECT_EQ(Decoded("\x93\xff\x90\xc0").batch.timestamp, -1);
}

TEST(EventDecoder, RefusesWhatIsNoBatch) {
  const std::string others[] = {"",
                                "\xc0",
                                "\x05",
                                "\xff",
                                "\x90",
                                "\x91\x01",
                                "\x80",
                                "\x81\xa2ts\x01",
                                "\x92\x01\x05",
                                "\x92\xa1x\x90",
                                "\x93\x01\x90\xff",
                                "\x93\x01\x90\xa1x",
                                "\x92\x01\x91",
                                "\x93\x01\x91\xc1\x01",
                                "\x93\x01\xdd\xff\xff\xff\xff\x01"};
  for (const std::string& other : others) {
    EXPECT_FALSE(Decodes(other)) << testing::PrintToString(other);
  }
}

TEST(EventDecoder, RefusesEveryCutOfABatch) {
  const FullEvents full;
  for (const bool array : {false, true}) {
    std::string payload;
    EncodeEventBatch(full.batch(), {.array = array}, &payload);
    EXPECT_TRUE(Decodes(payload));
    for (size_t size = 0; size < payload.size(); ++size) {
      EXPECT_FALSE(Decodes(payload.substr(0, size))) << size;
    }
  }
}

TEST(EventDecoder, HoldsItsLimits) {
  std::string many = Written([](MsgpackWriter& w) {
    w.Array(2);
    w.Uint(1);
    w.Array(EventDecoder::kMaxEvents + 1);
  });
  EXPECT_FALSE(Decodes(many + std::string(EventDecoder::kMaxEvents + 1, '\x90')));
  EXPECT_FALSE(Decodes(std::string(EventDecoder::kMaxBatchBytes + 1, '\x90')));

  const auto zeros = [](uint32_t count) {
    return Written([&](MsgpackWriter& w) { w.Array(count); }) + std::string(count, '\x01');
  };
  const Decoded decoded(BatchOf({RemovedOf(zeros(EventDecoder::kMaxHashes)),
                                 RemovedOf(zeros(EventDecoder::kMaxHashes + 1)),
                                 StoredWithTokens(zeros(EventDecoder::kMaxTokens)),
                                 StoredWithTokens(zeros(EventDecoder::kMaxTokens + 1))}));
  ASSERT_EQ(decoded.batch.events.size(), 2u);
  EXPECT_EQ(decoded.batch.bad, 2u);
  EXPECT_EQ(decoded.batch.events[0].hashes.size(), EventDecoder::kMaxHashes);
  EXPECT_EQ(decoded.batch.events[1].tokens.size(), EventDecoder::kMaxTokens);
}

TEST(EventDecoder, EndsOnRandomBytes) {
  std::mt19937_64 random(5);
  const FullEvents full;
  std::string payload;
  EncodeEventBatch(full.batch(), {.array = false, .int_hashes = false}, &payload);
  EventDecoder decoder;
  EventBatch batch;
  size_t decoded = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string changed = payload;
    for (uint64_t n = random() % 4; n != ~uint64_t{0}; --n) {
      changed[random() % changed.size()] = static_cast<char>(random());
    }
    decoded += decoder.Decode(BytesOf(changed), &batch).has_value() ? 1 : 0;
    ASSERT_LE(batch.events.size(), full.batch().events.size() + 16);
  }
  EXPECT_GT(decoded, 0u);
}

TEST(EventSequence, IsEightBigEndianBytes) {
  EXPECT_EQ(EncodeSequence(0x0102030405060708), "\x01\x02\x03\x04\x05\x06\x07\x08");
  for (const uint64_t sequence : {uint64_t{0}, uint64_t{258}, ~uint64_t{0}}) {
    EXPECT_EQ(DecodeSequence(BytesOf(EncodeSequence(sequence))), sequence);
  }
  EXPECT_FALSE(DecodeSequence(BytesOf(Raw("1234567"))));
  EXPECT_FALSE(DecodeSequence(BytesOf(Raw("123456789"))));
  EXPECT_FALSE(DecodeSequence({}));
}

}  // namespace
}  // namespace headrace::wire
