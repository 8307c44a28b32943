// Reads requests: types, limits and the rules between fields that need no knowledge of a server.
#include <array>
#include <utility>

#include "wire/control.h"
#include "wire/control_fields.h"

namespace headrace::wire {
namespace {

void ReadLayout(Decoder* decoder, Layout* out) {
  Fields in(decoder, "Register.groups[].layout" HR_NOT_ARRAY);
  in.U64(&out->num_blocks, "Register.groups[].layout.num_blocks" HR_NOT_U64);
  in.U64(&out->segment_bytes, "Register.groups[].layout.segment_bytes" HR_NOT_U64);
  in.U64(&out->block_stride, "Register.groups[].layout.block_stride" HR_NOT_U64);
  in.U64(&out->part_stride, "Register.groups[].layout.part_stride" HR_NOT_U64);
  in.U32(&out->parts, "Register.groups[].layout.parts" HR_NOT_U32);
  in.List(&out->layer_offsets, kMaxLayers,
          {"Register.groups[].layout.layer_offsets" HR_NOT_ARRAY,
           "Register.groups[].layout.layer_offsets: more than 4096 layers"},
          [](Decoder* d, uint64_t* offset) {
            ReadU64(d, offset, "Register.groups[].layout.layer_offsets[]" HR_NOT_U64);
          });
  in.Close();
}

void ReadGroup(Decoder* decoder, GroupSpec* out) {
  Fields in(decoder, "Register.groups[]" HR_NOT_ARRAY);
  uint32_t kind = static_cast<uint32_t>(out->kind);
  in.U32(&kind, "Register.groups[].kind" HR_NOT_U32);
  in.Require(kind <= static_cast<uint32_t>(GroupKind::kState),
             "Register.groups[].kind: not 0 (full), 1 (window) or 2 (state)");
  in.U32(&out->window_blocks, "Register.groups[].window_blocks" HR_NOT_U32);
  in.U32(&out->buffer, "Register.groups[].buffer" HR_NOT_U32);
  in.Struct(&out->layout, ReadLayout);
  in.Close();
  if (in.ok()) out->kind = static_cast<GroupKind>(kind);
}

void ReadBuffer(Decoder* decoder, BufferSpec* out) {
  Fields in(decoder, "Register.buffers[]" HR_NOT_ARRAY);
  uint32_t kind = static_cast<uint32_t>(out->kind);
  in.U32(&kind, "Register.buffers[].kind" HR_NOT_U32);
  in.Require(kind <= static_cast<uint32_t>(BufferKind::kProcess),
             "Register.buffers[].kind: not 0 (descriptor) or 1 (process)");
  in.U64(&out->bytes, "Register.buffers[].bytes" HR_NOT_U64);
  in.U64(&out->offset, "Register.buffers[].offset" HR_NOT_U64);
  in.Require(out->bytes <= UINT64_MAX - out->offset,
             "Register.buffers[].bytes: the buffer ends beyond the address space");
  in.Close();
  if (in.ok()) out->kind = static_cast<BufferKind>(kind);
}

void ReadItem(Decoder* decoder, QueryItem* out) {
  Fields in(decoder, "Query.items[]" HR_NOT_ARRAY);
  in.U64(&out->handle, "Query.items[].handle" HR_NOT_U64);
  in.U32(&out->handle_blocks, "Query.items[].handle_blocks" HR_NOT_U32);
  in.Hashes(&out->hashes, HR_HASHES_TEXT("Query.items[].hashes"));
  in.Bool(&out->want_lease, "Query.items[].want_lease" HR_NOT_BOOL);
  in.Bool(&out->want_handle, "Query.items[].want_handle" HR_NOT_BOOL);
  in.U32(&out->min_blocks, "Query.items[].min_blocks" HR_NOT_U32);
  in.Require(out->handle != 0 || out->handle_blocks == 0,
             "Query.items[].handle_blocks: blocks of no handle");
  in.Require(out->handle_blocks <= kMaxPositions - out->hashes.size(),
             "Query.items[].handle_blocks: a sequence of more than 16777216 blocks");
  in.Close();
}

void ReadChain(Decoder* decoder, SaveChain* out) {
  Fields in(decoder, "Save.chains[]" HR_NOT_ARRAY);
  in.U32(&out->group, "Save.chains[].group" HR_NOT_U32);
  in.U32(&out->depth, "Save.chains[].depth" HR_NOT_U32);
  in.Hash(&out->parent, "Save.chains[].parent" HR_NOT_HASH);
  in.Hashes(&out->hashes, HR_HASHES_TEXT("Save.chains[].hashes"));
  in.U32s(&out->blocks, "Save.chains[].blocks" HR_NOT_U32S);
  in.U64(&out->lora_id, "Save.chains[].lora_id" HR_NOT_U64);
  in.U64(&out->salt_id, "Save.chains[].salt_id" HR_NOT_U64);
  in.U32s(&out->tokens, "Save.chains[].tokens" HR_NOT_U32S);
  in.Require(out->group < kMaxGroups, "Save.chains[].group: not below 16");
  in.Require(out->depth <= kMaxPositions - out->hashes.size(),
             "Save.chains[].depth: a sequence of more than 16777216 blocks");
  in.Require((out->depth == 0) == out->parent.empty(),
             "Save.chains[].parent: must be empty at depth 0 and only there");
  in.Require(out->blocks.size() == out->hashes.size(),
             "Save.chains[].blocks: not one for each hash");
  in.Require(
      out->tokens.empty() || (!out->hashes.empty() && out->tokens.size() % out->hashes.size() == 0),
      "Save.chains[].tokens: not the same number for each hash");
  in.Close();
}

void ReadPod(Decoder* decoder, std::string_view* out) {
  ReadName(decoder, out, "Register.pods[]" HR_NOT_NAME);
  if (decoder->ok() && (out->empty() || out->find('@') != std::string_view::npos)) {
    decoder->Reject("Register.pods[]: empty, or has an @");
  }
}

void Read(Fields* in, Hello* out) {
  in->U32(&out->version, "Hello.version" HR_NOT_U32);
  in->Name(&out->client, "Hello.client" HR_NOT_NAME);
  in->Name(&out->instance, "Hello.instance" HR_NOT_NAME);
  in->Name(&out->tenant, "Hello.tenant" HR_NOT_NAME);
  in->U64(&out->capabilities, "Hello.capabilities" HR_NOT_U64);
}

void Read(Fields* in, Register* out) {
  in->Name(&out->name_space, "Register.name_space" HR_NOT_NAME);
  in->U32(&out->rank, "Register.rank" HR_NOT_U32);
  in->U32(&out->world_size, "Register.world_size" HR_NOT_U32);
  in->U32(&out->block_tokens, "Register.block_tokens" HR_NOT_U32);
  in->Bool(&out->has_gates, "Register.has_gates" HR_NOT_BOOL);
  in->List(&out->buffers, kMaxBuffers,
           {"Register.buffers" HR_NOT_ARRAY, "Register.buffers: more than 16 buffers"}, ReadBuffer);
  in->List(&out->groups, kMaxGroups,
           {"Register.groups" HR_NOT_ARRAY, "Register.groups: more than 16 groups"}, ReadGroup);
  in->List(&out->pods, kMaxServedPods,
           {"Register.pods" HR_NOT_ARRAY, "Register.pods: more than 64 pods"}, ReadPod);
  in->Name(&out->pods_model, "Register.pods_model" HR_NOT_NAME);
  in->Require(!out->name_space.empty(), "Register.name_space: empty");
  in->Require(out->world_size >= 1 && out->world_size <= kMaxRanks,
              "Register.world_size: not 1 to 256");
  in->Require(out->rank < out->world_size, "Register.rank: not below world_size");
  in->Require(out->block_tokens <= kMaxBlockTokens, "Register.block_tokens: more than 65536");
  for (const GroupSpec& group : out->groups) {
    in->Require(group.buffer < out->buffers.size(), "Register.groups[].buffer: no such buffer");
  }
}

void Read(Fields* in, Unregister* out) {
  in->U32(&out->registration, "Unregister.registration" HR_NOT_U32);
}

void Read(Fields* in, Query* out) {
  in->U32(&out->registration, "Query.registration" HR_NOT_U32);
  in->I64(&out->deadline, "Query.deadline" HR_NOT_I64);
  in->U32(&out->consumers, "Query.consumers" HR_NOT_U32);
  in->Require(out->consumers >= 1 && out->consumers <= kMaxRanks, "Query.consumers: not 1 to 256");
  in->List(&out->items, kMaxQueries,
           {"Query.items" HR_NOT_ARRAY, "Query.items: more than 1024 queries"}, ReadItem);
}

void Read(Fields* in, Save* out) {
  in->U32(&out->registration, "Save.registration" HR_NOT_U32);
  in->I64(&out->deadline, "Save.deadline" HR_NOT_I64);
  in->U32(&out->gate, "Save.gate" HR_NOT_U32);
  in->List(&out->chains, kMaxChains,
           {"Save.chains" HR_NOT_ARRAY, "Save.chains: more than 4096 chains"}, ReadChain);
}

void Read(Fields* in, Load* out) {
  in->U32(&out->registration, "Load.registration" HR_NOT_U32);
  in->U64(&out->lease, "Load.lease" HR_NOT_U64);
  in->U32(&out->first, "Load.first" HR_NOT_U32);
  in->U32(&out->count, "Load.count" HR_NOT_U32);
  in->I64(&out->deadline, "Load.deadline" HR_NOT_I64);
  in->U32(&out->gate, "Load.gate" HR_NOT_U32);
  in->Require(out->count <= kMaxHashes, "Load.count: more than 65536 blocks");
  in->Require(out->first <= kMaxPositions, "Load.first: more than 16777216");
  in->List(&out->blocks_by_group, kMaxGroups,
           {"Load.blocks_by_group" HR_NOT_ARRAY, "Load.blocks_by_group: more than 16 groups"},
           [](Decoder* d, std::vector<uint32_t>* blocks) {
             ReadU32s(d, blocks, "Load.blocks_by_group[]" HR_NOT_U32S);
           });
  for (const auto& blocks : out->blocks_by_group) {
    in->Require(blocks.empty() || blocks.size() == out->count,
                "Load.blocks_by_group[]: neither empty nor `count` blocks");
  }
}

void Read(Fields* in, Release* out) {
  in->List(&out->leases, kMaxIds,
           {"Release.leases" HR_NOT_ARRAY, "Release.leases: more than 65536 leases"},
           [](Decoder* d, uint64_t* lease) { ReadU64(d, lease, "Release.leases[]" HR_NOT_U64); });
}

void Read(Fields* in, Clear* out) {
  in->U32(&out->registration, "Clear.registration" HR_NOT_U32);
}

void Read(Fields* in, Cancel* out) {
  in->U64(&out->request, "Cancel.request" HR_NOT_U64);
}

void Read(Fields*, Ping*) {}

void Read(Fields* in, DropHandle* out) {
  in->List(
      &out->handles, kMaxIds,
      {"DropHandle.handles" HR_NOT_ARRAY, "DropHandle.handles: more than 65536 handles"},
      [](Decoder* d, uint64_t* handle) { ReadU64(d, handle, "DropHandle.handles[]" HR_NOT_U64); });
}

void Read(Fields* in, Purge* out) {
  in->U32(&out->registration, "Purge.registration" HR_NOT_U32);
  in->Hash(&out->hash, "Purge.hash" HR_NOT_HASH);
}

void Read(Fields*, StatusRequest*) {}

template <typename Message>
void ReadBody(Fields* in, Request* out) {
  Read(in, &out->emplace<Message>());
}

using BodyReader = void (*)(Fields*, Request*);

template <size_t... kIndex>
constexpr auto MakeBodyReaders(std::index_sequence<kIndex...>) {
  return std::array<BodyReader, sizeof...(kIndex)>{
      ReadBody<std::variant_alternative_t<kIndex, Request>>...};
}
constexpr auto kBodyReaders =
    MakeBodyReaders(std::make_index_sequence<std::variant_size_v<Request>>());

constexpr const char* kNoHead = "request: not an array [type, id, fields...]";

// Leaves the fields of the message unread.
uint32_t ReadHead(Decoder* decoder, uint64_t* type, uint64_t* id) {
  const uint32_t count = decoder->OpenArray(kNoHead);
  if (count < 2 || !decoder->in.Uint(type) || !decoder->in.Uint(id)) {
    decoder->Reject(kNoHead);
    return 0;
  }
  return count - 2;
}

}  // namespace

Result<RequestFrame> DecodeRequest(std::span<const uint8_t> payload) {
  Decoder decoder(payload);
  uint64_t type = 0;
  RequestFrame frame;
  Fields fields(&decoder, ReadHead(&decoder, &type, &frame.id));
  if (decoder.ok() && (type < 1 || type > kBodyReaders.size())) {
    decoder.Reject("request: type is not known", Errc::kUnsupported);
  }
  if (decoder.ok()) {
    kBodyReaders[type - 1](&fields, &frame.body);
    fields.Close();
    fields.Require(decoder.in.AtEnd(), "request: bytes after its end");
  }
  if (!decoder.ok()) return Fail(decoder.code, decoder.what);
  return frame;
}

Result<RequestHead> DecodeRequestHead(std::span<const uint8_t> payload) {
  Decoder decoder(payload);
  uint64_t type = 0;
  RequestHead head;
  ReadHead(&decoder, &type, &head.id);
  if (!decoder.ok()) return Fail(decoder.code, decoder.what);
  if (type <= UINT8_MAX) head.type = static_cast<MessageType>(type);
  return head;
}

}  // namespace headrace::wire
