// What requests are refused for, and with which words.
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "wire/control.h"
#include "wire/control_samples.h"
#include "wire/msgpack.h"

namespace headrace::wire {
namespace {

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// "" when the request is accepted.
std::string WhatOf(const Request& body, Errc code = Errc::kInvalid) {
  std::string out;
  EncodeRequest({1, body}, &out);
  const auto decoded = DecodeRequest(BytesOf(out).subspan(4));
  if (decoded) return "";
  EXPECT_EQ(decoded.error().code, code);
  return decoded.error().what;
}

// A payload of raw values, for what the encoder cannot be made to write.
std::string WhatOfRaw(const std::function<void(MsgpackWriter&)>& write,
                      Errc code = Errc::kInvalid) {
  std::string payload;
  MsgpackWriter writer(&payload);
  write(writer);
  const auto decoded = DecodeRequest(BytesOf(payload));
  if (decoded) return "";
  EXPECT_EQ(decoded.error().code, code);
  return decoded.error().what;
}

template <typename T>
std::vector<T> Many(size_t count, const T& value = {}) {
  return std::vector<T>(count, value);
}

Query QueryOf(const QueryItem& item) {
  return {.registration = 1, .items = {item}};
}
Save SaveOf(SaveChain chain) {
  return {.registration = 1, .chains = {std::move(chain)}};
}

TEST(DecodeRequest, HoldsTheLimitsOfLists) {
  Register buffers{.name_space = "n", .buffers = Many<BufferSpec>(kMaxBuffers)};
  EXPECT_EQ(WhatOf(buffers), "");
  buffers.buffers.emplace_back();
  EXPECT_EQ(WhatOf(buffers), "Register.buffers: more than 16 buffers");
  Register groups{.name_space = "n", .buffers = Many<BufferSpec>(1)};
  groups.groups = Many<GroupSpec>(kMaxGroups);
  EXPECT_EQ(WhatOf(groups), "");
  groups.groups.emplace_back();
  EXPECT_EQ(WhatOf(groups), "Register.groups: more than 16 groups");
  Register pods{.name_space = "n", .pods = Many<std::string_view>(kMaxServedPods, "p")};
  EXPECT_EQ(WhatOf(pods), "");
  pods.pods.emplace_back("p");
  EXPECT_EQ(WhatOf(pods), "Register.pods: more than 64 pods");
  Register layers{.name_space = "n", .buffers = Many<BufferSpec>(1)};
  layers.groups = Many<GroupSpec>(1);
  layers.groups[0].layout.layer_offsets.resize(kMaxLayers);
  EXPECT_EQ(WhatOf(layers), "");
  layers.groups[0].layout.layer_offsets.resize(kMaxLayers + 1);
  EXPECT_EQ(WhatOf(layers), "Register.groups[].layout.layer_offsets: more than 4096 layers");

  EXPECT_EQ(WhatOf(Query{.items = Many<QueryItem>(kMaxQueries)}), "");
  EXPECT_EQ(WhatOf(Query{.items = Many<QueryItem>(kMaxQueries + 1)}),
            "Query.items: more than 1024 queries");
  EXPECT_EQ(WhatOf(Save{.chains = Many<SaveChain>(kMaxChains)}), "");
  EXPECT_EQ(WhatOf(Save{.chains = Many<SaveChain>(kMaxChains + 1)}),
            "Save.chains: more than 4096 chains");
  EXPECT_EQ(WhatOf(Load{.blocks_by_group = Many<std::vector<uint32_t>>(kMaxGroups)}), "");
  EXPECT_EQ(WhatOf(Load{.blocks_by_group = Many<std::vector<uint32_t>>(kMaxGroups + 1)}),
            "Load.blocks_by_group: more than 16 groups");
  EXPECT_EQ(WhatOf(Release{Many<uint64_t>(kMaxIds)}), "");
  EXPECT_EQ(WhatOf(Release{Many<uint64_t>(kMaxIds + 1)}), "Release.leases: more than 65536 leases");
  EXPECT_EQ(WhatOf(DropHandle{Many<uint64_t>(kMaxIds)}), "");
  EXPECT_EQ(WhatOf(DropHandle{Many<uint64_t>(kMaxIds + 1)}),
            "DropHandle.handles: more than 65536 handles");
}

TEST(DecodeRequest, HoldsTheLimitOfHashes) {
  const std::vector<uint8_t> bytes(2 * (kMaxHashes + 1));
  SaveChain chain{.hashes = HashList(bytes.data(), 2, kMaxHashes)};
  chain.blocks.resize(kMaxHashes);
  EXPECT_EQ(WhatOf(SaveOf(chain)), "");
  chain.hashes = HashList(bytes.data(), 2, kMaxHashes + 1);
  chain.blocks.resize(kMaxHashes + 1);
  EXPECT_EQ(WhatOf(SaveOf(chain)), "Save.chains[].hashes: more than 65536 hashes");
  EXPECT_EQ(WhatOf(QueryOf({.hashes = chain.hashes})),
            "Query.items[].hashes: more than 65536 hashes");
  EXPECT_EQ(WhatOf(Load{.count = kMaxHashes}), "");
  EXPECT_EQ(WhatOf(Load{.count = kMaxHashes + 1}), "Load.count: more than 65536 blocks");
}

TEST(DecodeRequest, HoldsTheWidthOfHashes) {
  const auto item = [](uint64_t hash_bytes, size_t length) {
    return WhatOfRaw([&](MsgpackWriter& w) {
      w.Array(6);
      for (int i = 0; i < 2; ++i) w.Uint(4);
      w.Uint(0);
      w.Int(0);
      w.Uint(1);
      w.Array(1);
      w.Array(3);
      w.Uint(0);
      w.Uint(0);
      w.Array(2);
      w.Uint(hash_bytes);
      w.Bin(std::vector<uint8_t>(length));
    });
  };
  EXPECT_EQ(item(1, 5), "");
  EXPECT_EQ(item(32, 64), "");
  EXPECT_EQ(item(32, 0), "");
  EXPECT_EQ(item(0, 0), "");
  EXPECT_EQ(item(0, 5), "Query.items[].hashes: hash_bytes is not 1 to 32");
  EXPECT_EQ(item(33, 66), "Query.items[].hashes: hash_bytes is not 1 to 32");
  EXPECT_EQ(item(~uint64_t{0}, 66), "Query.items[].hashes: hash_bytes is not 1 to 32");
  EXPECT_EQ(item(32, 63), "Query.items[].hashes: length is not a multiple of hash_bytes");
}

TEST(DecodeRequest, HoldsTheRulesOfNames) {
  const std::string longest(kMaxNameBytes, 'x');
  const std::string longer(kMaxNameBytes + 1, 'x');
  const std::string wrong = ": not a string of at most 256 bytes without control characters";
  EXPECT_EQ(WhatOf(Register{.name_space = longest}), "");
  EXPECT_EQ(WhatOf(Register{.name_space = longer}), "Register.name_space" + wrong);
  EXPECT_EQ(WhatOf(Register{.name_space = "a\nb"}), "Register.name_space" + wrong);
  EXPECT_EQ(WhatOf(Register{.name_space = ""}), "Register.name_space: empty");
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .pods = {longest}, .pods_model = longest}), "");
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .pods = {longer}}), "Register.pods[]" + wrong);
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .pods_model = longer}),
            "Register.pods_model" + wrong);
  for (const char* pod : {"", "a@b"}) {
    EXPECT_EQ(WhatOf(Register{.name_space = "n", .pods = {pod}}),
              "Register.pods[]: empty, or has an @");
  }
  EXPECT_EQ(WhatOf(Hello{.client = "\x7f"}), "Hello.client" + wrong);
  EXPECT_EQ(WhatOf(Hello{.instance = {"\0", 1}}), "Hello.instance" + wrong);
  EXPECT_EQ(WhatOf(Hello{.tenant = std::string(1 << 20, 'n')}), "Hello.tenant" + wrong);
  EXPECT_EQ(WhatOf(Hello{.tenant = "\xff\xfe no UTF-8"}), "");
}

