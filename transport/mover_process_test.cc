// What only the mover process has: its death, its restart, and what it keeps open.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

#include "transport/local/cma.h"
#include "transport/local/mover_rig.h"
#include "transport/mover.h"
#include "transport/mover_path.h"
#include "wire/copy.h"

namespace headrace::transport {

const char* const kMoverProgram = HEADRACE_MOVER_PATH;

namespace {

using wire::Direction;

class MoverProcess : public MoverTest {
 protected:
  // From the words for logs: "process PATH (pid 123), ...".
  pid_t Pid() const {
    const std::string words = mover_->Describe();
    const size_t at = words.find("(pid ");
    return at == std::string::npos ? 0 : std::atoi(words.c_str() + at + 5);
  }
  // Returns when no thread of it runs.
  void Freeze() const {
    ASSERT_EQ(::kill(Pid(), SIGSTOP), 0);
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(Pid()), &info, WSTOPPED | WNOWAIT), 0);
  }
  // Submits as a server would: while the process is being restarted, later.
  void SubmitWhenUp(const Spec& spec, const std::vector<wire::BlockCopy>& blocks) {
    std::vector<wire::CopyDone> none;
    WaitUntil([&] {
      mover_->Poll(&none);
      const Status status = Submit(spec, blocks);
      EXPECT_TRUE(status || status.error().code == Errc::kUnavailable);
      return status.has_value();
    });
    EXPECT_TRUE(none.empty());
  }
};
INSTANTIATE_TEST_SUITE_P(Forms, MoverProcess,
                         testing::Values(Form{"Process1", true, 1}, Form{"Process2", true, 2}),
                         FormName);

