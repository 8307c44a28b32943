// Writes control messages; control_request.cc and control_reply.cc read them. The count that opens
// each array stands beside the fields it counts.
#include "wire/control.h"
#include "wire/control_fields.h"

namespace headrace::wire {
namespace {

// What stands before the fields of a message, known only when the fields are counted.
class RequestHeadWriter {
 public:
  RequestHeadWriter(MsgpackWriter* out, MessageType type, uint64_t id)
      : out_(out), type_(type), id_(id) {}
  MsgpackWriter* Open(uint32_t fields) {
    out_->Array(2 + fields);
    out_->Uint(static_cast<uint64_t>(type_));
    out_->Uint(id_);
    return out_;
  }

 private:
  MsgpackWriter* out_;
  MessageType type_;
  uint64_t id_;
};

class ReplyHeadWriter {
 public:
  ReplyHeadWriter(MsgpackWriter* out, const ReplyFrame& frame) : out_(out), frame_(frame) {}
  MsgpackWriter* Open(uint32_t fields) {
    out_->Array(5 + fields);
    out_->Uint(static_cast<uint64_t>(frame_.type));
    out_->Uint(frame_.id);
    out_->Uint(frame_.epoch);
    out_->Uint(static_cast<uint64_t>(frame_.code));
    out_->Str(frame_.text);
    return out_;
  }