TEST(DecodeRequest, HoldsTheRulesOfRegister) {
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .world_size = kMaxRanks}), "");
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .world_size = kMaxRanks + 1}),
            "Register.world_size: not 1 to 256");
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .world_size = 0}),
            "Register.world_size: not 1 to 256");
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .rank = 2, .world_size = 2}),
            "Register.rank: not below world_size");
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .block_tokens = kMaxBlockTokens + 1}),
            "Register.block_tokens: more than 65536");
  EXPECT_EQ(WhatOf(Register{.name_space = "n", .groups = Many<GroupSpec>(1)}),
            "Register.groups[].buffer: no such buffer");
  Register kinds{.name_space = "n", .buffers = Many<BufferSpec>(1), .groups = Many<GroupSpec>(1)};
  kinds.groups[0].kind = static_cast<GroupKind>(3);
  EXPECT_EQ(WhatOf(kinds), "Register.groups[].kind: not 0 (full), 1 (window) or 2 (state)");
  kinds.buffers[0].kind = static_cast<BufferKind>(2);
  EXPECT_EQ(WhatOf(kinds), "Register.buffers[].kind: not 0 (descriptor) or 1 (process)");
  kinds.buffers[0] = {BufferKind::kProcess, 2, std::numeric_limits<uint64_t>::max() - 1};
  EXPECT_EQ(WhatOf(kinds), "Register.buffers[].bytes: the buffer ends beyond the address space");
}

