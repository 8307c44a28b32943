#include "cli/tail_command.h"

#include <sys/epoll.h>
#include <sys/signalfd.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/loop.h"
#include "cli/command_line.h"
#include "cli/event_json.h"
#include "cli/event_tail.h"
#include "cli/tail_args.h"

namespace headrace::cli {
namespace {

void PrintHelp(std::FILE* out) {
  std::fprintf(out,
               "usage: headrace events tail ENDPOINT [flags]\n"
               "Prints one JSON object an event, as decode does, with topic and sequence, until\n"
               "it is interrupted. Gaps and other news of the stream go to standard error.\n%s",
               FlagHelp(TailFlags()).c_str());
}

void Note(const std::string& text) {
  std::fprintf(stderr, "headrace events tail: %s\n", text.c_str());
}

// Prints until its loop is stopped.
class Printer {
 public:
  Printer(Loop* loop, uint64_t most_events) : loop_(loop), left_(most_events) {}

  void Print(const indexer::FollowMessage& message) {
    if (done_) return;
    lines_.clear();
    const auto* bytes = reinterpret_cast<const uint8_t*>(message.payload.data());
    const MessageName name{message.topic, message.sequence};
    all_good_ &= AppendMessageLines(name, {bytes, message.payload.size()}, &decoder_, &lines_);
    size_t end = lines_.size();
    if (left_ > 0) end = TakeLines();
    const bool written = std::fwrite(lines_.data(), 1, end, stdout) == end;
    if (!written || std::fflush(stdout) != 0) all_good_ = false, done_ = true;
    if (done_) loop_->Stop();
  }
  bool all_good() const { return all_good_; }

 private:
  // Where the last line ends that is still wanted.
  size_t TakeLines() {
    size_t end = 0;
    while (left_ > 0 && end < lines_.size()) {
      end = lines_.find('\n', end) + 1;
      --left_;
    }
    done_ = left_ == 0;
    return end;
  }

  Loop* const loop_;
  uint64_t left_;  // events; 0: no end
  bool done_ = false;
  bool all_good_ = true;
  wire::EventDecoder decoder_;
  std::string lines_;
};

// SIGINT and SIGTERM as a descriptor. Before any thread is started, so that none of them is ended.
Fd CatchSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) return Fd();
  return Fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

Result<bool> Tail(const TailRequest& request) {
  const Fd signals = CatchSignals();
  if (!signals.valid()) return Fail(Errc::kIo, "no descriptor for signals");
  HR_TRY(const std::unique_ptr<Loop> loop, Loop::Create());
  HR_TRY(const std::unique_ptr<net::ZmqContext> zmq, net::CreateZmqContext());
  Loop* const stop = loop.get();
  HR_RETURN_IF_ERROR(loop->Watch(signals.get(), EPOLLIN, [stop](uint32_t) { stop->Stop(); }));
  if (request.time) loop->At(loop->now() + *request.time, [stop] { stop->Stop(); });
  Printer printer(loop.get(), request.most_events);
  EventTail::Config config;
  config.endpoint = request.endpoint;
  config.replay_endpoint = request.replay_endpoint;
  config.topic_filter = request.topic_filter;
  config.curve = request.curve;
  HR_TRY(const auto tail,
         EventTail::Create(loop.get(), zmq.get(), config,
                           {[&](const indexer::FollowMessage& x) { printer.Print(x); }, Note}));
  loop->Run();
  loop->Unwatch(signals.get());
  return printer.all_good();
}

}  // namespace

int RunEventsTail(int argc, char** argv) {
  const bool named = argc >= 2 && !std::string_view(argv[1]).starts_with("-");
  CommandLine line;
  std::string message;
  // The endpoint stands where the line's name is looked for.
  const int skipped = named ? 1 : 0;
  if (!ParseCommandLine(argc - skipped, argv + skipped, TailFlags(), &line, &message)) {
    Note(message);
    return kExitWrongUse;
  }
  if (line.help || !named) {
    PrintHelp(line.help ? stdout : stderr);
    return line.help ? 0 : kExitWrongUse;
  }
  const auto request = ReadTailRequest(argv[1], line, &message);
  if (!request) {
    Note(message);
    return kExitWrongUse;
  }
  const auto all_good = Tail(*request);
  if (!all_good) {
    Note(all_good.error().what);
    return 1;
  }
  return *all_good ? 0 : 1;
}

}  // namespace headrace::cli