 private:
  MsgpackWriter* out_;
  const ReplyFrame& frame_;
};

void WriteU64s(MsgpackWriter* out, const std::vector<uint64_t>& values) {
  out->Array(static_cast<uint32_t>(values.size()));
  for (const uint64_t value : values) out->Uint(value);
}

void WriteLayout(MsgpackWriter* out, const Layout& layout) {
  out->Array(6);
  out->Uint(layout.num_blocks);
  out->Uint(layout.segment_bytes);
  out->Uint(layout.block_stride);
  out->Uint(layout.part_stride);
  out->Uint(layout.parts);
  WriteU64s(out, layout.layer_offsets);
}

void WriteGroup(MsgpackWriter* out, const GroupSpec& group) {
  out->Array(4);
  out->Uint(static_cast<uint64_t>(group.kind));
  out->Uint(group.window_blocks);
  out->Uint(group.buffer);
  WriteLayout(out, group.layout);
}

void WriteBuffer(MsgpackWriter* out, const BufferSpec& buffer) {
  out->Array(3);
  out->Uint(static_cast<uint64_t>(buffer.kind));
  out->Uint(buffer.bytes);
  out->Uint(buffer.offset);
}

void WriteItem(MsgpackWriter* out, const QueryItem& item) {
  out->Array(6);
  out->Uint(item.handle);
  out->Uint(item.handle_blocks);
  WriteHashes(out, item.hashes);
  out->Bool(item.want_lease);
  out->Bool(item.want_handle);
  out->Uint(item.min_blocks);
}

void WriteChain(MsgpackWriter* out, const SaveChain& chain) {
  out->Array(8);
  out->Uint(chain.group);
  out->Uint(chain.depth);
  WriteHash(out, chain.parent);
  WriteHashes(out, chain.hashes);
  WriteU32s(out, chain.blocks);
  out->Uint(chain.lora_id);
  out->Uint(chain.salt_id);
  WriteU32s(out, chain.tokens);
}

void Write(RequestHeadWriter head, const Hello& message) {
  MsgpackWriter* const out = head.Open(5);
  out->Uint(message.version);
  out->Str(message.client);
  out->Str(message.instance);
  out->Str(message.tenant);
  out->Uint(message.capabilities);
}

void Write(RequestHeadWriter head, const Register& message) {
  MsgpackWriter* const out = head.Open(9);
  out->Str(message.name_space);
  out->Uint(message.rank);
  out->Uint(message.world_size);
  out->Uint(message.block_tokens);
  out->Bool(message.has_gates);
  out->Array(static_cast<uint32_t>(message.buffers.size()));
  for (const BufferSpec& buffer : message.buffers) WriteBuffer(out, buffer);
  out->Array(static_cast<uint32_t>(message.groups.size()));
  for (const GroupSpec& group : message.groups) WriteGroup(out, group);
  out->Array(static_cast<uint32_t>(message.pods.size()));
  for (const std::string_view pod : message.pods) out->Str(pod);
  out->Str(message.pods_model);
}

void Write(RequestHeadWriter head, const Unregister& message) {
  head.Open(1)->Uint(message.registration);
}

void Write(RequestHeadWriter head, const Query& message) {
  MsgpackWriter* const out = head.Open(4);
  out->Uint(message.registration);
  out->Int(message.deadline);
  out->Uint(message.consumers);
  out->Array(static_cast<uint32_t>(message.items.size()));
  for (const QueryItem& item : message.items) WriteItem(out, item);
}

void Write(RequestHeadWriter head, const Save& message) {
  MsgpackWriter* const out = head.Open(4);
  out->Uint(message.registration);
  out->Int(message.deadline);
  out->Uint(message.gate);
  out->Array(static_cast<uint32_t>(message.chains.size()));
  for (const SaveChain& chain : message.chains) WriteChain(out, chain);
}

void Write(RequestHeadWriter head, const Load& message) {
  MsgpackWriter* const out = head.Open(7);
  out->Uint(message.registration);
  out->Uint(message.lease);
  out->Uint(message.first);
  out->Uint(message.count);
  out->Int(message.deadline);
  out->Uint(message.gate);
  out->Array(static_cast<uint32_t>(message.blocks_by_group.size()));
  for (const auto& blocks : message.blocks_by_group) WriteU32s(out, blocks);
}

void Write(RequestHeadWriter head, const Release& message) {
  WriteU64s(head.Open(1), message.leases);
}

void Write(RequestHeadWriter head, const Clear& message) {
  head.Open(1)->Uint(message.registration);
}

void Write(RequestHeadWriter head, const Cancel& message) {
  head.Open(1)->Uint(message.request);
}

void Write(RequestHeadWriter head, const Ping&) {
  head.Open(0);
}

void Write(RequestHeadWriter head, const DropHandle& message) {
  WriteU64s(head.Open(1), message.handles);
}

void Write(RequestHeadWriter head, const Purge& message) {
  MsgpackWriter* const out = head.Open(2);
  out->Uint(message.registration);
  WriteHash(out, message.hash);
}

void Write(RequestHeadWriter head, const StatusRequest&) {
  head.Open(0);
}

void Write(ReplyHeadWriter head, const EmptyReply&) {
  head.Open(0);
}

void Write(ReplyHeadWriter head, const HelloReply& reply) {
  MsgpackWriter* const out = head.Open(5);
  out->Str(reply.server);
  out->Uint(reply.capabilities);
  out->Uint(reply.session);
  out->Uint(reply.max_frame);
  out->Int(reply.lease_ms);
}

void Write(ReplyHeadWriter head, const RegisterReply& reply) {
  MsgpackWriter* const out = head.Open(2);
  out->Uint(reply.generation);
  out->Uint(reply.registration);
}

void Write(ReplyHeadWriter head, const QueryReply& reply) {
  MsgpackWriter* const out = head.Open(1);
  out->Array(static_cast<uint32_t>(reply.answers.size()));
  for (const QueryAnswer& answer : reply.answers) {
    out->Array(4);
    out->Uint(answer.hit_blocks);
    out->Uint(answer.lease);
    out->Uint(answer.handle);
    out->Uint(static_cast<uint64_t>(answer.code));
  }
}

void Write(ReplyHeadWriter head, const SaveReply& reply) {
  MsgpackWriter* const out = head.Open(4);
  out->Uint(reply.stored);
  out->Uint(reply.deduped);
  out->Uint(reply.refused);
  out->Uint(reply.failed);
}

void Write(ReplyHeadWriter head, const LoadReply& reply) {
  MsgpackWriter* const out = head.Open(2);
  out->Uint(reply.loaded);
  out->Uint(reply.bytes);
}

void Write(ReplyHeadWriter head, const ClearReply& reply) {
  head.Open(1)->Uint(reply.generation);
}

void Write(ReplyHeadWriter head, const PurgeReply& reply) {
  head.Open(1)->Bool(reply.found);
}

void Write(ReplyHeadWriter head, const StatusReply& reply) {
  head.Open(1)->Str(reply.json);
}

}  // namespace

void EncodeRequest(const RequestFrame& frame, std::string* out) {
  const size_t start = OpenFrame(out);
  MsgpackWriter writer(out);
  const RequestHeadWriter head(&writer, TypeOf(frame.body), frame.id);
  std::visit([&](const auto& message) { Write(head, message); }, frame.body);
  CloseFrame(out, start);
}

void EncodeReply(const ReplyFrame& frame, std::string* out) {
  // A body under another message's type would be read as that message's fields.
  HR_CHECK(frame.body.index() == 0 || frame.body.index() == ReplyBodyIndex(frame.type));
  const size_t start = OpenFrame(out);
  MsgpackWriter writer(out);
  std::visit([&](const auto& reply) { Write(ReplyHeadWriter(&writer, frame), reply); }, frame.body);
  CloseFrame(out, start);
}

}  // namespace headrace::wire