TEST(DecodeRequest, HoldsTheRulesOfQueries) {
  EXPECT_EQ(WhatOf(Query{.consumers = kMaxRanks}), "");
  EXPECT_EQ(WhatOf(Query{.consumers = kMaxRanks + 1}), "Query.consumers: not 1 to 256");
  EXPECT_EQ(WhatOf(Query{.consumers = 0}), "Query.consumers: not 1 to 256");
  EXPECT_EQ(WhatOf(QueryOf({.handle_blocks = 1})),
            "Query.items[].handle_blocks: blocks of no handle");
  const HashList hashes = SampleHashes(4, 2, 0);
  const uint32_t most = kMaxPositions - 2;
  EXPECT_EQ(WhatOf(QueryOf({.handle = 1, .handle_blocks = most, .hashes = hashes})), "");
  EXPECT_EQ(WhatOf(QueryOf({.handle = 1, .handle_blocks = most + 1, .hashes = hashes})),
            "Query.items[].handle_blocks: a sequence of more than 16777216 blocks");
}

TEST(DecodeRequest, HoldsTheRulesOfChains) {
  const SaveChain good{.hashes = SampleHashes(32, 3, 0), .blocks = {1, 2, kNoBlock}};
  EXPECT_EQ(WhatOf(SaveOf(good)), "");
  const auto changed = [&](const std::function<void(SaveChain&)>& change) {
    SaveChain chain = good;
    change(chain);
    return WhatOf(SaveOf(chain));
  };
  EXPECT_EQ(changed([](SaveChain& c) { c.group = kMaxGroups; }),
            "Save.chains[].group: not below 16");
  EXPECT_EQ(changed([](SaveChain& c) { c.blocks.pop_back(); }),
            "Save.chains[].blocks: not one for each hash");
  EXPECT_EQ(changed([](SaveChain& c) { c.blocks.clear(); }),
            "Save.chains[].blocks: not one for each hash");
  EXPECT_EQ(changed([](SaveChain& c) { c.tokens.resize(4); }),
            "Save.chains[].tokens: not the same number for each hash");
  EXPECT_EQ(changed([](SaveChain& c) { c.tokens.resize(6); }), "");
  EXPECT_EQ(changed([](SaveChain& c) { c.depth = 1; }),
            "Save.chains[].parent: must be empty at depth 0 and only there");
  EXPECT_EQ(changed([](SaveChain& c) { c.parent = SampleHash(32, 1); }),
            "Save.chains[].parent: must be empty at depth 0 and only there");
  EXPECT_EQ(changed([](SaveChain& c) {
              c.depth = kMaxPositions - 2;
              c.parent = SampleHash(32, 1);
            }),
            "Save.chains[].depth: a sequence of more than 16777216 blocks");
  EXPECT_EQ(WhatOf(SaveOf({.tokens = {1}})),
            "Save.chains[].tokens: not the same number for each hash");
}

TEST(DecodeRequest, HoldsTheRulesOfLoads) {
  EXPECT_EQ(WhatOf(Load{.count = 2, .blocks_by_group = {{1, 2}, {}}}), "");
  EXPECT_EQ(WhatOf(Load{.count = 2, .blocks_by_group = {{1, 2}, {3}}}),
            "Load.blocks_by_group[]: neither empty nor `count` blocks");
  EXPECT_EQ(WhatOf(Load{.first = kMaxPositions + 1}), "Load.first: more than 16777216");
}

TEST(DecodeRequest, NamesTheLimitsAsTheyAre) {
  EXPECT_EQ(kMaxQueries, 1024u);
  EXPECT_EQ(kMaxHashes, 65536u);
  EXPECT_EQ(kMaxGroups, 16u);
  EXPECT_EQ(kMaxRanks, 256u);
  EXPECT_EQ(kMaxBuffers, 16u);
  EXPECT_EQ(kMaxChains, 4096u);
  EXPECT_EQ(kMaxIds, 65536u);
  EXPECT_EQ(kMaxPositions, 16777216u);
  EXPECT_EQ(kMaxBlockTokens, 65536u);
  EXPECT_EQ(kMaxNameBytes, 256u);
  EXPECT_EQ(kMaxLayers, 4096u);
}

TEST(DecodeRequest, NamesTheFieldOfAnotherKind) {
  const auto with = [](const std::function<void(MsgpackWriter&)>& write_field) {
    return WhatOfRaw([&](MsgpackWriter& w) {
      w.Array(4);
      w.Uint(static_cast<uint64_t>(MessageType::kPurge));
      w.Uint(1);
      write_field(w);
      w.Bin({});
    });
  };
  EXPECT_EQ(with([](MsgpackWriter& w) { w.Uint(5); }), "");
  const std::string wrong = "Purge.registration: not an unsigned 32-bit integer";
  EXPECT_EQ(with([](MsgpackWriter& w) { w.Int(-1); }), wrong);
  EXPECT_EQ(with([](MsgpackWriter& w) { w.Uint(uint64_t{1} << 32); }), wrong);
  EXPECT_EQ(with([](MsgpackWriter& w) { w.Str("5"); }), wrong);
  EXPECT_EQ(with([](MsgpackWriter& w) { w.Array(0); }), wrong);
}