TEST_P(MoverProcess, FencesAndAnswersWhatAKilledProcessWasCopying) {
  TestBuffer target(kLongBlocks * kLongBlock);
  StartLongLoad(&target, {.direction = Direction::kLoad});
  ASSERT_FALSE(HasFatalFailure());
  const pid_t first = Pid();
  ASSERT_EQ(::kill(first, SIGKILL), 0);
  ASSERT_TRUE(Submit({.ticket = 2}, {{}})) << "its death was not polled yet";
  int failed = 0;
  for (const wire::CopyDone& done : Wait(2)) failed += done.code == Errc::kIo ? 1 : 0;
  EXPECT_EQ(failed, 2);
  target.Fill(0x33);

  // The next life knows the regions and the buffer, and the last one writes no more.
  TestBuffer other(8 * 4096);
  ASSERT_TRUE(Add(2, other, PlainLayout(8, 4096)));
  SubmitWhenUp({.ticket = 3, .direction = Direction::kLoad, .buffer = 2}, {{4096, 0, 5}});
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(other.view.data()[5 * 4096], 0x11);
  EXPECT_TRUE(target.AllAre(0x33));
  ASSERT_TRUE(Submit({.ticket = 4, .direction = Direction::kLoad}, {{0, 0, 1}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(target.view.data()[kLongBlock], 0x11);
  EXPECT_NE(Pid(), first);
  EXPECT_EQ(mover_->stats().restarts, 1u);
}

TEST_P(MoverProcess, ComesBackEachTimeItIsKilled) {
  StartMover();
  TestBuffer buffer(4096);
  ASSERT_TRUE(Add(1, buffer, PlainLayout(1, 4096)));
  for (wire::Ticket ticket = 1; ticket <= 4; ++ticket) {
    std::memset(pool_.mapping.data(), static_cast<int>(ticket), 4096);
    SubmitWhenUp({.ticket = ticket, .direction = Direction::kLoad}, {{}});
    EXPECT_EQ(WaitOne().code, Errc::kOk);
    EXPECT_TRUE(buffer.AllAre(static_cast<uint8_t>(ticket)));
    ASSERT_EQ(::kill(Pid(), SIGKILL), 0);
    std::vector<wire::CopyDone> none;
    WaitUntil([&] {
      mover_->Poll(&none);
      return mover_->stats().restarts == ticket;
    });
    EXPECT_TRUE(none.empty());
  }
  EXPECT_EQ(mover_->stats().jobs, 4u) << "statistics outlive the process";
}

TEST_P(MoverProcess, KillsAProcessThatDoesNotAnswerAfterADeadline) {
  TestBuffer target(kLongBlocks * kLongBlock);
  StartLongLoad(&target, {.direction = Direction::kLoad});
  ASSERT_FALSE(HasFatalFailure());
  Freeze();
  ASSERT_TRUE(Submit({.ticket = 2, .deadline = MonotonicNow() + milliseconds(10)}, {{}}));
  for (const wire::CopyDone& done : Wait(2)) EXPECT_EQ(done.code, Errc::kIo);
  target.Fill(0x33);
  SubmitWhenUp({.ticket = 3}, {{}});
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_TRUE(target.AllAre(0x33));
}

TEST_P(MoverProcess, IsToldManyThingsWhileItDoesNotListen) {
  StartMover();
  const TestBuffer buffer(4096);
  Freeze();
  wire::Layout layout = PlainLayout(1, 1);
  layout.layer_offsets.clear();
  for (uint64_t i = 0; i < 4096; ++i) layout.layer_offsets.push_back(i);
  for (wire::BufferId id = 1; id <= 40; ++id) ASSERT_TRUE(Add(id, buffer, layout));
  for (wire::BufferId id = 1; id <= 40; id += 2) mover_->DropBuffer(id);
  ASSERT_TRUE(Submit({.buffer = 40}, {{}}));
  ASSERT_EQ(::kill(Pid(), SIGCONT), 0);
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  EXPECT_EQ(mover_->stats().restarts, 0u);
}

TEST_P(MoverProcess, KeepsASessionsSocketUntilItsBufferIsDropped) {
  StartMover();
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const Fd client(pair[0]);
  Fd server(pair[1]);
  const TestBuffer buffer(4096);
  BufferSource source;
  source.fd = buffer.fd.get();
  source.bytes = 4096;
  source.session_fd = server.get();
  ASSERT_TRUE(mover_->AddBuffer(1, source, PlainLayout(1, 4096)));
  ASSERT_TRUE(Submit({}, {{}}));
  EXPECT_EQ(WaitOne().code, Errc::kOk);
  server.Reset();
  struct pollfd item{client.get(), POLLIN, 0};
  EXPECT_EQ(::poll(&item, 1, 0), 0) << "no hang-up while the buffer may be written";
  mover_->DropBuffer(1);
  EXPECT_EQ(::poll(&item, 1, 30'000), 1);
  EXPECT_NE(item.revents & POLLHUP, 0);
}

// Runs in a process of its own that dies with the mover at work.
[[noreturn]] void DieAsAServer(const MoverOptions& options, int report) {
  auto mover = CreateMover(options);
  const std::string words = mover ? (*mover)->Describe() : "";
  const size_t at = words.find("(pid ");
  const pid_t pid = at == std::string::npos ? 0 : std::atoi(words.c_str() + at + 5);
  const bool told = ::write(report, &pid, sizeof pid) == sizeof pid;
  // Only once the test holds a pidfd of the mover.
  char go = 0;
  const bool heard = ::read(report, &go, 1) == 1;
  ::_exit(told && heard ? 0 : 1);
}

TEST_P(MoverProcess, EndsWithItsServer) {
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const Fd ours(pair[0]);
  const Fd theirs(pair[1]);
  const pid_t server = ::fork();
  if (server == 0) DieAsAServer({.threads = 1, .program = kMoverProgram}, theirs.get());
  pid_t pid = 0;
  ASSERT_EQ(::read(ours.get(), &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  auto ended = OpenPidFd(pid);
  ASSERT_TRUE(ended);
  ASSERT_EQ(::write(ours.get(), "g", 1), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(server, &status, 0), server);
  EXPECT_EQ(status, 0);
  struct pollfd item{ended->get(), POLLIN, 0};
  EXPECT_EQ(::poll(&item, 1, 30'000), 1);
}

}  // namespace
}  // namespace headrace::transport
