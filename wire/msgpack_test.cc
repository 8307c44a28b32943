#include "wire/msgpack.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <vector>

namespace headrace::wire {
namespace {

using Bytes = std::vector<uint8_t>;

MsgpackReader ReaderOf(const std::string& text) {
  return MsgpackReader({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

Bytes Written(auto write) {
  std::string out;
  MsgpackWriter writer(&out);
  write(writer);
  return {out.begin(), out.end()};
}

Bytes UintBytes(uint64_t value) {
  return Written([&](MsgpackWriter& w) { w.Uint(value); });
}
Bytes IntBytes(int64_t value) {
  return Written([&](MsgpackWriter& w) { w.Int(value); });
}

TEST(MsgpackWriter, TakesTheShortestUnsignedForm) {
  EXPECT_EQ(UintBytes(0), (Bytes{0x00}));
  EXPECT_EQ(UintBytes(127), (Bytes{0x7f}));
  EXPECT_EQ(UintBytes(128), (Bytes{0xcc, 0x80}));
  EXPECT_EQ(UintBytes(255), (Bytes{0xcc, 0xff}));
  EXPECT_EQ(UintBytes(256), (Bytes{0xcd, 0x01, 0x00}));
  EXPECT_EQ(UintBytes(65535), (Bytes{0xcd, 0xff, 0xff}));
  EXPECT_EQ(UintBytes(65536), (Bytes{0xce, 0, 1, 0, 0}));
  EXPECT_EQ(UintBytes(0xffffffff), (Bytes{0xce, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_EQ(UintBytes(uint64_t{1} << 32), (Bytes{0xcf, 0, 0, 0, 1, 0, 0, 0, 0}));
  EXPECT_EQ(UintBytes(~uint64_t{0}), (Bytes{0xcf, 255, 255, 255, 255, 255, 255, 255, 255}));
}

TEST(MsgpackWriter, TakesTheShortestSignedForm) {
  EXPECT_EQ(IntBytes(5), (Bytes{0x05}));
  EXPECT_EQ(IntBytes(200), (Bytes{0xcc, 200}));
  EXPECT_EQ(IntBytes(-1), (Bytes{0xff}));
  EXPECT_EQ(IntBytes(-32), (Bytes{0xe0}));
  EXPECT_EQ(IntBytes(-33), (Bytes{0xd0, 0xdf}));
  EXPECT_EQ(IntBytes(-128), (Bytes{0xd0, 0x80}));
  EXPECT_EQ(IntBytes(-129), (Bytes{0xd1, 0xff, 0x7f}));
  EXPECT_EQ(IntBytes(-32768), (Bytes{0xd1, 0x80, 0x00}));
  EXPECT_EQ(IntBytes(-32769), (Bytes{0xd2, 0xff, 0xff, 0x7f, 0xff}));
  EXPECT_EQ(IntBytes(std::numeric_limits<int64_t>::min()),
            (Bytes{0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(MsgpackWriter, TakesTheShortestHeads) {
  const auto head = [](auto write) {
    Bytes bytes = Written(write);
    bytes.resize(std::min<size_t>(bytes.size(), 5));
    return bytes;
  };
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Array(15); }), (Bytes{0x9f}));
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Array(16); }), (Bytes{0xdc, 0, 16}));
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Array(65536); }), (Bytes{0xdd, 0, 1, 0, 0}));
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Map(15); }), (Bytes{0x8f}));
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Map(16); }), (Bytes{0xde, 0, 16}));
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Map(65536); }), (Bytes{0xdf, 0, 1, 0, 0}));
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Str(""); }), (Bytes{0xa0}));
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Str(std::string(31, 'x')); })[0], 0xbf);
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Str(std::string(32, 'x')); })[0], 0xd9);
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Str(std::string(256, 'x')); })[0], 0xda);
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Str(std::string(65536, 'x')); })[0], 0xdb);
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Bin({}); }), (Bytes{0xc4, 0}));
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Bin(Bytes(256)); })[0], 0xc5);
  EXPECT_EQ(head([](MsgpackWriter& w) { w.Bin(Bytes(65536)); })[0], 0xc6);
}

TEST(MsgpackReader, AcceptsEveryIntegerWidth) {
  const std::vector<Bytes> sevens = {{0x07},
                                     {0xcc, 7},
                                     {0xcd, 0, 7},
                                     {0xce, 0, 0, 0, 7},
                                     {0xcf, 0, 0, 0, 0, 0, 0, 0, 7},
                                     {0xd0, 7},
                                     {0xd1, 0, 7},
                                     {0xd2, 0, 0, 0, 7},
                                     {0xd3, 0, 0, 0, 0, 0, 0, 0, 7}};
  for (const Bytes& bytes : sevens) {
    uint64_t value = 0;
    int64_t signed_value = 0;
    MsgpackReader reader(bytes);
    EXPECT_TRUE(reader.Uint(&value) && value == 7 && reader.AtEnd());
    MsgpackReader again(bytes);
    EXPECT_TRUE(again.Int(&signed_value) && signed_value == 7 && again.AtEnd());
  }
}

TEST(MsgpackReader, RefusesAnIntegerThatDoesNotFit) {
  uint64_t value = 9;
  int64_t signed_value = 9;
  EXPECT_FALSE(MsgpackReader(IntBytes(-1)).Uint(&value));
  EXPECT_FALSE(MsgpackReader(IntBytes(-1000)).Uint(&value));
  EXPECT_FALSE(MsgpackReader(UintBytes(uint64_t{1} << 63)).Int(&signed_value));
  EXPECT_TRUE(MsgpackReader(UintBytes((uint64_t{1} << 63) - 1)).Int(&signed_value));
  EXPECT_EQ(value, 9u);
}

