// Messages for tests: one fixed frame of each type (the golden bytes are made from the same
// values), and random ones from a seed.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "wire/control.h"

namespace headrace::wire {

// `count` hashes of `hash_bytes` bytes that count up from `first`; static, so that views last.
inline HashList SampleHashes(uint8_t hash_bytes, size_t count, uint8_t first) {
  static std::deque<std::vector<uint8_t>> storage;
  auto& bytes = storage.emplace_back(hash_bytes * count);
  for (uint8_t& byte : bytes) byte = first++;
  return {bytes.data(), hash_bytes, count};
}

inline BlockHash SampleHash(uint8_t hash_bytes, uint8_t first) {
  return SampleHashes(hash_bytes, 1, first)[0];
}

inline std::vector<RequestFrame> SampleRequests() {
  const Layout layout{.num_blocks = 512,
                      .segment_bytes = 32768,
                      .block_stride = 65536,
                      .part_stride = 32768,
                      .parts = 2,
                      .layer_offsets = {0, 33554432, 67108864}};
  const Layout state{.num_blocks = 64,
                     .segment_bytes = 4096,
                     .block_stride = 4096,
                     .layer_offsets = {uint64_t{1} << 32}};
  std::vector<RequestFrame> frames;
  frames.push_back({1, Hello{1, "bench/0.1", "engine-a", "tenant", 31}});
  frames.push_back(
      {2, Register{"llama-3.1-8b",
                   1,
                   2,
                   16,
                   true,
                   {{BufferKind::kDescriptor, uint64_t{1} << 33, 4096},
                    {BufferKind::kProcess, 1 << 20, 0x7f0000000000}},
                   {{GroupKind::kFull, 0, 0, layout}, {GroupKind::kWindow, 8, 1, state}},
                   {"10.0.0.1:8000", "b"},
                   "org/m"}});
  frames.push_back({3, Unregister{7}});
  frames.push_back({4, Query{7,
                             1234567890123,
                             2,
                             {{0, 0, SampleHashes(32, 3, 1), true, true, 1},
                              {99, 300, SampleHashes(16, 1, 200), false, false, 0}}}});
  frames.push_back(
      {5, Save{7,
               -1,
               3,
               {{0, 0, BlockHash{}, SampleHashes(8, 2, 10), {5, kNoBlock}, 0, 0, {}},
                {1, 40, SampleHash(32, 50), SampleHashes(32, 1, 60), {70000}, 11, 12, {1, 2}}}}});
  frames.push_back(
      {6, Load{7, 0x123456789abcdef, 2, 3, 1000, 4, {{1, 2, 3}, {}, {kNoBlock, kNoBlock, 9}}}});
  frames.push_back({0, Release{{1, 300, uint64_t{1} << 40}}});
  frames.push_back({8, Clear{7}});
  frames.push_back({9, Cancel{6}});
  frames.push_back({10, Ping{}});
  frames.push_back({11, DropHandle{{99}}});
  frames.push_back({12, Purge{7, SampleHash(20, 30)}});
  frames.push_back({uint64_t{1} << 63, StatusRequest{}});
  return frames;
}

inline constexpr uint64_t kSampleEpoch = 0xfedcba9876543210;

inline std::vector<ReplyFrame> SampleReplies() {
  using enum MessageType;
  std::vector<ReplyFrame> frames;
  frames.push_back({kHello, 1, kSampleEpoch, Errc::kOk, "",
                    HelloReply{"headrace 0.1.0", 7, 3, 16777216, 30000}});
  frames.push_back({kRegister, 2, kSampleEpoch, Errc::kOk, "", RegisterReply{5, 7}});
  frames.push_back({kUnregister, 3, kSampleEpoch, Errc::kOk, "", EmptyReply{}});
  frames.push_back(
      {kQuery, 4, kSampleEpoch, Errc::kOk, "",
       QueryReply{{{3, 77, 99, Errc::kOk}, {0, 0, 0, Errc::kLimit}, {300, 0, 98, Errc::kOk}}}});
  frames.push_back({kSave, 5, kSampleEpoch, Errc::kTimeout, "deadline", SaveReply{1, 2, 3, 4}});
  frames.push_back({kLoad, 6, kSampleEpoch, Errc::kOk, "", LoadReply{3, 6291456}});
  frames.push_back({kClear, 8, kSampleEpoch, Errc::kOk, "", ClearReply{6}});
  frames.push_back({kPing, 10, kSampleEpoch, Errc::kOk, "", EmptyReply{}});
  frames.push_back({kPurge, 12, kSampleEpoch, Errc::kOk, "", PurgeReply{true}});
  frames.push_back({kStatus, 13, kSampleEpoch, Errc::kOk, "", StatusReply{"{\"blocks\": 1}"}});
  frames.push_back({kLoad, 14, kSampleEpoch, Errc::kGone, "lease: expired", EmptyReply{}});
  return frames;
}

// Makes messages with random contents that keep all rules; owns what their views point at.
class RandomMessages {
 public:
  explicit RandomMessages(uint64_t seed) : random_(seed) {}

