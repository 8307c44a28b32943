#include "base/file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/fd.h"

namespace headrace {
namespace {

class FileTest : public ::testing::Test {
 protected:
  FileTest()
      : path_(std::filesystem::temp_directory_path() /
              ("headrace-file-" + std::to_string(::getpid()))) {}
  ~FileTest() override { std::filesystem::remove(path_); }

  const std::filesystem::path path_;
};

TEST_F(FileTest, ReadsEveryByteUpToTheLimit) {
  const std::string content = std::string(200'000, 'x') + '\0' + "end";
  std::ofstream(path_, std::ios::binary) << content;
  const auto read = ReadFile(path_, content.size());
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, content);
  const auto larger = ReadFile(path_, content.size() - 1);
  ASSERT_FALSE(larger);
  EXPECT_EQ(larger.error().code, Errc::kLimit);
  EXPECT_EQ(larger.error().os, EFBIG);
}

TEST_F(FileTest, SaysWhyThereIsNothing) {
  const auto missing = ReadFile(path_, 10);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::kNotFound);
  EXPECT_EQ(missing.error().os, ENOENT);
  const auto folder = ReadFile(std::filesystem::temp_directory_path(), 10);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, Errc::kIo);
  EXPECT_EQ(folder.error().os, EISDIR);
}

TEST_F(FileTest, ReadsPipes) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const Fd reading(ends[0]);
  {
    const Fd writing(ends[1]);
    ASSERT_EQ(::write(writing.get(), "said\n", 5), 5);
  }
  const auto read = ReadFile("/proc/self/fd/" + std::to_string(reading.get()), 10);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, "said\n");
}

}  // namespace
}  // namespace headrace
