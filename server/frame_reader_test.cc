#include "server/frame_reader.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "server/test_doubles.h"

namespace headrace::server {
namespace {

constexpr uint32_t kMaxFrame = 64 << 10;
constexpr size_t kMaxDescriptors = 4;

struct Fixture {
  SocketPair sockets;
  FrameReader reader{kMaxFrame, kMaxDescriptors};

  FrameReader::ReadResult Read() { return reader.Read(sockets.server.get()); }
  std::string Frame() {
    auto frame = reader.Next();
    if (!frame || !*frame) return "none";
    return std::string((*frame)->begin(), (*frame)->end());
  }
};

ino_t InodeOf(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
}

Fd SomeFile() {
  return Fd(::memfd_create("test", MFD_CLOEXEC));
}

TEST(FrameReader, GivesFramesOfOneReadInOrder) {
  Fixture f;
  f.sockets.Send(RawFrame(3, 'a') + RawFrame(2, 'b') + RawFrame(0));
  EXPECT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "aaa");
  EXPECT_TRUE(f.reader.HasFrame());
  EXPECT_EQ(f.Frame(), "bb");
  EXPECT_EQ(f.Frame(), "");
  EXPECT_FALSE(f.reader.HasFrame());
  EXPECT_EQ(f.Frame(), "none");
}

TEST(FrameReader, JoinsAFrameThatComesByteByByte) {
  Fixture f;
  const std::string frame = RawFrame(5, 'q');
  for (size_t i = 0; i < frame.size(); ++i) {
    EXPECT_FALSE(f.reader.HasFrame());
    f.sockets.Send(frame.substr(i, 1));
    EXPECT_EQ(f.Read(), FrameReader::ReadResult::kData);
  }
  EXPECT_EQ(f.Frame(), "qqqqq");
}

TEST(FrameReader, JoinsAFrameThatIsLargerThanItsFirstBuffer) {
  Fixture f;
  f.sockets.Send(RawFrame(7, 's') + RawFrame(kMaxFrame, 'l'));
  std::string large;
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), std::string(7, 's'));
  for (int reads = 0; reads < 100 && !f.reader.HasFrame(); ++reads) {
    ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  }
  EXPECT_EQ(f.Frame(), std::string(kMaxFrame, 'l'));
}

TEST(FrameReader, RefusesALengthOverTheLimit) {
  Fixture f;
  f.sockets.Send(RawFrame(2, 'a') + std::string("\x01\x00\x01\x00", 4));  // 65537
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "aa");
  EXPECT_TRUE(f.reader.HasFrame());
  const auto next = f.reader.Next();
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, Errc::kLimit);
}

TEST(FrameReader, TellsNothingFromAHangUp) {
  Fixture f;
  EXPECT_EQ(f.Read(), FrameReader::ReadResult::kNothing);
  f.sockets.client.Reset();
  EXPECT_EQ(f.Read(), FrameReader::ReadResult::kHangUp);
}

TEST(FrameReader, HandsOverTheDescriptorsOfAFrame) {
  Fixture f;
  const Fd one = SomeFile();
  const Fd two = SomeFile();
  f.sockets.SendWith(RawFrame(4), {one.get(), two.get()});
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "xxxx");
  const auto taken = f.reader.TakeDescriptors();
  ASSERT_EQ(taken.size(), 2u);
  EXPECT_EQ(InodeOf(taken[0].get()), InodeOf(one.get()));
  EXPECT_EQ(InodeOf(taken[1].get()), InodeOf(two.get()));
  EXPECT_EQ(::fcntl(taken[0].get(), F_GETFD), FD_CLOEXEC);
  EXPECT_TRUE(f.reader.TakeDescriptors().empty());
}

TEST(FrameReader, KeepsDescriptorsForTheSecondFrameOfARead) {
  Fixture f;
  const Fd one = SomeFile();
  f.sockets.Send(RawFrame(4, 'a'));
  f.sockets.SendWith(RawFrame(4, 'b'), {one.get()});
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "aaaa");
  if (!f.reader.HasFrame()) {  // kernels may end the read before the descriptors
    ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  }
  EXPECT_EQ(f.Frame(), "bbbb");
  EXPECT_EQ(f.reader.TakeDescriptors().size(), 1u);
  EXPECT_EQ(f.reader.unwanted_descriptors(), 0u);
}

TEST(FrameReader, KeepsDescriptorsOfAFrameThatComesInPieces) {
  Fixture f;
  const Fd one = SomeFile();
  const std::string frame = RawFrame(8);
  f.sockets.SendWith(frame.substr(0, 1), {one.get()});
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "none");
  f.sockets.Send(frame.substr(1));
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "xxxxxxxx");
  EXPECT_EQ(f.reader.TakeDescriptors().size(), 1u);
}

TEST(FrameReader, ClosesDescriptorsThatNoFrameTook) {
  Fixture f;
  Fd one = SomeFile();
  f.sockets.SendWith(RawFrame(4, 'a'), {one.get()});
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "aaaa");
  EXPECT_EQ(f.reader.unwanted_descriptors(), 1u);  // so far
  f.sockets.Send(RawFrame(4, 'b'));
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "bbbb");
  EXPECT_TRUE(f.reader.TakeDescriptors().empty());
  EXPECT_EQ(f.reader.unwanted_descriptors(), 1u);
}

TEST(FrameReader, ClosesDescriptorsOverItsLimit) {
  Fixture f;
  const Fd one = SomeFile();
  f.sockets.SendWith(RawFrame(1), std::vector<int>(kMaxDescriptors + 3, one.get()));
  ASSERT_EQ(f.Read(), FrameReader::ReadResult::kData);
  EXPECT_EQ(f.Frame(), "x");
  EXPECT_EQ(f.reader.TakeDescriptors().size(), kMaxDescriptors);
  EXPECT_EQ(f.reader.unwanted_descriptors(), 3u);
}

}  // namespace
}  // namespace headrace::server
