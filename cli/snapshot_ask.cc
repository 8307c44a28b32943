#include "cli/snapshot_ask.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/loop.h"

namespace headrace::cli {
namespace {

constexpr int kMessagesATurn = 256;

std::string TierOf(std::string_view medium) {
  if (medium.empty()) return "gpu";
  std::string tier(medium);
  std::transform(tier.begin(), tier.end(), tier.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return tier;
}

// One question, from the socket to the last answer.
class Exchange {
 public:
  explicit Exchange(const SnapshotQuestion& question) : question_(question) {}

  Status Run() {
    HR_TRY(loop_, Loop::Create());
    HR_TRY(zmq_, net::CreateZmqContext());
    net::ZmqOptions options;
    options.curve = question_.curve;
    options.receive_limit = 0;  // it is the whole of what was asked for
    HR_TRY(socket_, zmq_->Open(net::ZmqType::kDealer, options));
    HR_TRY(watch_, net::ZmqWatch::Create(loop_.get(), socket_.get(), [this] { OnReadable(); }));
    HR_RETURN_IF_ERROR(socket_->Connect(question_.endpoint));
    HR_RETURN_IF_ERROR(net::ZmqSend(socket_.get(), {net::ZmqBytes(""), net::ZmqBytes("snapshot"),
                                                    net::ZmqBytes(question_.topic)}));
    watch_->Touched();
    heard_ = loop_->now();
    Wait();
    loop_->Run();
    return status_;
  }
  SnapshotReader& reader() { return reader_; }

 private:
  void OnReadable() {
    heard_ = loop_->now();
    for (int i = 0; i < kMessagesATurn && !reader_.done() && status_; ++i) {
      const auto got = socket_->Receive(&message_);
      if (!got || !*got) return;
      status_ = reader_.Take(message_);
    }
    if (reader_.done() || !status_) loop_->Stop();
  }
  void Wait() {
    loop_->At(heard_ + question_.patience, [this] {
      if (loop_->now() - heard_ < question_.patience) return Wait();
      status_ = Fail(Errc::kTimeout, "no answer in time; only Headrace publishers know snapshots");
      loop_->Stop();
    });
  }

  const SnapshotQuestion& question_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<net::ZmqContext> zmq_;
  std::unique_ptr<net::ZmqSocket> socket_;
  std::unique_ptr<net::ZmqWatch> watch_;
  net::ZmqMessage message_;
  SnapshotReader reader_;
  Status status_;
  Time heard_;
};

}  // namespace

Status SnapshotReader::Take(const net::ZmqMessage& answer) {
  const auto sequence =
      answer.size() == 4 && !answer.truncated() ? wire::DecodeSequence(answer[2]) : std::nullopt;
  if (!sequence) {
    const bool busy = answer.size() == 4 && answer.text(2) == "busy";
    return Fail(Errc::kInvalid, busy ? "the publisher has too many questions waiting; ask later"
                                     : "the answer is none of a snapshot");
  }
  if (answer.text(3).empty()) {
    done_ = true;
    return {};
  }
  wire::EventBatch batch;
  if (!decoder_.Decode(answer[3], &batch)) {
    return Fail(Errc::kInvalid, "the answer holds no batch of events");
  }
  for (const wire::Event& event : batch.events) {
    if (event.type != wire::EventType::kStored) continue;
    for (const uint64_t hash : event.hashes) blocks_.push_back({hash, TierOf(event.medium)});
  }
  return {};
}

Result<std::vector<ResidentBlock>> AskSnapshot(const SnapshotQuestion& question,
                                               std::string* message) {
  Exchange exchange(question);
  if (const Status status = exchange.Run(); !status) {
    *message = fmt::format("{}: {}", question.endpoint, status.error().what);
    return Fail(status.error());
  }
  return std::move(exchange.reader().blocks());
}

}  // namespace headrace::cli
