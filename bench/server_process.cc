#include "bench/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>

#include "bench/report.h"

namespace headrace::bench {
namespace {

[[noreturn]] void Die(const std::string& why) {
  Progress(why);
  std::exit(1);
}

// "ready_bytes": of the server's status, without a JSON library.
uint64_t ReadyBytes(const std::string& json) {
  const char* key = "\"ready_bytes\":";
  const size_t at = json.find(key);
  return at == std::string::npos ? 0
                                 : std::strtoull(json.c_str() + at + std::strlen(key), nullptr, 10);
}

}  // namespace

ServerProcess::ServerProcess(const std::string& program, uint64_t pool_bytes,
                             std::vector<std::string> more) {
  char directory[] = "/tmp/headrace-bench-XXXXXX";
  if (mkdtemp(directory) == nullptr) Die("no temporary directory");
  directory_ = directory;
  const std::string socket = directory_ + "/socket";
  endpoint_ = "ipc://" + socket;
  std::vector<std::string> words = {
      program,       "--device",    "cpu",    "--pool-size", std::to_string(pool_bytes),
      "--socket",    socket,        "--addr", "127.0.0.1:0", "--http-addr",
      "127.0.0.1:0", "--log-level", "warn"};
  words.insert(words.end(), more.begin(), more.end());
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(2, 1);  // standard output is for figures
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    execv(program.c_str(), argv.data());
    std::perror(program.c_str());
    _exit(127);
  }
  auto client = Connect("bench-wait");
  const Time give_up = MonotonicNow() + seconds(120);
  while (MonotonicNow() < give_up) {
    auto status = client->ServerStatus(milliseconds(200));
    if (status && ReadyBytes(*status) >= pool_bytes) return;
    usleep(50'000);
  }
  Die("the server's pool did not become ready");
}

ServerProcess::~ServerProcess() {
  kill(pid_, SIGTERM);
  waitpid(pid_, nullptr, 0);
  unlink((directory_ + "/socket").c_str());
  rmdir(directory_.c_str());
}

std::unique_ptr<client::Client> ServerProcess::Connect(const std::string& instance) const {
  client::ClientOptions options;
  options.endpoint = endpoint_;
  options.instance = instance;
  options.call_timeout = seconds(1);
  auto client = client::Client::Create(options);
  HR_CHECK(client.has_value());
  return std::move(*client);
}

std::vector<transport::Mapping> ServerProcess::MapPool() const {
  const std::filesystem::path fds = "/proc/" + std::to_string(pid_) + "/fd";
  std::map<std::string, transport::Mapping> by_name;
  for (const auto& entry : std::filesystem::directory_iterator(fds)) {
    std::error_code gone;
    const std::string target = std::filesystem::read_symlink(entry.path(), gone).string();
    if (target.find("memfd:headrace-pool-") == std::string::npos) continue;
    Fd fd(open(entry.path().c_str(), O_RDWR | O_CLOEXEC));
    struct stat info{};
    if (!fd.valid() || fstat(fd.get(), &info) != 0) Die("the server's pool cannot be opened");
    auto mapping = transport::Mapping::Map(fd.get(), 0, static_cast<uint64_t>(info.st_size));
    HR_CHECK(mapping.has_value());
    by_name[target] = std::move(*mapping);
  }
  std::vector<transport::Mapping> regions;
  for (auto& [name, mapping] : by_name) regions.push_back(std::move(mapping));
  if (regions.empty()) Die("the server's pool was not found in " + fds.string());
  return regions;
}

}  // namespace headrace::bench
