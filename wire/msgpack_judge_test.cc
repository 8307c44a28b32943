// msgpack-c reads what our writer wrote, and our reader reads what msgpack-c packed.
#include <gtest/gtest.h>
#include <msgpack.h>

#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "wire/msgpack.h"

namespace headrace::wire {
namespace {

// A value of any kind that our writer knows, as a tree.
struct Value {
  enum Kind { kNil, kBool, kUint, kInt, kStr, kBin, kArray, kMap } kind = kNil;
  uint64_t number = 0;
  std::string text;
  std::vector<Value> children;  // of a map: key, value, key, value
};

Value RandomValue(std::mt19937_64& random, int depth) {
  Value value{.kind = static_cast<Value::Kind>(random() % (depth > 0 ? 8 : 6))};
  value.number = random() >> (random() % 64);
  if (value.kind == Value::kBool) value.number %= 2;
  if (value.kind == Value::kInt) value.number = ~(value.number / 2);  // negative
  if (value.kind == Value::kStr || value.kind == Value::kBin) {
    const size_t longest = random() % 50 == 0 ? 70000 : 300;
    value.text.assign(random() % longest, static_cast<char>(random()));
  }
  if (value.kind == Value::kArray || value.kind == Value::kMap) {
    value.children.resize((random() % 20) * (value.kind == Value::kMap ? 2 : 1));
    for (Value& child : value.children) child = RandomValue(random, depth - 1);
  }
  return value;
}

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

void Write(const Value& value, MsgpackWriter* out) {
  const auto count = static_cast<uint32_t>(value.children.size());
  if (value.kind == Value::kNil) out->Nil();
  if (value.kind == Value::kBool) out->Bool(value.number != 0);
  if (value.kind == Value::kUint) out->Uint(value.number);
  if (value.kind == Value::kInt) out->Int(static_cast<int64_t>(value.number));
  if (value.kind == Value::kStr) out->Str(value.text);
  if (value.kind == Value::kBin) out->Bin(BytesOf(value.text));
  if (value.kind == Value::kArray) out->Array(count);
  if (value.kind == Value::kMap) out->Map(count / 2);
  for (const Value& child : value.children) Write(child, out);
}

void Pack(const Value& value, msgpack_packer* out) {
  const size_t count = value.children.size();
  if (value.kind == Value::kNil) msgpack_pack_nil(out);
  if (value.kind == Value::kBool)
    value.number != 0 ? msgpack_pack_true(out) : msgpack_pack_false(out);
  if (value.kind == Value::kUint) msgpack_pack_uint64(out, value.number);
  if (value.kind == Value::kInt) msgpack_pack_int64(out, static_cast<int64_t>(value.number));
  if (value.kind == Value::kStr) {
    msgpack_pack_str(out, value.text.size());
    msgpack_pack_str_body(out, value.text.data(), value.text.size());
  }
  if (value.kind == Value::kBin) {
    msgpack_pack_bin(out, value.text.size());
    msgpack_pack_bin_body(out, value.text.data(), value.text.size());
  }
  if (value.kind == Value::kArray) msgpack_pack_array(out, count);
  if (value.kind == Value::kMap) msgpack_pack_map(out, count / 2);
  for (const Value& child : value.children) Pack(child, out);
}

bool SameScalar(const Value& value, const msgpack_object& object) {
  switch (object.type) {
    case MSGPACK_OBJECT_NIL:
      return value.kind == Value::kNil;
    case MSGPACK_OBJECT_BOOLEAN:
      return value.kind == Value::kBool && object.via.boolean == (value.number != 0);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
      return value.kind == Value::kUint && object.via.u64 == value.number;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
      return value.kind == Value::kInt && object.via.i64 == static_cast<int64_t>(value.number);
    case MSGPACK_OBJECT_STR:
      return value.kind == Value::kStr &&
             value.text == std::string_view(object.via.str.ptr, object.via.str.size);
    case MSGPACK_OBJECT_BIN:
      return value.kind == Value::kBin &&
             value.text == std::string_view(object.via.bin.ptr, object.via.bin.size);
    default:
      return false;
  }
}

bool Same(const Value& value, const msgpack_object& object) {
  if (object.type == MSGPACK_OBJECT_ARRAY) {
    const auto& array = object.via.array;
    bool same = value.kind == Value::kArray && array.size == value.children.size();
    for (size_t i = 0; same && i < array.size; ++i) same = Same(value.children[i], array.ptr[i]);
    return same;
  }
  if (object.type == MSGPACK_OBJECT_MAP) {
    const auto& map = object.via.map;
    bool same = value.kind == Value::kMap && map.size == value.children.size() / 2;
    for (size_t i = 0; same && i < map.size; ++i) {
      same = Same(value.children[2 * i], map.ptr[i].key) &&
             Same(value.children[2 * i + 1], map.ptr[i].val);
    }
    return same;
  }
  return SameScalar(value, object);
}

bool ReadSameScalar(const Value& value, MsgpackReader* in) {
  uint64_t number = 0;
  int64_t negative = 0;
  bool flag = false;
  std::string_view text;
  std::span<const uint8_t> bytes;
  switch (value.kind) {
    case Value::kNil:
      return in->Nil();
    case Value::kBool:
      return in->Bool(&flag) && flag == (value.number != 0);
    case Value::kUint:
      return in->Uint(&number) && number == value.number;
    case Value::kInt:
      return in->Int(&negative) && negative == static_cast<int64_t>(value.number);
    case Value::kStr:
      return in->Str(&text) && text == value.text;
    default:
      return in->Bin(&bytes) && std::equal(bytes.begin(), bytes.end(), BytesOf(value.text).begin(),
                                           BytesOf(value.text).end());
  }
}

bool ReadSame(const Value& value, MsgpackReader* in) {
  if (value.kind != Value::kArray && value.kind != Value::kMap) return ReadSameScalar(value, in);
  uint32_t count = 0;
  const bool map = value.kind == Value::kMap;
  if (!(map ? in->Map(&count) : in->Array(&count))) return false;
  if (count != value.children.size() / (map ? 2 : 1)) return false;
  for (const Value& child : value.children) {
    if (!ReadSame(child, in)) return false;
  }
  return true;
}

std::string Packed(const Value& value) {
  msgpack_sbuffer buffer;
  msgpack_sbuffer_init(&buffer);
  msgpack_packer packer;
  msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
  Pack(value, &packer);
  std::string bytes(buffer.data, buffer.size);
  msgpack_sbuffer_destroy(&buffer);
  return bytes;
}

TEST(MsgpackJudge, ReadsWhatOurWriterWrote) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 3000; ++i) {
    const Value value = RandomValue(random, 3);
    std::string bytes;
    MsgpackWriter writer(&bytes);
    Write(value, &writer);
    msgpack_unpacked judged;
    msgpack_unpacked_init(&judged);
    size_t offset = 0;
    ASSERT_EQ(msgpack_unpack_next(&judged, bytes.data(), bytes.size(), &offset),
              MSGPACK_UNPACK_SUCCESS);
    EXPECT_TRUE(Same(value, judged.data)) << "value " << i;
    EXPECT_EQ(offset, bytes.size());
    msgpack_unpacked_destroy(&judged);
  }
}

TEST(MsgpackJudge, WritesWhatOurReaderReadsAndSkips) {
  std::mt19937_64 random(10);
  for (int i = 0; i < 3000; ++i) {
    const Value value = RandomValue(random, 3);
    const std::string bytes = Packed(value);
    MsgpackReader reader(BytesOf(bytes));
    MsgpackReader skipper = reader;
    EXPECT_TRUE(ReadSame(value, &reader) && reader.AtEnd()) << "value " << i;
    EXPECT_TRUE(skipper.Skip() && skipper.AtEnd()) << "value " << i;
  }
}

TEST(MsgpackJudge, WritesTheSameBytes) {
  std::mt19937_64 random(11);
  for (int i = 0; i < 3000; ++i) {
    const Value value = RandomValue(random, 3);
    std::string bytes;
    MsgpackWriter writer(&bytes);
    Write(value, &writer);
    EXPECT_EQ(bytes, Packed(value)) << "value " << i;
  }
}

}  // namespace
}  // namespace headrace::wire