  RequestFrame Request() {
    RequestFrame frame{.id = Number()};
    switch (random_() % 13) {
      case 0:
        frame.body = Hello{Small(), Name(), Name(), Name(), Number()};
        break;
      case 1:
        frame.body = RandomRegister();
        break;
      case 2:
        frame.body = Unregister{Small()};
        break;
      case 3:
        frame.body = RandomQuery();
        break;
      case 4:
        frame.body = RandomSave();
        break;
      case 5:
        frame.body = RandomLoad();
        break;
      case 6:
        frame.body = Release{Numbers()};
        break;
      default:
        frame.body = Rare();
    }
    return frame;
  }

  ReplyFrame Reply() {
    ReplyFrame frame{.id = Number(), .epoch = Number()};
    frame.type = static_cast<MessageType>(1 + random_() % 13);
    frame.code = static_cast<Errc>(random_() % 15);
    frame.text = Name();
    using enum MessageType;
    if (frame.type == kHello) frame.body = HelloReply{Name(), Number(), Number(), Small(), -5};
    if (frame.type == kRegister) frame.body = RegisterReply{Number(), Small()};
    if (frame.type == kQuery) {
      QueryReply reply;
      for (uint64_t i = random_() % 5; i > 0; --i) {
        reply.answers.push_back({Small(), Number(), Number(), static_cast<Errc>(random_() % 15)});
      }
      frame.body = reply;
    }
    if (frame.type == kSave) frame.body = SaveReply{Small(), Small(), Small(), Small()};
    if (frame.type == kLoad) frame.body = LoadReply{Small(), Number()};
    if (frame.type == kClear) frame.body = ClearReply{Number()};
    if (frame.type == kPurge) frame.body = PurgeReply{Flag()};
    if (frame.type == kStatus) frame.body = StatusReply{Name()};
    return frame;
  }

 private:
  uint64_t Number() { return random_() >> (random_() % 64); }
  uint32_t Small() { return static_cast<uint32_t>(random_()) >> (random_() % 32); }
  bool Flag() { return random_() % 2 == 0; }
  int64_t Signed() { return static_cast<int64_t>(random_()) >> (random_() % 64); }
  uint32_t Position() { return static_cast<uint32_t>(random_() % (kMaxPositions - 64)); }

