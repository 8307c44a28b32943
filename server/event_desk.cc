#include "server/event_desk.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/log.h"
#include "wire/event.h"

namespace headrace::server {
namespace {

constexpr std::string_view kBusyWord = "busy";
constexpr int kMessagesPerTurn = 64;  // to one peer
constexpr size_t kMaxSnapshots = 4;   // in memory at a time

}  // namespace

EventDesk::EventDesk(net::ZmqSocket* socket, EventStream* stream, const EventLimits& limits)
    : socket_(socket), stream_(stream), limits_(limits) {
  HR_CHECK(socket_ != nullptr && stream_ != nullptr);
}

void EventDesk::Receive(Time now) {
  const auto received = socket_->Receive(&message_);
  if (!received || !*received) return;
  auto request = ParseEventRequest(message_);
  if (!request) {
    ++counts_.malformed;
    return;
  }
  if (jobs_.size() < limits_.requests) return Start(std::move(*request), now);
  ++counts_.refused;
  Job refused;
  refused.request = std::move(*request);
  Answer(refused, "", kBusyWord, "");
}

void EventDesk::Start(EventRequest request, Time now) {
  Job job;
  job.moved = now;
  if (request.kind == EventRequest::Kind::kReplay) {
    std::vector<std::string> topics = {request.topic};
    if (!request.one_topic) topics = stream_->topics();
    for (std::string& topic : topics) {
      const uint64_t last = stream_->last_sequence(topic);
      if (last == kNoSequence || last < request.start) continue;
      job.parts.push_back({std::move(topic), request.start, last});
    }
  }
  job.request = std::move(request);
  jobs_.push_back(std::move(job));
}

EventDesk::Step EventDesk::Answer(const Job& job, std::string_view topic, std::string_view third,
                                  std::string_view payload) {
  using net::ZmqBytes;
  const Status sent = net::ZmqSend(socket_, {ZmqBytes(job.request.peer), ZmqBytes(""),
                                             ZmqBytes(topic), ZmqBytes(third), ZmqBytes(payload)});
  if (sent) return Step::kSent;
  return sent.error().code == Errc::kLimit ? Step::kFull : Step::kGone;
}

EventDesk::Step EventDesk::MoveReplay(Job* job) {
  for (; job->at < job->parts.size(); ++job->at) {
    Part& part = job->parts[job->at];
    const KeptMessage* const message = stream_->Kept(part.topic, part.next);
    if (message == nullptr || message->sequence > part.last) continue;
    const Step step =
        Answer(*job, part.topic, wire::EncodeSequence(message->sequence), *message->payload);
    if (step == Step::kSent) part.next = message->sequence + 1;
    return step;
  }
  const Step step = Answer(*job, "", wire::EncodeSequence(kNoSequence), "");
  return step == Step::kSent ? Step::kDone : step;
}

size_t EventDesk::Snapshots() const {
  std::set<const EventSnapshot*> distinct;
  for (const Job& job : jobs_) distinct.insert(job.snapshot.get());
  distinct.erase(nullptr);
  return distinct.size();
}

EventDesk::Step EventDesk::MoveSnapshot(Job* job, double timestamp) {
  const std::string& topic = job->request.topic;
  if (job->snapshot == nullptr) {
    if (!stream_->whole() || Snapshots() >= kMaxSnapshots) return Step::kNotYet;
    job->snapshot = stream_->Snapshot(topic, timestamp);
  }
  const EventSnapshot& snapshot = *job->snapshot;
  const std::string sequence = wire::EncodeSequence(snapshot.sequence);
  const bool last = job->at == snapshot.payloads.size();
  const Step step =
      Answer(*job, topic, sequence, last ? std::string_view() : snapshot.payloads[job->at]);
  if (step != Step::kSent) return step;
  ++job->at;
  return last ? Step::kDone : Step::kSent;
}

EventDesk::Step EventDesk::Move(Job* job, double timestamp) {
  return job->request.kind == EventRequest::Kind::kReplay ? MoveReplay(job)
                                                          : MoveSnapshot(job, timestamp);
}

void EventDesk::End(const Job& job, Step step) {
  if (step != Step::kDone) {
    ++counts_.abandoned;
    return;
  }
  const bool replay = job.request.kind == EventRequest::Kind::kReplay;
  ++(replay ? counts_.replays : counts_.snapshots);
}

bool EventDesk::Serve(Job* job, Time now, double timestamp, Progress* progress) {
  for (int sent = 0; sent < kMessagesPerTurn; ++sent) {
    const Step step = Move(job, timestamp);
    if (step == Step::kDone || step == Step::kGone) {
      End(*job, step);
      return false;
    }
    if (step == Step::kSent || step == Step::kNotYet) job->moved = now;
    if (step == Step::kSent) continue;
    if (now - job->moved > limits_.answer_timeout) {
      HR_WARN("a peer does not take its answers: they end here");
      End(*job, step);
      return false;
    }
    if (*progress == Progress::kIdle) *progress = Progress::kWaiting;
    return true;
  }
  *progress = Progress::kMore;
  return true;
}

EventDesk::Progress EventDesk::Advance(Time now, double timestamp) {
  Progress progress = Progress::kIdle;
  std::set<std::string> served;  // peers: only the first request of each is answered
  for (Job& job : jobs_) {
    if (!served.insert(job.request.peer).second) continue;
    job.done = !Serve(&job, now, timestamp, &progress);
    if (job.done) progress = Progress::kMore;  // what waited behind it has its turn
  }
  std::erase_if(jobs_, [](const Job& job) { return job.done; });
  return jobs_.empty() ? Progress::kIdle : progress;
}

}  // namespace headrace::server
