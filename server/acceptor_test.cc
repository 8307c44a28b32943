#include "server/acceptor.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>

#include "server/listen.h"
#include "server/test_doubles.h"

namespace headrace::server {
namespace {

struct Fixture {
  Fixture() {
    char name[] = "/tmp/headrace-accept-XXXXXX";
    HR_CHECK(::mkdtemp(name) != nullptr);
    folder = name;
    std::string message;
    auto made = UnixListener::Listen(folder + "/s", 0600, &message);
    HR_CHECK(made.has_value());
    local = std::move(*made);
    auto tcp = ListenTcp("127.0.0.1:0", &port, &message);
    HR_CHECK(tcp.has_value());
    remote_fd = tcp->get();
    Fd fd = local.TakeFd();
    local_fd = fd.get();
    HR_CHECK(acceptor.Add(std::move(fd), true).has_value());
    HR_CHECK(acceptor.Add(std::move(*tcp), false).has_value());
  }
  ~Fixture() {
    local.RemoveFile();
    ::rmdir(folder.c_str());
  }
  Fd ConnectLocal() const {
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strcpy(to.sun_path, (folder + "/s").c_str());
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) fd.Reset();
    return fd;
  }
  Fd ConnectRemote() const {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) fd.Reset();
    return fd;
  }

  std::string folder;
  UnixListener local;
  uint16_t port = 0;
  int local_fd = -1, remote_fd = -1;
  FakeLoop loop;
  std::vector<std::pair<Fd, Peer>> arrived;
  Acceptor acceptor{&loop, [this](Fd fd, Peer peer) { arrived.emplace_back(std::move(fd), peer); }};
};

TEST(Acceptor, NamesThePeerOfAUnixSocket) {
  Fixture f;
  const Fd client = f.ConnectLocal();
  f.loop.Fire(f.local_fd, EPOLLIN);
  ASSERT_EQ(f.arrived.size(), 1u);
  EXPECT_TRUE(f.arrived[0].second.local);
  EXPECT_EQ(f.arrived[0].second.uid, ::getuid());
  EXPECT_EQ(f.arrived[0].second.pid, ::getpid());
}

TEST(Acceptor, ProvesNothingOfAPeerOnTcp) {
  Fixture f;
  const Fd client = f.ConnectRemote();
  f.loop.Fire(f.remote_fd, EPOLLIN);
  ASSERT_EQ(f.arrived.size(), 1u);
  EXPECT_FALSE(f.arrived[0].second.local);
  EXPECT_EQ(f.arrived[0].second.uid, kNobody);
}

TEST(Acceptor, TakesAllThatWait) {
  Fixture f;
  const Fd first = f.ConnectLocal();
  const Fd second = f.ConnectLocal();
  const Fd third = f.ConnectLocal();
  f.loop.Fire(f.local_fd, EPOLLIN);
  EXPECT_EQ(f.arrived.size(), 3u);
}

TEST(Acceptor, PausesWhileThereAreNoDescriptors) {
  Fixture f;
  const Fd client = f.ConnectLocal();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;  // what is open stays usable
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  f.loop.Fire(f.local_fd, EPOLLIN);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(f.arrived.empty());
  EXPECT_EQ(f.acceptor.pauses(), 1u);
  EXPECT_FALSE(f.loop.watched.contains(f.local_fd));
  f.loop.Advance(milliseconds(200));
  f.loop.Fire(f.local_fd, EPOLLIN);
  EXPECT_EQ(f.arrived.size(), 1u);
}

TEST(Acceptor, RefusesConnectionsOnceItIsClosed) {
  Fixture f;
  f.acceptor.Close();
  EXPECT_TRUE(f.loop.watched.empty());
  EXPECT_FALSE(f.ConnectLocal().valid());
  EXPECT_FALSE(f.ConnectRemote().valid());
}

}  // namespace
}  // namespace headrace::server
