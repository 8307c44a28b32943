#include "wire/control.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "wire/control_golden.h"
#include "wire/control_samples.h"
#include "wire/msgpack.h"

namespace headrace::wire {
namespace {

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

std::string Encoded(const RequestFrame& frame) {
  std::string out;
  EncodeRequest(frame, &out);
  return out;
}
std::string Encoded(const ReplyFrame& frame) {
  std::string out;
  EncodeReply(frame, &out);
  return out;
}

Result<RequestFrame> Decoded(const RequestFrame&, std::span<const uint8_t> payload) {
  return DecodeRequest(payload);
}
Result<ReplyFrame> Decoded(const ReplyFrame&, std::span<const uint8_t> payload) {
  return DecodeReply(payload);
}

std::string Hex(const std::string& bytes) {
  std::string hex;
  for (const char c : bytes) {
    char digits[3];
    std::snprintf(digits, sizeof(digits), "%02x", static_cast<unsigned char>(c));
    hex += digits;
  }
  return hex;
}

// `[fields..., trailing values of a newer version]` in place of the frame's array.
std::string WithTrailingFields(const std::string& encoded) {
  MsgpackReader reader(BytesOf(encoded).subspan(4));
  uint32_t count = 0;
  EXPECT_TRUE(reader.Array(&count));
  std::string out;
  MsgpackWriter writer(&out);
  writer.Array(count + 3);
  out += encoded.substr(encoded.size() - reader.remaining());
  writer.Str("newer");
  writer.Map(1);
  writer.Uint(1);
  writer.Array(0);
  writer.Nil();
  return out;
}

template <typename Frame>
void ExpectRoundTrip(const Frame& frame) {
  const std::string encoded = Encoded(frame);
  const auto decoded = Decoded(frame, BytesOf(encoded).subspan(4));
  ASSERT_TRUE(decoded) << decoded.error().what;
  EXPECT_EQ(decoded->body.index(), frame.body.index());
  EXPECT_EQ(Hex(Encoded(*decoded)), Hex(encoded));
}

// Every prefix of the payload, copied so that a sanitizer sees the smallest over-read.
template <typename Frame>
void ExpectTruncationsFail(const Frame& frame) {
  const std::string encoded = Encoded(frame);
  for (size_t size = 0; size + 4 < encoded.size(); ++size) {
    const auto all = BytesOf(encoded).subspan(4, size);
    const std::vector<uint8_t> cut(all.begin(), all.end());
    const auto decoded = Decoded(frame, cut);
    ASSERT_FALSE(decoded) << "type " << frame.body.index() << " cut to " << size;
    ASSERT_EQ(decoded.error().code, Errc::kInvalid);
    ASSERT_STRNE(decoded.error().what, "");
  }
}

// The same frame with only the first of its fields, all lengths being right.
template <typename Frame>
void ExpectMissingFieldsTakeDefaults(const Frame& frame, uint32_t head_fields) {
  const std::string encoded = Encoded(frame);
  MsgpackReader all(BytesOf(encoded).subspan(4));
  uint32_t count = 0;
  ASSERT_TRUE(all.Array(&count));
  for (uint32_t keep = 0; keep < count; ++keep) {
    MsgpackReader reader = all;
    for (uint32_t i = 0; i < keep; ++i) ASSERT_TRUE(reader.Skip());
    std::string payload;
    MsgpackWriter(&payload).Array(keep);
    payload +=
        encoded.substr(encoded.size() - all.remaining(), all.remaining() - reader.remaining());
    const auto decoded = Decoded(frame, BytesOf(payload));
    if (keep < head_fields) {
      EXPECT_FALSE(decoded);
    } else if (decoded) {
      EXPECT_EQ(decoded->id, frame.id);
    } else {
      EXPECT_NE(std::string(decoded.error().what).find(": "), std::string::npos);
    }
  }
}

TEST(Control, WritesTheGoldenRequests) {
  const auto frames = SampleRequests();
  ASSERT_EQ(frames.size(), std::size(kGoldenRequests));
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_EQ(static_cast<size_t>(TypeOf(frames[i].body)), i + 1);
    EXPECT_EQ(Hex(Encoded(frames[i])), kGoldenRequests[i]) << "request " << i + 1;
  }
}

TEST(Control, WritesTheGoldenReplies) {
  const auto frames = SampleReplies();
  ASSERT_EQ(frames.size(), std::size(kGoldenReplies));
  for (size_t i = 0; i < frames.size(); ++i) {
    EXPECT_EQ(Hex(Encoded(frames[i])), kGoldenReplies[i]) << "reply " << i;
  }
}

TEST(Control, WritesTheExampleOfTheProtocolPage) {
  const std::vector<uint8_t> hashes = {0x11, 0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22};
  const QueryItem item{.hashes = HashList(hashes.data(), 4, 2), .want_lease = true};
  const RequestFrame frame{4, Query{.registration = 7, .items = {item}}};
  EXPECT_EQ(Hex(Encoded(frame)), "19000000960404070001919600009204c4081111111122222222c3c200");
}

TEST(Control, ReadsBackTheSamples) {
  for (const RequestFrame& frame : SampleRequests()) ExpectRoundTrip(frame);
  for (const ReplyFrame& frame : SampleReplies()) ExpectRoundTrip(frame);
}

TEST(Control, ReadsBackRandomMessages) {
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    RandomMessages random(seed);
    ExpectRoundTrip(random.Request());
    ExpectRoundTrip(random.Reply());
    if (HasFailure()) FAIL() << "seed " << seed;
  }
}