TEST(MsgpackReader, ReadsBackRandomIntegers) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const uint64_t value = random() >> (random() % 64);
    const int64_t signed_value = static_cast<int64_t>(random()) >> (random() % 64);
    uint64_t got = 0;
    int64_t got_signed = 0;
    ASSERT_TRUE(MsgpackReader(UintBytes(value)).Uint(&got));
    ASSERT_TRUE(MsgpackReader(IntBytes(signed_value)).Int(&got_signed));
    ASSERT_EQ(got, value);
    ASSERT_EQ(got_signed, signed_value);
  }
}

TEST(MsgpackReader, GivesViewsOfTheInput) {
  std::string out;
  MsgpackWriter writer(&out);
  writer.Str("name");
  writer.Bin(Bytes{1, 2, 3});
  MsgpackReader reader = ReaderOf(out);
  std::string_view text;
  std::span<const uint8_t> bytes;
  ASSERT_TRUE(reader.Str(&text) && reader.Bin(&bytes));
  EXPECT_EQ(text, "name");
  EXPECT_EQ(text.data(), out.data() + 1);
  EXPECT_EQ(Bytes(bytes.begin(), bytes.end()), (Bytes{1, 2, 3}));
  EXPECT_TRUE(reader.AtEnd());
}

TEST(MsgpackReader, StaysInPlaceWhenTheKindIsAnother) {
  const Bytes bytes = {0xc0, 0xc3};
  MsgpackReader reader(bytes);
  uint64_t value = 0;
  bool flag = false;
  std::string_view text;
  std::span<const uint8_t> bin;
  uint32_t count = 0;
  EXPECT_FALSE(reader.Uint(&value) || reader.Bool(&flag) || reader.Str(&text) || reader.Bin(&bin) ||
               reader.Array(&count) || reader.Map(&count));
  EXPECT_EQ(reader.remaining(), 2u);
  EXPECT_TRUE(reader.Nil());
  EXPECT_FALSE(reader.Nil());
  EXPECT_TRUE(reader.Bool(&flag) && flag);
  EXPECT_FALSE(reader.Skip());
}

TEST(MsgpackReader, NeverTrustsADeclaredCount) {
  const Bytes array = {0xdd, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5};
  const Bytes map = {0xdf, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, 5};
  const Bytes odd_map = {0x83, 1, 2, 3, 4, 5};
  const Bytes bin = {0xc6, 0xff, 0xff, 0xff, 0xff, 1};
  uint32_t count = 0;
  std::span<const uint8_t> body;
  EXPECT_FALSE(MsgpackReader(array).Array(&count));
  EXPECT_FALSE(MsgpackReader(map).Map(&count));
  EXPECT_FALSE(MsgpackReader(odd_map).Map(&count));
  EXPECT_FALSE(MsgpackReader(bin).Bin(&body));
  for (const Bytes& bytes : {array, map, odd_map, bin}) EXPECT_FALSE(MsgpackReader(bytes).Skip());
  EXPECT_EQ(count, 0u);
}

TEST(MsgpackReader, SkipsEveryKind) {
  const std::vector<Bytes> values = {
      {0x05},
      {0xe5},
      {0xc0},
      {0xc2},
      {0xca, 0, 0, 0, 0},
      {0xcb, 0, 0, 0, 0, 0, 0, 0, 0},
      {0xd2, 0, 0, 0, 0},
      {0xa2, 'h', 'i'},
      {0xd9, 1, 'x'},
      {0xc4, 2, 0, 0},
      {0xc7, 2, 9, 0, 0},
      {0xc8, 0, 1, 9, 0},
      {0xd4, 9, 0},
      {0xd8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
      {0x93, 1, 0x91, 2, 0x90},
      {0x82, 1, 2, 0xa1, 'k', 0x91, 0xc0},
      {0xdc, 0, 2, 0xc0, 0xc0},
      {0xde, 0, 1, 0xc0, 0xc0},
  };
  for (const Bytes& value : values) {
    Bytes followed = value;
    followed.push_back(0x2a);
    MsgpackReader reader(followed);
    EXPECT_TRUE(reader.Skip()) << int{value[0]};
    EXPECT_EQ(reader.remaining(), 1u) << int{value[0]};
    for (size_t size = 0; size < value.size(); ++size) {
      MsgpackReader cut({value.data(), size});
      EXPECT_FALSE(cut.Skip()) << int{value[0]} << " cut to " << size;
      EXPECT_EQ(cut.remaining(), size);
    }
  }
  const Bytes never_used = {0xc1};
  EXPECT_FALSE(MsgpackReader(never_used).Skip());
}

TEST(MsgpackReader, SkipsToItsDepthAndNoDeeper) {
  Bytes nested(MsgpackReader::kMaxDepth, 0x91);
  nested.push_back(0xc0);
  EXPECT_TRUE(MsgpackReader(nested).Skip());
  nested.insert(nested.begin(), 0x91);
  EXPECT_FALSE(MsgpackReader(nested).Skip());
  const Bytes very_deep(1 << 20, 0x91);
  EXPECT_FALSE(MsgpackReader(very_deep).Skip());
}

TEST(MsgpackReader, EndsOnRandomBytes) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20000; ++i) {
    Bytes bytes(random() % 40);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    MsgpackReader reader(bytes);
    size_t before = bytes.size() + 1;
    while (reader.remaining() < before) {
      before = reader.remaining();
      if (!reader.Skip()) break;
    }
    ASSERT_LE(reader.remaining(), bytes.size());
  }
}

}  // namespace
}  // namespace headrace::wire
