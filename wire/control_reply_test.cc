// What replies are refused for, and what a newer server may say.
#include <gtest/gtest.h>

#include <functional>

#include "wire/control.h"
#include "wire/msgpack.h"

namespace headrace::wire {
namespace {

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// [type, 1, 2, code, "text", fields...]
std::string Raw(uint64_t type, uint64_t code, uint32_t fields,
                const std::function<void(MsgpackWriter&)>& write) {
  std::string payload;
  MsgpackWriter writer(&payload);
  writer.Array(5 + fields);
  writer.Uint(type);
  writer.Uint(1);
  writer.Uint(2);
  writer.Uint(code);
  writer.Str("text");
  write(writer);
  return payload;
}

void Nothing(MsgpackWriter&) {}

TEST(DecodeReply, ReadsTheHead) {
  const std::string payload = Raw(5, 3, 0, Nothing);
  const auto reply = DecodeReply(BytesOf(payload));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->type, MessageType::kSave);
  EXPECT_EQ(reply->id, 1u);
  EXPECT_EQ(reply->epoch, 2u);
  EXPECT_EQ(reply->code, Errc::kGone);
  EXPECT_EQ(reply->text, "text");
}

TEST(DecodeReply, HasNoBodyWhenAFailureHasNoFields) {
  EXPECT_EQ(DecodeReply(BytesOf(Raw(5, 3, 0, Nothing)))->body.index(), 0u);
}

TEST(DecodeReply, HasADefaultBodyWhenASuccessHasNoFields) {
  const auto reply = DecodeReply(BytesOf(Raw(5, 0, 0, Nothing)));
  ASSERT_TRUE(reply && std::holds_alternative<SaveReply>(reply->body));
  EXPECT_EQ(std::get<SaveReply>(reply->body).stored, 0u);
}

TEST(DecodeReply, KeepsTheCountsOfAFailedSave) {
  const std::string payload = Raw(5, 6, 2, [](MsgpackWriter& w) {
    w.Uint(10);
    w.Uint(20);
  });
  const auto reply = DecodeReply(BytesOf(payload));
  ASSERT_TRUE(reply && std::holds_alternative<SaveReply>(reply->body));
  EXPECT_EQ(std::get<SaveReply>(reply->body).deduped, 20u);
  EXPECT_EQ(std::get<SaveReply>(reply->body).failed, 0u);
}

TEST(DecodeReply, TakesACodeOfANewerServerForAnInternalError) {
  EXPECT_EQ(DecodeReply(BytesOf(Raw(10, 15, 0, Nothing)))->code, Errc::kInternal);
  EXPECT_EQ(DecodeReply(BytesOf(Raw(10, 4000000000, 0, Nothing)))->code, Errc::kInternal);
  const std::string answer = Raw(4, 0, 1, [](MsgpackWriter& w) {
    w.Array(1);
    w.Array(4);
    for (int i = 0; i < 3; ++i) w.Uint(1);
    w.Uint(77);
  });
  const auto reply = DecodeReply(BytesOf(answer));
  ASSERT_TRUE(reply);
  EXPECT_EQ(std::get<QueryReply>(reply->body).answers[0].code, Errc::kInternal);
}

TEST(DecodeReply, KeepsATypeOfANewerServer) {
  const std::string payload = Raw(200, 13, 1, [](MsgpackWriter& w) { w.Array(0); });
  const auto reply = DecodeReply(BytesOf(payload));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->type, static_cast<MessageType>(200));
  EXPECT_EQ(reply->code, Errc::kUnsupported);
  EXPECT_EQ(reply->body.index(), 0u);
}

TEST(DecodeReply, NamesTheFieldThatIsWrong) {
  const auto what = [](const std::string& payload) -> std::string {
    const auto reply = DecodeReply(BytesOf(payload));
    if (reply) return "";
    EXPECT_EQ(reply.error().code, Errc::kInvalid);
    return reply.error().what;
  };
  EXPECT_EQ(what(Raw(5, 0, 1, [](MsgpackWriter& w) { w.Str("x"); })),
            "SaveReply.stored: not an unsigned 32-bit integer");
  EXPECT_EQ(what(Raw(12, 0, 1, [](MsgpackWriter& w) { w.Uint(1); })),
            "PurgeReply.found: not a bool");
  EXPECT_EQ(what(Raw(13, 0, 1, [](MsgpackWriter& w) { w.Uint(1); })),
            "StatusReply.json: not a string");
  EXPECT_EQ(what(Raw(4, 0, 1,
                     [](MsgpackWriter& w) {
                       w.Array(kMaxQueries + 1);
                       for (size_t i = 0; i <= kMaxQueries; ++i) w.Array(0);
                     })),
            "QueryReply.answers: more than 1024 answers");
  EXPECT_EQ(what(Raw(256, 0, 0, Nothing)), "reply: type is more than 255");
  EXPECT_EQ(what(std::string("\x94\x01\x01\x01\x00", 5)),
            "reply: not an array [type, id, epoch, errc, text, ...]");
  EXPECT_EQ(what("\xc0"), "reply: not an array");
}

TEST(EncodeReply, DiesOfABodyThatAnswersAnotherType) {
  std::string out;
  const ReplyFrame frame{.type = MessageType::kSave, .body = LoadReply{}};
  EXPECT_DEATH(EncodeReply(frame, &out), "check failed");
}

}  // namespace
}  // namespace headrace::wire