TEST(Control, FailsOnEveryTruncation) {
  for (const RequestFrame& frame : SampleRequests()) ExpectTruncationsFail(frame);
  for (const ReplyFrame& frame : SampleReplies()) ExpectTruncationsFail(frame);
  for (uint64_t seed = 0; seed < 100; ++seed) {
    RandomMessages random(seed);
    ExpectTruncationsFail(random.Request());
    ExpectTruncationsFail(random.Reply());
  }
}

TEST(Control, GivesDefaultsForMissingTrailingFields) {
  for (const RequestFrame& frame : SampleRequests()) ExpectMissingFieldsTakeDefaults(frame, 2);
  for (const ReplyFrame& frame : SampleReplies()) ExpectMissingFieldsTakeDefaults(frame, 5);
}

TEST(Control, IgnoresExtraTrailingFields) {
  for (const RequestFrame& frame : SampleRequests()) {
    const std::string payload = WithTrailingFields(Encoded(frame));
    const auto decoded = DecodeRequest(BytesOf(payload));
    ASSERT_TRUE(decoded) << decoded.error().what;
    EXPECT_EQ(Hex(Encoded(*decoded)), Hex(Encoded(frame)));
  }
  for (const ReplyFrame& frame : SampleReplies()) {
    // Extra fields of a reply without body belong to a body that it does not have.
    const std::string payload = WithTrailingFields(Encoded(frame));
    const auto decoded = DecodeReply(BytesOf(payload));
    if (frame.body.index() == 0 && ReplyBodyIndex(frame.type) != 0) continue;
    ASSERT_TRUE(decoded) << decoded.error().what;
    EXPECT_EQ(Hex(Encoded(*decoded)), Hex(Encoded(frame)));
  }
}

TEST(Control, RefusesBytesAfterTheMessage) {
  for (const RequestFrame& frame : SampleRequests()) {
    const std::string encoded = Encoded(frame) + '\0';
    EXPECT_FALSE(DecodeRequest(BytesOf(encoded).subspan(4)));
  }
  for (const ReplyFrame& frame : SampleReplies()) {
    const std::string encoded = Encoded(frame) + '\0';
    EXPECT_FALSE(DecodeReply(BytesOf(encoded).subspan(4)));
  }
}

TEST(Control, AppendsFrames) {
  std::string out;
  for (const RequestFrame& frame : SampleRequests()) EncodeRequest(frame, &out);
  std::span<const uint8_t> rest = BytesOf(out);
  for (const RequestFrame& frame : SampleRequests()) {
    const auto length = PeekFrame(rest, kMaxFrameBytes);
    ASSERT_TRUE(length);
    const auto decoded = DecodeRequest(rest.subspan(4, *length));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(decoded->id, frame.id);
    rest = rest.subspan(4 + *length);
  }
  EXPECT_TRUE(rest.empty());
}

TEST(Control, NeverCrashesOnChangedBytes) {
  std::mt19937_64 random(8);
  int accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    RandomMessages messages(random());
    std::string request = Encoded(messages.Request());
    std::string reply = Encoded(messages.Reply());
    for (uint64_t change = random() % 4 + 1; change > 0; --change) {
      request[4 + random() % (request.size() - 4)] = static_cast<char>(random());
      reply[4 + random() % (reply.size() - 4)] = static_cast<char>(random());
    }
    const auto decoded = DecodeRequest(BytesOf(request).subspan(4));
    const auto decoded_reply = DecodeReply(BytesOf(reply).subspan(4));
    if (decoded) ExpectRoundTrip(*decoded);
    if (decoded_reply && decoded_reply->body.index() != 0) ExpectRoundTrip(*decoded_reply);
    accepted += decoded.has_value() + decoded_reply.has_value();
  }
  EXPECT_GT(accepted, 1000);
}

TEST(PeekFrame, WaitsForFourBytes) {
  const uint8_t bytes[] = {5, 1, 0, 0, 9};
  for (size_t size = 0; size < 4; ++size) EXPECT_EQ(*PeekFrame({bytes, size}, 1000), kNoFrame);
  EXPECT_EQ(*PeekFrame({bytes, 4}, 1000), 261u);
  EXPECT_EQ(*PeekFrame(bytes, 261), 261u);
}

TEST(PeekFrame, RefusesMoreThanTheLimit) {
  const uint8_t bytes[] = {5, 1, 0, 0};
  EXPECT_EQ(PeekFrame(bytes, 260).error().code, Errc::kLimit);
  const uint8_t most[] = {255, 255, 255, 255};
  EXPECT_EQ(PeekFrame(most, 0xffffffff).error().code, Errc::kLimit);
}

}  // namespace
}  // namespace headrace::wire