  std::string_view Name() {
    std::string& name = strings_.emplace_back(random_() % 40 + 1, '\0');
    for (char& c : name) c = static_cast<char>(0x80 | random_());  // bytes that are not UTF-8
    for (size_t i = 0; i < name.size(); i += 2) name[i] = static_cast<char>(' ' + random_() % 95);
    return name;
  }
  std::string_view Pod() {
    (void)Name();
    std::string& name = strings_.back();
    std::replace(name.begin(), name.end(), '@', ':');
    return name;
  }
  std::vector<uint64_t> Numbers() {
    std::vector<uint64_t> numbers(random_() % 20);
    for (uint64_t& number : numbers) number = Number();
    return numbers;
  }
  std::vector<uint32_t> Blocks(size_t count) {
    std::vector<uint32_t> blocks(count);
    for (uint32_t& block : blocks) block = Small();
    return blocks;
  }
  HashList Hashes() {
    const uint8_t hash_bytes = static_cast<uint8_t>(1 + random_() % 32);
    const size_t count = random_() % 20;
    std::string& bytes = strings_.emplace_back(hash_bytes * count, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random_());
    return {reinterpret_cast<const uint8_t*>(bytes.data()), hash_bytes, count};
  }
  BlockHash Hash() {
    uint8_t bytes[BlockHash::kMaxBytes];
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random_());
    return BlockHash::Of({bytes, 1 + random_() % BlockHash::kMaxBytes});
  }

  Register RandomRegister() {
    Register message{.name_space = Name(), .block_tokens = Small() % (kMaxBlockTokens + 1)};
    message.world_size = static_cast<uint32_t>(1 + random_() % kMaxRanks);
    message.rank = static_cast<uint32_t>(random_() % message.world_size);
    message.has_gates = Flag();
    for (uint64_t i = random_() % (kMaxBuffers + 1); i > 0; --i) {
      message.buffers.push_back(
          {static_cast<BufferKind>(random_() % 2), Number() / 2, Number() / 2});
    }
    for (uint64_t i = random_() % (kMaxGroups + 1); i > 0 && !message.buffers.empty(); --i) {
      GroupSpec group{.kind = static_cast<GroupKind>(random_() % 3), .window_blocks = Small()};
      group.buffer = static_cast<uint32_t>(random_() % message.buffers.size());
      group.layout = {Number(), Number(), Number(), Number(), Small(), Numbers()};
      message.groups.push_back(group);
    }
    for (uint64_t i = random_() % 4; i > 0; --i) message.pods.push_back(Pod());
    if (Flag()) message.pods_model = Name();
    return message;
  }
  Query RandomQuery() {
    Query message{.registration = Small(), .deadline = Signed()};
    message.consumers = static_cast<uint32_t>(1 + random_() % kMaxRanks);
    for (uint64_t i = random_() % 5; i > 0; --i) {
      QueryItem item{.hashes = Hashes(), .want_lease = Flag(), .want_handle = Flag()};
      item.min_blocks = Small();
      if (Flag()) item.handle = 1 + Number() / 2;
      if (item.handle != 0) item.handle_blocks = Position();
      message.items.push_back(item);
    }
    return message;
  }
  Save RandomSave() {
    Save message{.registration = Small(), .deadline = Signed(), .gate = Small()};
    for (uint64_t i = random_() % 5; i > 0; --i) {
      SaveChain chain{.group = static_cast<uint32_t>(random_() % kMaxGroups), .hashes = Hashes()};
      if (Flag()) chain.depth = 1 + Position();
      if (chain.depth != 0) chain.parent = Hash();
      chain.blocks = Blocks(chain.hashes.size());
      chain.lora_id = Number();
      chain.salt_id = Number();
      if (Flag()) chain.tokens = Blocks(chain.hashes.size() * (random_() % 4));
      message.chains.push_back(chain);
    }
    return message;
  }
  Load RandomLoad() {
    Load message{.registration = Small(), .lease = Number(), .first = Position()};
    message.count = static_cast<uint32_t>(random_() % 30);
    message.deadline = Signed();
    message.gate = Small();
    for (uint64_t i = random_() % (kMaxGroups + 1); i > 0; --i) {
      message.blocks_by_group.push_back(Blocks(Flag() ? message.count : 0));
    }
    return message;
  }
  wire::Request Rare() {
    switch (random_() % 6) {
      case 0:
        return Clear{Small()};
      case 1:
        return Cancel{Number()};
      case 2:
        return Ping{};
      case 3:
        return DropHandle{Numbers()};
      case 4:
        return Purge{Small(), Hash()};
      default:
        return StatusRequest{};
    }
  }

  std::mt19937_64 random_;
  std::deque<std::string> strings_;
};

}  // namespace headrace::wire