TEST(DecodeRequest, TakesNilForADefault) {
  std::string payload;
  MsgpackWriter writer(&payload);
  writer.Array(6);
  writer.Uint(static_cast<uint64_t>(MessageType::kQuery));
  writer.Uint(1);
  for (int i = 0; i < 4; ++i) writer.Nil();
  const auto decoded = DecodeRequest(BytesOf(payload));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<Query>(decoded->body).consumers, 1u);
  EXPECT_TRUE(std::get<Query>(decoded->body).items.empty());
}

TEST(DecodeRequest, SaysThatATypeIsNotSupported) {
  for (const uint64_t type : {uint64_t{0}, uint64_t{14}, uint64_t{200}, ~uint64_t{0}}) {
    EXPECT_EQ(WhatOfRaw(
                  [&](MsgpackWriter& w) {
                    w.Array(3);
                    w.Uint(type);
                    w.Uint(77);
                    w.Map(0);
                  },
                  Errc::kUnsupported),
              "request: type is not known");
  }
}

TEST(DecodeRequest, RefusesWhatHasNoHead) {
  const std::string wrong = "request: not an array [type, id, fields...]";
  EXPECT_EQ(WhatOfRaw([](MsgpackWriter&) {}), wrong);
  EXPECT_EQ(WhatOfRaw([](MsgpackWriter& w) { w.Map(0); }), wrong);
  EXPECT_EQ(WhatOfRaw([](MsgpackWriter& w) { w.Array(0); }), wrong);
  EXPECT_EQ(WhatOfRaw([](MsgpackWriter& w) {
              w.Array(1);
              w.Uint(4);
            }),
            wrong);
  EXPECT_EQ(WhatOfRaw([](MsgpackWriter& w) {
              w.Array(2);
              w.Uint(4);
              w.Str("id");
            }),
            wrong);
}

TEST(DecodeRequest, RefusesFourBillionElementsInTenBytes) {
  const uint8_t bytes[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 4, 1, 0, 0, 0};
  EXPECT_FALSE(DecodeRequest(bytes));
  const uint8_t items[] = {0x96, 4, 1, 0, 0, 1, 0xdd, 0xff, 0xff, 0xff, 0xff};
  EXPECT_STREQ(DecodeRequest(items).error().what, "Query.items: not an array");
  const uint8_t blocks[] = {0x99, 6, 1, 0, 0, 0, 0, 0, 0, 0x91, 0xc6, 0xff, 0xff, 0xff, 0xff};
  EXPECT_STREQ(DecodeRequest(blocks).error().what,
               "Load.blocks_by_group[]: not a bin of little-endian 32-bit integers");
}

TEST(DecodeRequestHead, FindsTypeAndIdOfARefusedRequest) {
  std::string out;
  EncodeRequest({77, Query{.consumers = 0}}, &out);
  const auto payload = BytesOf(out).subspan(4);
  ASSERT_FALSE(DecodeRequest(payload));
  const auto head = DecodeRequestHead(payload);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->type, MessageType::kQuery);
  EXPECT_EQ(head->id, 77u);
}

TEST(DecodeRequestHead, KeepsATypeThatIsNotKnownAndDropsOneThatDoesNotFit) {
  const uint8_t newer[] = {0x92, 0xcc, 200, 5};
  EXPECT_EQ(DecodeRequestHead(newer)->type, static_cast<MessageType>(200));
  const uint8_t wide[] = {0x92, 0xcd, 1, 0, 5};
  EXPECT_EQ(DecodeRequestHead(wide)->type, MessageType{});
  EXPECT_EQ(DecodeRequestHead(wide)->id, 5u);
  EXPECT_FALSE(DecodeRequestHead({newer, 3}));
}

TEST(DecodeRequest, GivesViewsOfTheFrame) {
  std::string out;
  const std::vector<uint8_t> hashes(size_t{512} * 32, 7);
  EncodeRequest({1, QueryOf({.hashes = HashList(hashes.data(), 32, 512)})}, &out);
  const auto payload = BytesOf(out).subspan(4);
  const auto decoded = DecodeRequest(payload);
  ASSERT_TRUE(decoded);
  const uint8_t* const data = std::get<Query>(decoded->body).items[0].hashes.raw().data();
  EXPECT_GE(data, payload.data());
  EXPECT_LT(data, payload.data() + payload.size());
}

}  // namespace
}  // namespace headrace::wire
