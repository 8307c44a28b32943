// Control messages between a client and headrace-server, and their codec. docs/protocol.md draws
// the bytes: a frame is a little-endian u32 length and one msgpack array
//   request [type, id, fields...]     reply [type, id, epoch, errc, text, fields...]
// Fields stand in the order of the members below. A decoder ignores extra trailing fields and takes
// defaults for missing trailing ones, so versions need not be equal. id 0 asks for no reply.
// A nil field has its default, too. Decoding never trusts a count: what it allocates is bounded by
// the frame's own size and the limits below.
// Views (HashList, string_view, span) point into the frame that was decoded. Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "wire/block_hash.h"
#include "wire/layout.h"

namespace headrace::wire {

inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr uint32_t kMaxFrameBytes = 16u << 20;  // default of --max-frame
inline constexpr size_t kMaxNameBytes = 256;           // instance, namespace, tenant names
inline constexpr size_t kMaxQueries = 1024;            // in one Query
inline constexpr size_t kMaxHashes = 65536;            // in one chain
inline constexpr size_t kMaxGroups = 16;
inline constexpr size_t kMaxRanks = 256;
inline constexpr size_t kMaxBuffers = 16;          // in one Register
inline constexpr size_t kMaxServedPods = 64;       // in one Register
inline constexpr size_t kMaxChains = 4096;         // in one Save
inline constexpr size_t kMaxIds = 65536;           // in one Release or DropHandle
inline constexpr size_t kMaxPositions = 1u << 24;  // blocks of one sequence
inline constexpr uint32_t kMaxBlockTokens = 65536;

enum class MessageType : uint8_t {
  kHello = 1,
  kRegister = 2,
  kUnregister = 3,
  kQuery = 4,
  kSave = 5,
  kLoad = 6,
  kRelease = 7,
  kClear = 8,
  kCancel = 9,
  kPing = 10,
  kDropHandle = 11,
  kPurge = 12,
  kStatus = 13,
};

// Bits of HelloReply::capabilities.
enum Capability : uint64_t {
  kCapHandles = 1,
  kCapGates = 2,
  kCapDescriptors = 4,
  kCapPurge = 8,
  kCapTokens = 16,
};

// First on every connection.
struct Hello {
  uint32_t version = kProtocolVersion;
  std::string_view client;    // program and version, for logs
  std::string_view instance;  // the engine deployment; quotas and leases belong to it
  std::string_view tenant;    // "" is the default tenant
  uint64_t capabilities = 0;
};
struct HelloReply {
  std::string_view server;    // version of the server
  uint64_t capabilities = 0;  // what both sides know
  uint64_t session = 0;
  uint32_t max_frame = 0;
  int64_t lease_ms = 0;  // longest lease that the server grants
};

enum class GroupKind : uint8_t { kFull = 0, kWindow = 1, kState = 2 };

// One KV group of a hybrid model; most models have one group, kFull.
struct GroupSpec {
  GroupKind kind = GroupKind::kFull;
  uint32_t window_blocks = 0;  // kWindow: blocks that must be there before the prefix's end
  uint32_t buffer = 0;         // index into the descriptors that came with the message
  Layout layout;               // [num_blocks, segment_bytes, block_stride, part_stride, parts,
                               //  layer_offsets]
};

// How the server reaches a buffer.
enum class BufferKind : uint8_t {
  kDescriptor = 0,  // a descriptor in SCM_RIGHTS of this frame
  kProcess = 1,     // virtual address in the client's own process (CMA, proved by SO_PEERCRED)
};
struct BufferSpec {
  BufferKind kind = BufferKind::kDescriptor;
  uint64_t bytes = 0;
  uint64_t offset = 0;  // kDescriptor: where the buffer starts in the file; kProcess: its address
};

// Joins this session to a namespace. A scheduler sends no buffers and no groups; a rank sends both.
// Descriptors in SCM_RIGHTS: one for each kDescriptor buffer, in order, then the gate page if
// has_gates. All ranks of a namespace must state equal world_size, block_tokens and groups.
struct Register {
  std::string_view name_space;  // digest or name of all that makes content interchangeable
  uint32_t rank = 0;
  uint32_t world_size = 1;
  uint32_t block_tokens = 0;  // tokens of one block
  bool has_gates = false;
  std::vector<BufferSpec> buffers;
  std::vector<GroupSpec> groups;
  // Of the engine's own events, whose topics are kv@<pod>@<model>: an index counts what the
  // namespace holds for these pods. No pod has an @. Both may be empty.
  std::vector<std::string_view> pods;
  std::string_view pods_model;
};
struct RegisterReply {
  uint64_t generation = 0;    // of the namespace
  uint32_t registration = 0;  // names this (session, namespace, rank) in Save, Load, Query
};

struct Unregister {
  uint32_t registration = 0;
};

// One prefix. Positions count from the root of the sequence: `handle` (0 for none) stands for the
// first `handle_blocks` hashes, which an earlier query sent; `hashes` follow them.
struct QueryItem {
  uint64_t handle = 0;
  uint32_t handle_blocks = 0;
  HashList hashes;  // [hash_bytes, bin]
  bool want_lease = false;
  bool want_handle = false;  // keep the hashes, so that the next query sends only its tail
  uint32_t min_blocks = 0;   // no lease when the hit is not longer than this (local hit)
};
struct QueryAnswer {
  uint32_t hit_blocks = 0;
  uint64_t lease = 0;     // 0: none. Covers positions [0, hit_blocks)
  uint64_t handle = 0;    // 0: none, or the handle is not known any more: send all hashes
  Errc code = Errc::kOk;  // of this item alone
};
struct Query {
  uint32_t registration = 0;
  int64_t deadline = 0;  // ToWire(Time); a query read later than this is not answered with a lease
  uint32_t consumers = 1;  // ranks that will load under each lease
  std::vector<QueryItem> items;
};
struct QueryReply {
  std::vector<QueryAnswer> answers;
};

// Blocks of one sequence, in order: hashes[0] follows `parent`, each other one its predecessor.
struct SaveChain {
  uint32_t group = 0;
  uint32_t depth = 0;  // position of hashes[0] in the sequence
  BlockHash parent;    // empty at depth 0
  HashList hashes;
  std::vector<uint32_t> blocks;  // engine block ids, one each; kNoBlock: this group has no part
  uint64_t lora_id = 0;          // events need these; they do not take part in the key
  uint64_t salt_id = 0;
  std::vector<uint32_t> tokens;  // by option: block_tokens for each hash, or empty
};
inline constexpr uint32_t kNoBlock = 0xffffffff;

struct Save {
  uint32_t registration = 0;
  int64_t deadline = 0;
  uint32_t gate = 0xffffffff;  // index in the gate page, or kNoGate
  std::vector<SaveChain> chains;
};
// Sent when the last byte is in the pool. Every block is counted once.
struct SaveReply {
  uint32_t stored = 0;
  uint32_t deduped = 0;  // was there, or is being written by somebody else
  uint32_t refused = 0;  // no room, over a quota, or behind such a block
  uint32_t failed = 0;   // cancelled, timed out, faulted
};

// Positions [first, first + count) under a lease into engine blocks. blocks_by_group[g] has `count`
// entries or none; kNoBlock skips a position of that group.
struct Load {
  uint32_t registration = 0;
  uint64_t lease = 0;
  uint32_t first = 0;
  uint32_t count = 0;
  int64_t deadline = 0;
  uint32_t gate = 0xffffffff;
  std::vector<std::vector<uint32_t>> blocks_by_group;
};
// All or error. Sent when no byte will be written any more, whatever the code.
struct LoadReply {
  uint32_t loaded = 0;
  uint64_t bytes = 0;
};

struct Release {
  std::vector<uint64_t> leases;
};  // usually with id 0
struct Clear {
  uint32_t registration = 0;
};  // external reset: generation + 1
struct ClearReply {
  uint64_t generation = 0;
};
struct Cancel {
  uint64_t request = 0;
};  // a Save or Load of this session
struct Ping {};
struct DropHandle {
  std::vector<uint64_t> handles;
};
struct Purge {
  uint32_t registration = 0;
  BlockHash hash;
};  // this block and its descendants go
struct PurgeReply {
  bool found = false;
};
struct StatusRequest {};
struct StatusReply {
  std::string_view json;
};  // counts for people and tests

using Request = std::variant<Hello, Register, Unregister, Query, Save, Load, Release, Clear, Cancel,
                             Ping, DropHandle, Purge, StatusRequest>;
struct RequestFrame {
  uint64_t id = 0;
  Request body;
};

struct EmptyReply {};
using ReplyBody = std::variant<EmptyReply, HelloReply, RegisterReply, QueryReply, SaveReply,
                               LoadReply, ClearReply, PurgeReply, StatusReply>;
struct ReplyFrame {
  MessageType type = MessageType::kPing;  // of the request
  uint64_t id = 0;
  uint64_t epoch = 0;  // of the server: a new one means "register again"
  Errc code = Errc::kOk;
  std::string_view text;  // when code is not kOk: names the field and what would be right
  ReplyBody body;
};

MessageType TypeOf(const Request& request);
// The alternative of ReplyBody that answers `type`; 0 (EmptyReply) where a reply has no fields.
size_t ReplyBodyIndex(MessageType type);

// Append one frame, length prefix included. REQUIRES: a reply's body is EmptyReply or answers its
// type. A failed reply without fields decodes to EmptyReply, whatever its type.
void EncodeRequest(const RequestFrame& frame, std::string* out);
void EncodeReply(const ReplyFrame& frame, std::string* out);

// `payload` is one frame without its length. Fails with kInvalid and the wrong field's name, or
// with kUnsupported when the type is of a newer version; the stream holds in both cases.
Result<RequestFrame> DecodeRequest(std::span<const uint8_t> payload);
Result<ReplyFrame> DecodeReply(std::span<const uint8_t> payload);

// What a server needs for the error reply to a request that DecodeRequest refused. Fails when the
// frame has no head: then nothing can be answered.
struct RequestHead {
  MessageType type{};  // 0 when the type does not fit
  uint64_t id = 0;
};
Result<RequestHead> DecodeRequestHead(std::span<const uint8_t> payload);

// Length of the payload at the start of `bytes`, or kNoFrame while fewer than 4 bytes are there.
// Fails with kLimit over max_frame.
inline constexpr uint32_t kNoFrame = 0xffffffff;
Result<uint32_t> PeekFrame(std::span<const uint8_t> bytes, uint32_t max_frame);

}  // namespace headrace::wire
