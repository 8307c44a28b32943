// The real program: starts it, asks it, stops it.
#include "server/app.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/time.h"
#include "server/server_path.h"
#include "wire/control.h"

namespace headrace::server {
namespace {

constexpr Duration kPatience = seconds(20);  // for a loaded machine; good runs take milliseconds

// A folder of its own that goes with the test.
struct Folder {
  Folder() {
    char name[] = "/tmp/headrace-app-XXXXXX";
    HR_CHECK(::mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { ::rmdir(path.c_str()); }
  std::string socket() const { return path + "/s"; }
  std::string path;
};

class Program {
 public:
  explicit Program(std::vector<std::string> flags) {
    int ends[2] = {-1, -1};
    HR_CHECK(::pipe2(ends, O_CLOEXEC) == 0);
    output_ = Fd(ends[0]);
    const Fd write_end(ends[1]);
    flags.insert(flags.begin(), HEADRACE_SERVER_PATH);
    std::vector<char*> argv;
    for (std::string& flag : flags) argv.push_back(flag.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, write_end.get(), STDERR_FILENO);
    HR_CHECK(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ) == 0);
    ::posix_spawn_file_actions_destroy(&actions);
  }
  ~Program() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  void Signal(int signal) const { ::kill(pid_, signal); }

  // Reads until `word` is there, the program ends, or patience does. Returns all that was written.
  const std::string& ReadUntil(const std::string& word) {
    const Time end = MonotonicNow() + kPatience;
    while (text_.find(word) == std::string::npos && MonotonicNow() < end) {
      pollfd readable{output_.get(), POLLIN, 0};
      if (::poll(&readable, 1, 100) <= 0) continue;
      char piece[4096];
      const ssize_t got = ::read(output_.get(), piece, sizeof(piece));
      if (got <= 0) break;
      text_.append(piece, static_cast<size_t>(got));
    }
    return text_;
  }
  // The exit status; -1 when a signal ended it.
  int Wait() {
    ReadUntil("\x01 never written");
    int status = 0;
    HR_CHECK(::waitpid(pid_, &status, 0) == pid_);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& text() const { return text_; }

 private:
  pid_t pid_ = -1;
  Fd output_;
  std::string text_;
};

// Flags of a small server; `more` are given after them and win.
std::vector<std::string> Flags(const Folder& folder, std::vector<std::string> more = {}) {
  std::vector<std::string> flags = {"--device",    "cpu",         "--socket",    folder.socket(),
                                    "--addr",      "127.0.0.1:0", "--http-addr", "127.0.0.1:0",
                                    "--pool-size", "16mb"};
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

// "127.0.0.1:PORT" after `before` in the line that says what is served.
uint16_t PortAfter(const std::string& text, const std::string& before) {
  const size_t line = text.find("serving on");
  if (line == std::string::npos) return 0;
  const size_t at = text.find(before + "127.0.0.1:", line);
  if (at == std::string::npos) return 0;
  return static_cast<uint16_t>(std::strtoul(text.c_str() + at + before.size() + 10, nullptr, 10));
}

Fd ConnectTcp(uint16_t port) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) fd.Reset();
  return fd;
}

Fd ConnectUnix(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  std::strcpy(to.sun_path, path.c_str());
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) != 0) fd.Reset();
  return fd;
}

std::string ReadAll(int fd, size_t enough = SIZE_MAX) {
  std::string all;
  char piece[65536];
  while (all.size() < enough) {
    pollfd readable{fd, POLLIN, 0};
    if (::poll(&readable, 1, 20'000) <= 0) break;
    const ssize_t got = ::recv(fd, piece, sizeof(piece), 0);
    if (got <= 0) break;
    all.append(piece, static_cast<size_t>(got));
  }
  return all;
}

std::string Get(uint16_t port, const std::string& path) {
  const Fd fd = ConnectTcp(port);
  if (!fd.valid()) return "no connection";
  const std::string request =
      "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
  HR_CHECK(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) > 0);
  return ReadAll(fd.get());
}

// Sends one request and reads one reply.
std::string Ask(int fd, uint64_t id, const wire::Request& body) {
  std::string request;
  wire::EncodeRequest({id, body}, &request);
  HR_CHECK(::send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0);
  const std::string head = ReadAll(fd, 1);
  uint32_t length = 0;
  if (head.size() < 4) return "";
  std::memcpy(&length, head.data(), 4);
  return head.size() >= 4 + length ? head.substr(4)
                                   : head.substr(4) + ReadAll(fd, 4 + length - head.size());
}

Result<wire::ReplyFrame> Decode(const std::string& reply) {
  return wire::DecodeReply({reinterpret_cast<const uint8_t*>(reply.data()), reply.size()});
}

TEST(HeadraceServer, ServesAndStopsWhenAsked) {
  const Folder folder;
  for (const int signal : {SIGTERM, SIGINT}) {
    Program program(Flags(folder));
    program.ReadUntil("serving on");
    ASSERT_NE(PortAfter(program.text(), "HTTP "), 0) << program.text();
    const Time asked = MonotonicNow();
    program.Signal(signal);
    EXPECT_EQ(program.Wait(), 0) << program.text();
    EXPECT_LT(MonotonicNow() - asked, seconds(3));
    EXPECT_NE(::access(folder.socket().c_str(), F_OK), 0);
  }
}

TEST(HeadraceServer, AnswersItsPages) {
  const Folder folder;
  Program program(Flags(folder));
  const uint16_t port = PortAfter(program.ReadUntil("of 16 MiB ready"), "HTTP ");
  EXPECT_NE(Get(port, "/health").find("\"status\":\"ok\""), std::string::npos);
  const std::string ready = Get(port, "/ready");
  EXPECT_NE(ready.find("200 OK"), std::string::npos) << ready;
  EXPECT_NE(ready.find("\"total_bytes\":16777216"), std::string::npos) << ready;
  const std::string metrics = Get(port, "/metrics");
  EXPECT_NE(metrics.find("\nheadrace_pool_ready_bytes 16777216"), std::string::npos) << metrics;
  EXPECT_NE(metrics.find("headrace_limit{name=\"max-sessions\"} 1024"), std::string::npos);
  EXPECT_NE(Get(port, "/instances").find("\"instances\":[]"), std::string::npos);
  EXPECT_NE(Get(port, "/nothing").find("404"), std::string::npos);
}

TEST(HeadraceServer, SpeaksItsProtocolOnBothSockets) {
  const Folder folder;
  Program program(Flags(folder));
  const std::string& text = program.ReadUntil("serving on");
  program.ReadUntil("HTTP 127");
  std::vector<Fd> connections;
  for (const bool local : {true, false}) {
    Fd fd = local ? ConnectUnix(folder.socket()) : ConnectTcp(PortAfter(text, ", "));
    ASSERT_TRUE(fd.valid());
    const std::string hello = Ask(fd.get(), 1, wire::Hello{.instance = "i", .capabilities = ~0ull});
    const auto reply = Decode(hello);
    ASSERT_TRUE(reply);
    EXPECT_NE(reply->epoch, 0u);
    const auto& said = std::get<wire::HelloReply>(reply->body);
    EXPECT_EQ((said.capabilities & wire::kCapDescriptors) != 0, local);
    // A namespace belongs to the user who came first; on TCP nobody proves to be that user.
    const std::string joined =
        Ask(fd.get(), 2, wire::Register{.name_space = local ? "n" : "m", .block_tokens = 16});
    EXPECT_EQ(Decode(joined)->code, Errc::kOk) << Decode(joined)->text;
    connections.push_back(std::move(fd));
  }
  const std::string instances = Get(PortAfter(text, "HTTP "), "/instances");
  EXPECT_NE(instances.find("\"pid\":" + std::to_string(::getpid())), std::string::npos)
      << instances;
}

TEST(HeadraceServer, StopsWhileThePoolGrows) {
  const Folder folder;
  Program program(Flags(folder, {"--pool-size", "4gb"}));
  program.ReadUntil("serving on");
  const Time asked = MonotonicNow();
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0) << program.text();
  EXPECT_LT(MonotonicNow() - asked, seconds(3));
}

TEST(HeadraceServer, StopsFastWithALargePool) {
  const Folder folder;
  Program program(Flags(folder, {"--pool-size", "1gb"}));
  program.ReadUntil("1 GiB of 1 GiB ready");
  const uint16_t port = PortAfter(program.text(), "HTTP ");
  const Fd session = ConnectUnix(folder.socket());
  ASSERT_TRUE(session.valid());
  const Time asked = MonotonicNow();
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0) << program.text();
  EXPECT_LT(MonotonicNow() - asked, seconds(3));
  // Who inherits the memory inherits no socket.
  EXPECT_TRUE(ReadAll(session.get()).empty());
  EXPECT_FALSE(ConnectTcp(port).valid());
}

