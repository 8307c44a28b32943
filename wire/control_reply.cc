// Reads replies. A server is trusted with text lengths (views of the frame), not with structure.
#include <array>
#include <utility>

#include "wire/control.h"
#include "wire/control_fields.h"

namespace headrace::wire {
namespace {

// A code of a newer server is a failure of a kind that this side has no word for.
Errc ToErrc(uint32_t value) {
  return value <= static_cast<uint32_t>(Errc::kInternal) ? static_cast<Errc>(value)
                                                         : Errc::kInternal;
}

void ReadAnswer(Decoder* decoder, QueryAnswer* out) {
  Fields in(decoder, "QueryReply.answers[]" HR_NOT_ARRAY);
  uint32_t code = 0;
  in.U32(&out->hit_blocks, "QueryReply.answers[].hit_blocks" HR_NOT_U32);
  in.U64(&out->lease, "QueryReply.answers[].lease" HR_NOT_U64);
  in.U64(&out->handle, "QueryReply.answers[].handle" HR_NOT_U64);
  in.U32(&code, "QueryReply.answers[].code" HR_NOT_U32);
  in.Close();
  out->code = ToErrc(code);
}

void Read(Fields*, EmptyReply*) {}

void Read(Fields* in, HelloReply* out) {
  in->Name(&out->server, "HelloReply.server" HR_NOT_NAME);
  in->U64(&out->capabilities, "HelloReply.capabilities" HR_NOT_U64);
  in->U64(&out->session, "HelloReply.session" HR_NOT_U64);
  in->U32(&out->max_frame, "HelloReply.max_frame" HR_NOT_U32);
  in->I64(&out->lease_ms, "HelloReply.lease_ms" HR_NOT_I64);
}

void Read(Fields* in, RegisterReply* out) {
  in->U64(&out->generation, "RegisterReply.generation" HR_NOT_U64);
  in->U32(&out->registration, "RegisterReply.registration" HR_NOT_U32);
}

void Read(Fields* in, QueryReply* out) {
  in->List(&out->answers, kMaxQueries,
           {"QueryReply.answers" HR_NOT_ARRAY, "QueryReply.answers: more than 1024 answers"},
           ReadAnswer);
}

void Read(Fields* in, SaveReply* out) {
  in->U32(&out->stored, "SaveReply.stored" HR_NOT_U32);
  in->U32(&out->deduped, "SaveReply.deduped" HR_NOT_U32);
  in->U32(&out->refused, "SaveReply.refused" HR_NOT_U32);
  in->U32(&out->failed, "SaveReply.failed" HR_NOT_U32);
}

void Read(Fields* in, LoadReply* out) {
  in->U32(&out->loaded, "LoadReply.loaded" HR_NOT_U32);
  in->U64(&out->bytes, "LoadReply.bytes" HR_NOT_U64);
}

void Read(Fields* in, ClearReply* out) {
  in->U64(&out->generation, "ClearReply.generation" HR_NOT_U64);
}

void Read(Fields* in, PurgeReply* out) {
  in->Bool(&out->found, "PurgeReply.found" HR_NOT_BOOL);
}

void Read(Fields* in, StatusReply* out) {
  in->Text(&out->json, "StatusReply.json" HR_NOT_STRING);
}

template <typename Reply>
void ReadBody(Fields* in, ReplyBody* out) {
  Read(in, &out->emplace<Reply>());
}

using BodyReader = void (*)(Fields*, ReplyBody*);

template <size_t... kIndex>
constexpr auto MakeBodyReaders(std::index_sequence<kIndex...>) {
  return std::array<BodyReader, sizeof...(kIndex)>{
      ReadBody<std::variant_alternative_t<kIndex, ReplyBody>>...};
}
constexpr auto kBodyReaders =
    MakeBodyReaders(std::make_index_sequence<std::variant_size_v<ReplyBody>>());

constexpr uint32_t kHeadFields = 5;

void ReadHead(Fields* in, ReplyFrame* frame) {
  uint32_t type = 0;
  uint32_t code = 0;
  in->Require(in->left() >= kHeadFields, "reply: not an array [type, id, epoch, errc, text, ...]");
  in->U32(&type, "reply: type" HR_NOT_U32);
  in->Require(type <= UINT8_MAX, "reply: type is more than 255");
  in->U64(&frame->id, "reply: id" HR_NOT_U64);
  in->U64(&frame->epoch, "reply: epoch" HR_NOT_U64);
  in->U32(&code, "reply: errc" HR_NOT_U32);
  in->Text(&frame->text, "reply: text" HR_NOT_STRING);
  frame->type = static_cast<MessageType>(type);
  frame->code = ToErrc(code);
}

}  // namespace

size_t ReplyBodyIndex(MessageType type) {
  switch (type) {
    case MessageType::kHello:
      return ReplyBody(HelloReply{}).index();
    case MessageType::kRegister:
      return ReplyBody(RegisterReply{}).index();
    case MessageType::kQuery:
      return ReplyBody(QueryReply{}).index();
    case MessageType::kSave:
      return ReplyBody(SaveReply{}).index();
    case MessageType::kLoad:
      return ReplyBody(LoadReply{}).index();
    case MessageType::kClear:
      return ReplyBody(ClearReply{}).index();
    case MessageType::kPurge:
      return ReplyBody(PurgeReply{}).index();
    case MessageType::kStatus:
      return ReplyBody(StatusReply{}).index();
    default:
      return 0;
  }
}

Result<ReplyFrame> DecodeReply(std::span<const uint8_t> payload) {
  Decoder decoder(payload);
  ReplyFrame frame;
  Fields fields(&decoder, "reply" HR_NOT_ARRAY);
  ReadHead(&fields, &frame);
  // A failure without fields has no body; one with fields (a save that was cut short) has.
  if (decoder.ok() && (frame.code == Errc::kOk || fields.left() > 0)) {
    kBodyReaders[ReplyBodyIndex(frame.type)](&fields, &frame.body);
  }
  fields.Close();
  fields.Require(decoder.in.AtEnd(), "reply: bytes after its end");
  if (!decoder.ok()) return Fail(decoder.code, decoder.what);
  return frame;
}

}  // namespace headrace::wire
