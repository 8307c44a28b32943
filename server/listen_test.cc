#include "server/listen.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

namespace headrace::server {
namespace {

// A folder of its own that goes with the test.
struct Folder {
  Folder() {
    char name[] = "/tmp/headrace-listen-XXXXXX";
    HR_CHECK(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() {
    ::unlink((path + "/s").c_str());
    ::rmdir(path.c_str());
  }
  std::string file() const { return path + "/s"; }
  std::string path;
};

// A file of a socket that nobody listens on, as a killed server leaves it.
void LeaveStale(const std::string& path) {
  const Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strcpy(name.sun_path, path.c_str());
  HR_CHECK(::bind(fd.get(), reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0);
}

bool Exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

TEST(UnixListener, GivesTheFileItsModeAndTakesItAway) {
  const Folder folder;
  std::string message;
  {
    const auto listener = UnixListener::Listen(folder.file(), 0600, &message);
    ASSERT_TRUE(listener) << message;
    struct stat info{};
    ASSERT_EQ(::stat(folder.file().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600u);
  }
  EXPECT_FALSE(Exists(folder.file()));
}

TEST(UnixListener, ReplacesAStaleFile) {
  const Folder folder;
  LeaveStale(folder.file());
  std::string message;
  EXPECT_TRUE(UnixListener::Listen(folder.file(), 0600, &message)) << message;
}

TEST(UnixListener, RefusesASocketThatIsInUse) {
  const Folder folder;
  std::string message;
  const auto first = UnixListener::Listen(folder.file(), 0600, &message);
  ASSERT_TRUE(first) << message;
  EXPECT_FALSE(UnixListener::Listen(folder.file(), 0600, &message));
  EXPECT_EQ(message, "--socket: " + folder.file() + " is in use by another server");
  EXPECT_TRUE(Exists(folder.file()));
}

TEST(UnixListener, LeavesAFileThatIsNoSocket) {
  const Folder folder;
  std::ofstream(folder.file()) << "precious";
  std::string message;
  EXPECT_FALSE(UnixListener::Listen(folder.file(), 0600, &message));
  EXPECT_NE(message.find("is not a socket"), std::string::npos) << message;
  EXPECT_TRUE(Exists(folder.file()));
}

TEST(UnixListener, NamesAFolderThatIsNotThere) {
  std::string message;
  EXPECT_FALSE(UnixListener::Listen("/nonexistent-folder/s", 0600, &message));
  EXPECT_EQ(message.find("--socket: "), 0u) << message;
}

TEST(UnixListener, LeavesTheFileOfAnotherServerThatReplacedIt) {
  const Folder folder;
  std::string message;
  auto listener = UnixListener::Listen(folder.file(), 0600, &message);
  ASSERT_TRUE(listener) << message;
  ::unlink(folder.file().c_str());
  LeaveStale(folder.file());
  listener->RemoveFile();
  EXPECT_TRUE(Exists(folder.file()));
}

TEST(ListenTcp, TakesAFreePort) {
  std::string message;
  uint16_t port = 0;
  EXPECT_TRUE(ListenTcp("127.0.0.1:0", &port, &message)) << message;
  EXPECT_NE(port, 0);
}

TEST(ListenTcp, NamesAPortThatIsInUse) {
  std::string message;
  uint16_t port = 0;
  const auto first = ListenTcp("127.0.0.1:0", &port, &message);
  ASSERT_TRUE(first) << message;
  const std::string address = "127.0.0.1:" + std::to_string(port);
  uint16_t other = 0;
  EXPECT_FALSE(ListenTcp(address, &other, &message));
  EXPECT_EQ(message, "--addr: " + address + " is in use by another program; name another port");
}

TEST(ListenTcp, RefusesWhatIsNoAddress) {
  for (const char* address : {"", "127.0.0.1", "127.0.0.1:http", ":1", "127.0.0.1:99999"}) {
    std::string message;
    uint16_t port = 0;
    EXPECT_FALSE(ListenTcp(address, &port, &message)) << address;
    EXPECT_EQ(message.find("--addr: "), 0u) << message;
  }
}

}  // namespace
}  // namespace headrace::server
