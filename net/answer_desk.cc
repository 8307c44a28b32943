#include "net/answer_desk.h"

#include <set>
#include <utility>

#include "base/log.h"

namespace headrace::net {
namespace {

constexpr int kMessagesPerTurn = 64;  // to one peer

}  // namespace

AnswerDesk::AnswerDesk(ZmqSocket* socket, Duration patience)
    : socket_(socket), patience_(patience) {
  HR_CHECK(socket_ != nullptr);
}

void AnswerDesk::Add(std::string peer, std::unique_ptr<Answers> answers, Time now) {
  HR_CHECK(answers != nullptr);
  jobs_.push_back({.peer = std::move(peer), .answers = std::move(answers), .moved = now});
}

void AnswerDesk::Refuse(std::string_view peer, const Answers::Message& message) {
  Send(peer, message);
}

AnswerDesk::Step AnswerDesk::Send(std::string_view peer, const Answers::Message& message) {
  const Status sent = ZmqSend(socket_, {ZmqBytes(peer), ZmqBytes(""), ZmqBytes(message.topic),
                                        ZmqBytes(message.sequence), ZmqBytes(message.payload)});
  if (sent) return Step::kSent;
  return sent.error().code == Errc::kLimit ? Step::kFull : Step::kGone;
}

AnswerDesk::Step AnswerDesk::Move(const Job& job) {
  Answers::Message message;
  if (!job.answers->Next(&message)) return Step::kNotYet;
  const bool last = message.last;
  const Step step = Send(job.peer, message);
  if (step != Step::kSent) return step;
  job.answers->Sent();
  return last ? Step::kDone : Step::kSent;
}

bool AnswerDesk::Serve(Job* job, Time now, Progress* progress) {
  for (int sent = 0; sent < kMessagesPerTurn; ++sent) {
    const Step step = Move(*job);
    if (step == Step::kDone || step == Step::kGone) {
      job->answers->Ended(step == Step::kDone);
      return false;
    }
    if (step == Step::kSent || step == Step::kNotYet) job->moved = now;
    if (step == Step::kSent) continue;
    if (now - job->moved > patience_) {
      HR_WARN("a peer does not take its answers: they end here");
      job->answers->Ended(false);
      return false;
    }
    if (*progress == Progress::kIdle) *progress = Progress::kWaiting;
    return true;
  }
  *progress = Progress::kMore;
  return true;
}

AnswerDesk::Progress AnswerDesk::Advance(Time now) {
  Progress progress = Progress::kIdle;
  std::set<std::string_view> served;  // peers: only the first request of each is answered
  for (Job& job : jobs_) {
    if (!served.insert(job.peer).second) continue;
    job.done = !Serve(&job, now, &progress);
    if (job.done) progress = Progress::kMore;  // what waited behind it has its turn
  }
  std::erase_if(jobs_, [](const Job& job) { return job.done; });
  return jobs_.empty() ? Progress::kIdle : progress;
}

}  // namespace headrace::net
