#include "server/buffers.h"

#include <gtest/gtest.h>

#include "server/test_doubles.h"

namespace headrace::server {
namespace {

constexpr Peer kLocal{.local = true, .uid = 7, .pid = 4321};

wire::GroupSpec Group(uint32_t buffer) {
  wire::GroupSpec group;
  group.buffer = buffer;
  group.layout = {
      .num_blocks = 16, .segment_bytes = 4096, .block_stride = 4096, .layer_offsets = {0}};
  return group;
}

struct Fixture {
  explicit Fixture(Peer peer = kLocal) : session(42, std::move(sockets.server), peer, {}) {
    spec.name_space = "n";
    spec.buffers = {{.bytes = 1 << 16}, {.bytes = 1 << 17}};
    spec.groups = {Group(0), Group(1), Group(1)};
  }
  Result<std::vector<wire::BufferId>> Add(size_t num_descriptors) {
    descriptors.clear();
    for (size_t i = 0; i < num_descriptors; ++i) descriptors.emplace_back(::dup(0));
    return book.Add(session, spec, descriptors, &why);
  }

  SocketPair sockets;
  Session session;
  FakeMover mover;
  BufferBook book{&mover};
  wire::Register spec;
  std::vector<Fd> descriptors;
  std::string why;
};

TEST(BufferBook, MapsOneBufferForEachGroup) {
  Fixture f;
  f.spec.has_gates = true;
  const auto ids = f.Add(3);
  ASSERT_TRUE(ids) << f.why;
  EXPECT_EQ(*ids, f.mover.added);
  ASSERT_EQ(f.mover.sources.size(), 3u);
  EXPECT_EQ(f.mover.sources[0].fd, f.descriptors[0].get());
  EXPECT_EQ(f.mover.sources[2].fd, f.descriptors[1].get());
  for (const auto& source : f.mover.sources) {
    EXPECT_EQ(source.gate_fd, f.descriptors[2].get());
    EXPECT_EQ(source.session_fd, f.session.fd());
  }
  EXPECT_EQ(f.book.Owner((*ids)[1]), SessionId{42});
}

TEST(BufferBook, ReachesAProcessBufferByTheProvedPid) {
  Fixture f;
  f.spec.buffers[1].kind = wire::BufferKind::kProcess;
  f.spec.buffers[1].offset = 0x7000;
  ASSERT_TRUE(f.Add(1)) << f.why;
  EXPECT_EQ(f.mover.sources[1].fd, -1);
  EXPECT_EQ(f.mover.sources[1].pid, kLocal.pid);
  EXPECT_EQ(f.mover.sources[1].offset, 0x7000u);
}

TEST(BufferBook, RefusesAWrongNumberOfDescriptors) {
  Fixture f;
  for (const size_t count : {0, 1, 3}) {
    const auto ids = f.Add(count);
    ASSERT_FALSE(ids);
    EXPECT_EQ(ids.error().code, Errc::kInvalid);
    EXPECT_NE(f.why.find("descriptors"), std::string::npos) << f.why;
  }
  EXPECT_TRUE(f.mover.added.empty());
}

TEST(BufferBook, RefusesBuffersOfAPeerThatIsNotLocal) {
  Fixture f(Peer{});
  const auto ids = f.Add(2);
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, Errc::kPermission);
}

TEST(BufferBook, LetsAnyPeerRegisterWithoutBuffers) {
  Fixture f(Peer{});
  f.spec.buffers.clear();
  f.spec.groups.clear();
  const auto ids = f.Add(0);
  ASSERT_TRUE(ids) << f.why;
  EXPECT_TRUE(ids->empty());
}

TEST(BufferBook, NamesTheGroupWhoseLayoutIsWrong) {
  Fixture f;
  f.spec.groups[2].layout.num_blocks = 1000;
  ASSERT_FALSE(f.Add(2));
  EXPECT_NE(f.why.find("groups[2]"), std::string::npos) << f.why;
  f.spec.groups[2].layout.num_blocks = 1;
  f.spec.groups[1].buffer = 9;
  ASSERT_FALSE(f.Add(2));
  EXPECT_NE(f.why.find("groups[1].buffer"), std::string::npos) << f.why;
}

TEST(BufferBook, RefusesABufferWithoutBytes) {
  Fixture f;
  f.spec.buffers[1].bytes = 0;
  ASSERT_FALSE(f.Add(2));
  EXPECT_NE(f.why.find("buffers[1].bytes"), std::string::npos) << f.why;
}

TEST(BufferBook, UnmapsAllWhenOneCannotBeMapped) {
  Fixture f;
  f.mover.fail_at = 2;
  const auto ids = f.Add(2);
  ASSERT_FALSE(ids);
  EXPECT_EQ(ids.error().code, Errc::kIo);
  EXPECT_NE(f.why.find("buffers[1]"), std::string::npos) << f.why;
  EXPECT_EQ(f.mover.dropped, f.mover.added);
  EXPECT_EQ(f.book.size(), 0u);
}

}  // namespace
}  // namespace headrace::server