TEST(HeadraceServer, ServesWithAMoverProcess) {
  const Folder folder;
  Program program(Flags(folder, {"--mover", "process"}));
  EXPECT_NE(program.ReadUntil("mover (pid").find("headrace-mover (pid"), std::string::npos);
  const Fd fd = ConnectUnix(folder.socket());
  ASSERT_TRUE(fd.valid());
  EXPECT_EQ(Decode(Ask(fd.get(), 1, wire::Hello{.instance = "i"}))->code, Errc::kOk);
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0) << program.text();
}

TEST(HeadraceServer, NamesAMoverProgramThatIsNotThere) {
  const Folder folder;
  Program program(Flags(folder, {"--mover", "process", "--mover-program", "/nonexistent/mover"}));
  EXPECT_EQ(program.Wait(), 2);
  EXPECT_EQ(program.text().find("headrace-server: --mover process: "), 0u) << program.text();
}

TEST(HeadraceServer, StopsWithSessionsOpen) {
  const Folder folder;
  Program program(Flags(folder));
  program.ReadUntil("serving on");
  const Fd fd = ConnectUnix(folder.socket());
  ASSERT_TRUE(fd.valid());
  ASSERT_FALSE(Ask(fd.get(), 1, wire::Hello{.instance = "i"}).empty());
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(), 0);
  EXPECT_TRUE(ReadAll(fd.get()).empty());  // hung up
}

