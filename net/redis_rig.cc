#include "net/redis_rig.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/fd.h"
#include "net/redis_batch.h"

namespace headrace::net {
namespace {

std::string Shown(const RespValue& value) {
  if (value.is_nil()) return "nil";
  if (value.kind() == RespKind::kInteger) return std::to_string(value.integer());
  if (!value.is_array()) return std::string(value.text());
  std::string shown = "[";
  for (size_t i = 0; i < value.size(); ++i) {
    if (i > 0) shown.push_back(' ');
    shown += Shown(value[i]);
  }
  shown.push_back(']');
  return shown;
}

Fd Dial(uint16_t port, const std::string& path) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  HR_CHECK(path.size() < sizeof(un.sun_path));
  std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
  const bool tcp = path.empty();
  Fd fd(socket(tcp ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  HR_CHECK(fd.valid());
  const auto* to = tcp ? reinterpret_cast<sockaddr*>(&in) : reinterpret_cast<sockaddr*>(&un);
  const socklen_t size = tcp ? sizeof(in) : sizeof(un);
  if (connect(fd.get(), to, size) != 0) fd.Reset();
  return fd;
}

}  // namespace

std::string FindRedisServer() {
  for (const char* path : {"/usr/bin/redis-server", "/usr/local/bin/redis-server",
                           "/usr/bin/valkey-server", "/usr/local/bin/valkey-server"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return {};
}

TestFolder::TestFolder() {
  std::string name = std::filesystem::temp_directory_path() / "headrace-redis-XXXXXX";
  HR_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TestFolder::~TestFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

uint16_t FreePort() {
  Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  HR_CHECK(fd.valid());
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  HR_CHECK(bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof(at)) == 0);
  HR_CHECK(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  return ntohs(at.sin_port);
}

TestRedis::TestRedis(std::vector<std::string> options, int port)
    : options_(std::move(options)),
      chosen_(port < 0),
      port_(chosen_ ? FreePort() : static_cast<uint16_t>(port)) {
  Start();
}

TestRedis::~TestRedis() {
  Kill();
}

void TestRedis::Spawn() {
  HR_CHECK(pid_ < 0);
  std::vector<std::string> words = {FindRedisServer(),
                                    "--bind",
                                    "127.0.0.1",
                                    "--port",
                                    std::to_string(port_),
                                    "--dir",
                                    folder_.path(),
                                    "--save",
                                    "",
                                    "--appendonly",
                                    "no",
                                    "--unixsocket",
                                    folder_ / "sock",
                                    "--daemonize",
                                    "no",
                                    "--enable-debug-command",
                                    "yes"};
  words.insert(words.end(), options_.begin(), options_.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string log = folder_ / "log";
  pid_ = fork();
  HR_CHECK(pid_ >= 0);
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that aborts leaves nobody behind
    const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (out < 0) _exit(127);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execv(argv[0], argv.data());
    _exit(127);
  }
}

void TestRedis::Start() {
  Spawn();
  HR_CHECK(Eventually([this] {
    if (Dial(0, folder_ / "sock").valid()) return true;
    if (waitpid(pid_, nullptr, WNOHANG) == 0) return false;
    // Another process took the port meanwhile.
    pid_ = -1;
    if (chosen_ && !was_up_) port_ = FreePort();
    Spawn();
    return false;
  }));
  was_up_ = true;
}

void TestRedis::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void TestRedis::Freeze() {
  kill(pid_, SIGSTOP);
}
void TestRedis::Thaw() {
  kill(pid_, SIGCONT);
}

std::string TestRedis::Ask(const std::vector<std::string>& words) const {
  Fd fd = Dial(0, folder_ / "sock");
  if (!fd.valid()) return "no connection";
  std::string out;
  RespWriter writer(&out);
  writer.Command(words.size());
  for (const std::string& word : words) writer.Word(word);
  HR_CHECK(send(fd.get(), out.data(), out.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(out.size()));
  std::string in;
  RespParser parser(1);
  std::vector<char> buffer(1 << 16);
  while (true) {
    auto complete = parser.Parse(in);
    HR_CHECK(complete.has_value());
    if (*complete) return Shown(parser.root(in).first());
    const ssize_t got = recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (got <= 0) return "connection closed";
    in.append(buffer.data(), static_cast<size_t>(got));
  }
}

TestCluster::TestCluster() : owners_(kRedisSlots) {
  for (size_t i = 0; i < 3; ++i) {
    // The bus has a port of its own: 10000 above is beyond the ports that there are.
    nodes_.push_back(std::make_unique<TestRedis>(std::vector<std::string>{
        "--cluster-enabled", "yes", "--cluster-port", std::to_string(FreePort()),
        "--cluster-require-full-coverage", "yes"}));
    ids_.push_back(nodes_[i]->Ask({"CLUSTER", "MYID"}));
  }
  const size_t third = kRedisSlots / 3;
  for (size_t i = 0; i < 3; ++i) {
    const size_t low = i * third;
    const size_t high = i == 2 ? kRedisSlots - 1 : low + third - 1;
    HR_CHECK(nodes_[i]->Ask(
                 {"CLUSTER", "ADDSLOTSRANGE", std::to_string(low), std::to_string(high)}) == "OK");
    HR_CHECK(nodes_[i]->Ask({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)}) == "OK");
    for (size_t slot = low; slot <= high; ++slot) owners_[slot] = i;
  }
  for (size_t i = 1; i < 3; ++i) {
    std::string bus = nodes_[i]->Ask({"CONFIG", "GET", "cluster-port"});
    bus = bus.substr(bus.find(' ') + 1);
    bus.pop_back();
    HR_CHECK(nodes_[0]->Ask(
                 {"CLUSTER", "MEET", "127.0.0.1", std::to_string(nodes_[i]->port()), bus}) == "OK");
  }
  for (auto& node : nodes_) {
    HR_CHECK(Eventually([&] {
      const std::string info = node->Ask({"CLUSTER", "INFO"});
      return info.find("cluster_state:ok") != std::string::npos &&
             info.find("cluster_known_nodes:3") != std::string::npos;
    }));
  }
}

std::string TestCluster::Ask(uint16_t slot, const std::vector<std::string>& words) {
  return nodes_[owners_[slot]]->Ask(words);
}

void TestCluster::BeginMove(uint16_t slot, size_t to) {
  const size_t from = owners_[slot];
  HR_CHECK(from != to);
  const std::string number = std::to_string(slot);
  HR_CHECK(nodes_[to]->Ask({"CLUSTER", "SETSLOT", number, "IMPORTING", ids_[from]}) == "OK");
  HR_CHECK(nodes_[from]->Ask({"CLUSTER", "SETSLOT", number, "MIGRATING", ids_[to]}) == "OK");
}

void TestCluster::MoveKeys(uint16_t slot, size_t to) {
  const std::string number = std::to_string(slot);
  while (true) {
    TestRedis& from = *nodes_[owners_[slot]];
    std::string moved = from.Ask({"CLUSTER", "GETKEYSINSLOT", number, "1"});
    if (moved == "[]") return;
    moved = moved.substr(1, moved.size() - 2);
    HR_CHECK(from.Ask({"MIGRATE", "127.0.0.1", std::to_string(nodes_[to]->port()), moved, "0",
                       "5000"}) == "OK");
  }
}

void TestCluster::EndMove(uint16_t slot, size_t to) {
  const std::string number = std::to_string(slot);
  for (auto& node : nodes_) {
    HR_CHECK(node->Ask({"CLUSTER", "SETSLOT", number, "NODE", ids_[to]}) == "OK");
  }
  owners_[slot] = to;
}

RedisOptions OptionsFor(const std::string& url) {
  auto parsed = ParseRedisUrl(url);
  HR_CHECK(parsed.has_value());
  RedisOptions options;
  options.url = *parsed;
  options.pause_min = milliseconds(2);
  options.pause_max = milliseconds(20);
  return options;
}

}  // namespace headrace::net
