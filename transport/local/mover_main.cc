// headrace-mover: copies blocks for a headrace-server, so that a fault or a kill -9 in the middle
// of a copy costs a copy and not the server. Started by the server with a socket as descriptor 3;
// useless without. Ends when the server does.
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "transport/local/buffer.h"
#include "transport/local/channel.h"
#include "transport/local/control.h"
#include "transport/local/workers.h"

namespace headrace::transport {
namespace {

constexpr int kSocket = 3;

struct Process {
  Channel channel;
  std::unique_ptr<Workers> workers;
};

Status Start(ReceivedControl received, Process* process) {
  if (received.message.kind != ControlKind::kStart) {
    return Fail(Errc::kCorrupt, "the first message is not a start");
  }
  if (received.message.version != kChannelVersion) {
    return Fail(Errc::kUnsupported, "server and mover are of different versions");
  }
  const uint32_t threads = received.message.threads;
  if (threads == 0 || threads > kMaxMoverThreads) return Fail(Errc::kCorrupt, "thread count");
  HR_TRY(process->channel, Channel::Attach(std::move(received.fds[0]), std::move(received.fds[1]),
                                           std::move(received.fds[2])));
  process->workers = std::make_unique<Workers>(&process->channel, received.message.chunk_bytes);
  process->workers->Start(threads);
  return {};
}

void AddBuffer(ReceivedControl received, Workers* workers) {
  const wire::BufferId id = received.message.buffer;
  auto buffer = Buffer::Open(ImportOf(std::move(received)));
  if (buffer) {
    workers->AddBuffer(id, std::move(*buffer));
    return;
  }
  // Its jobs will be answered with an I/O error.
  HR_WARN("mover: buffer {} cannot be opened: {} ({})", id, buffer.error().what,
          ErrcName(buffer.error().code));
}

Status AddRegion(const ReceivedControl& received, Workers* workers) {
  HR_TRY(auto region, TouchedMapping::Map(received.fds[0].get(), 0, received.message.bytes));
  return workers->AddRegion(std::move(region));
}

Status Carry(ReceivedControl received, Workers* workers) {
  switch (received.message.kind) {
    case ControlKind::kAddRegion:
      return AddRegion(received, workers);
    case ControlKind::kAddBuffer:
      AddBuffer(std::move(received), workers);
      return {};
    case ControlKind::kDropBuffer:
      workers->DropBuffer(received.message.buffer);
      return {};
    case ControlKind::kStart:
      break;
  }
  return Fail(Errc::kCorrupt, "unexpected control message");
}

// Until the server hangs up (kGone) or something is wrong.
Status Serve(Process* process) {
  HR_TRY(auto first, ReceiveControl(kSocket));
  HR_RETURN_IF_ERROR(Start(std::move(first), process));
  for (uint64_t seq = 1;; ++seq) {
    HR_TRY(auto received, ReceiveControl(kSocket));
    HR_RETURN_IF_ERROR(Carry(std::move(received), process->workers.get()));
    process->workers->AdvanceControl(seq);
  }
}

int Main() {
  // A terminal's ^C and a service manager's stop reach every process; the server decides when
  // copies end, by hanging up.
  ::signal(SIGINT, SIG_IGN);
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGPIPE, SIG_IGN);
  // A server that dies before this line has closed its end of the socket.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Process process;
  const Status served = Serve(&process);
  const Error& error = served.error();
  if (error.code == Errc::kGone) ::_exit(0);  // nobody waits for what is still being copied
  HR_ERROR("mover: {} ({})", error.what, ErrcName(error.code));
  ::_exit(1);
}

}  // namespace
}  // namespace headrace::transport

int main(int argc, char** argv) {
  if (argc != 2 || std::string_view(argv[1]) != "--socket=3") {
    std::fprintf(stderr, "headrace-mover is started by headrace-server and is of no use alone\n");
    return 2;
  }
  return headrace::transport::Main();
}