TEST(HeadraceServer, SaysInOneLineWhyItDoesNotStart) {
  const Folder folder;
  const std::vector<std::pair<std::vector<std::string>, std::string>> wrong = {
      {{"--device", "0"}, "--device 0: "},
      {{"--no-such-flag"}, "--no-such-flag"},
      {{"--pool-size", "abc"}, "--pool-size: "},
      {{"--pool-size", "900tb"}, "--pool-size: "},
      {{"--addr", "nowhere"}, "--addr: "},
      {{"--http-addr", "nowhere"}, "--http-addr: "},
      {{"--socket", "/nonexistent-folder/s"}, "--socket: "}};
  for (const auto& [flags, start] : wrong) {
    auto all = Flags(folder);
    for (size_t i = 0; i + 1 < flags.size(); ++i) {
      // The wrong value takes the place of the right one.
      const auto found = std::find(all.begin(), all.end(), flags[i]);
      if (found != all.end()) all.erase(found, found + 2);
    }
    all.insert(all.end(), flags.begin(), flags.end());
    Program program(all);
    EXPECT_EQ(program.Wait(), 2) << program.text();
    EXPECT_EQ(program.text().find("headrace-server: " + start), 0u) << program.text();
    EXPECT_EQ(program.text().find('\n'), program.text().size() - 1) << program.text();
  }
}

TEST(HeadraceServer, RefusesWhatAnotherServerUses) {
  const Folder folder;
  Program first(Flags(folder));
  first.ReadUntil("HTTP 127");
  const uint16_t http = PortAfter(first.ReadUntil("pool 16"), "HTTP ");
  ASSERT_NE(http, 0);
  Program second(Flags(folder));
  EXPECT_EQ(second.Wait(), 2);
  EXPECT_NE(second.text().find("is in use by another server"), std::string::npos) << second.text();
  const Folder other;
  auto flags = Flags(other);
  flags[7] = "127.0.0.1:" + std::to_string(http);
  Program third(flags);
  EXPECT_EQ(third.Wait(), 2);
  EXPECT_NE(third.text().find("--http-addr: "), std::string::npos) << third.text();
  EXPECT_NE(::access(other.socket().c_str(), F_OK), 0);  // left nothing behind
}

TEST(HeadraceServer, TakesTheSocketOfAServerThatWasKilled) {
  const Folder folder;
  {
    Program first(Flags(folder));
    first.ReadUntil("serving on");
    first.Signal(SIGKILL);
    EXPECT_EQ(first.Wait(), -1);
  }
  ASSERT_EQ(::access(folder.socket().c_str(), F_OK), 0);
  Program second(Flags(folder));
  EXPECT_NE(second.ReadUntil("serving on").find("serving on"), std::string::npos);
  second.Signal(SIGTERM);
  EXPECT_EQ(second.Wait(), 0);
}

TEST(HeadraceServer, AnswersHealthWithoutAPool) {
  const Folder folder;
  Program program(Flags(folder, {"--pool-size", "0"}));
  const uint16_t port = PortAfter(program.ReadUntil("pool 0"), "HTTP ");
  EXPECT_NE(Get(port, "/health").find("200 OK"), std::string::npos);
  EXPECT_NE(Get(port, "/ready").find("200 OK"), std::string::npos);
}

TEST(HeadraceServer, PrintsHelpAndVersion) {
  Program help({"--help"});
  EXPECT_EQ(help.Wait(), 0);
  EXPECT_NE(help.text().find("--pool-size"), std::string::npos);
  EXPECT_NE(help.text().find("Limits of the cache"), std::string::npos);
  Program version({"--version"});
  EXPECT_EQ(version.Wait(), 0);
  EXPECT_EQ(version.text().find("headrace-server "), 0u);
}

}  // namespace
}  // namespace headrace::server
