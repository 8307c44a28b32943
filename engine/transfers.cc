#include "engine/transfers.h"

namespace headrace::engine {

namespace {
constexpr int kJobBits = 20;  // of a ticket; the rest is a serial number
constexpr uint64_t kJobMask = (1u << kJobBits) - 1;
}  // namespace

void Transfers::SetWorkers(TransferWorker* saves, TransferWorker* loads) {
  saves_worker_ = saves;
  loads_worker_ = loads;
}

Result<Transfer*> Transfers::Begin(const Request& request) {
  Session* session = request.registration->session;
  Stats& stats = p_.context->stats;
  const Limits& limits = p_.context->limits;
  if (session->by_request.size() >= limits.max_requests_per_session) {
    ++stats.limit_requests;
    ++stats.limit_hits;
    return Fail(Errc::kLimit, "max-requests-per-session reached");
  }
  const Time latest = p_.context->now + limits.max_transfer;
  const Time deadline =
      request.deadline == 0 ? latest : std::min(latest, FromWire(request.deadline));
  if (deadline <= p_.context->now) return Fail(Errc::kTimeout, "the deadline is over");
  if (free_.empty()) {
    pool_.push_back(std::make_unique<Transfer>());
    free_.push_back(pool_.back().get());
  }
  Transfer* transfer = free_.back();
  free_.pop_back();
  *transfer = {};
  transfer->number = ++last_number_;
  transfer->session = session;
  transfer->registration = request.registration;
  transfer->request = request.request;
  transfer->name_space = request.registration->name_space;
  transfer->generation = (*p_.namespaces)[transfer->name_space].generation_low();
  transfer->gate = request.gate;
  transfer->deadline = deadline;
  deadlines_.emplace(std::pair(deadline, transfer->number), transfer);
  request.registration->running.PushBack(transfer);
  session->by_request.emplace(transfer->request, transfer);
  ++request.registration->transfers;
  return transfer;
}

void Transfers::Start(Transfer* transfer) {
  Enqueue(transfer);
  const bool alone = QueueOf(transfer)->front() == transfer;
  if (alone && HasRunnable() && (*p_.namespaces)[transfer->name_space].purges == 0) {
    StepOne(transfer);
  }
}

void Transfers::Enqueue(Transfer* transfer) {
  QueueOf(transfer)->PushBack(transfer);
  ++p_.context->stats.requests_waiting;
}

void Transfers::Dequeue(Transfer* transfer) {
  if (!transfer->in_queue.linked) return;
  QueueOf(transfer)->Erase(transfer);
  --p_.context->stats.requests_waiting;
}

uint64_t Transfers::room_in_flight() const {
  const uint64_t most = p_.context->limits.max_copies_in_flight;
  const uint64_t out = p_.context->stats.copies_in_flight;
  return out < most ? most - out : 0;
}

Job* Transfers::NewJob() {
  if (free_jobs_.empty()) {
    HR_CHECK(jobs_.size() <= kJobMask);
    free_jobs_.push_back(static_cast<uint32_t>(jobs_.size()));
    jobs_.push_back(std::make_unique<Job>());
  }
  const uint32_t index = free_jobs_.back();
  free_jobs_.pop_back();
  Job* job = jobs_[index].get();
  HR_CHECK(job->ticket == 0);
  job->ticket = ++last_serial_ << kJobBits | index;
  job->cancelled = false;
  return job;
}

Job* Transfers::FindJob(Ticket ticket) {
  const uint64_t index = ticket & kJobMask;
  if (ticket == 0 || index >= jobs_.size() || jobs_[index]->ticket != ticket) return nullptr;
  return jobs_[index].get();
}

void Transfers::Emit(Transfer* transfer, BufferId buffer, std::vector<SlotIndex> slots,
                     std::vector<wire::BlockCopy> copies) {
  HR_CHECK(!slots.empty() && slots.size() == copies.size() && !transfer->ending);
  Job* job = NewJob();
  job->transfer = transfer;
  job->slots = std::move(slots);
  transfer->jobs.PushBack(job);
  p_.context->stats.copies_in_flight += job->slots.size();
  p_.context->effects->copies.push_back(
      {.ticket = job->ticket,
       .direction = transfer->is_load() ? wire::Direction::kLoad : wire::Direction::kSave,
       .buffer = buffer,
       .gate = transfer->gate,
       .deadline = transfer->deadline,
       .blocks = std::move(copies)});
}

void Transfers::End(Transfer* transfer, Errc code, const char* text) {
  if (transfer->ending) return;
  transfer->ending = true;
  transfer->code = code;
  transfer->text = text;
  Dequeue(transfer);
  deadlines_.erase({transfer->deadline, transfer->number});
  WorkerOf(transfer)->Stop(transfer);
  HR_CHECK(transfer->cursor == kNone);
  transfer->walking = false;
  transfer->registration->running.Erase(transfer);
  for (Job* job = transfer->jobs.front(); job != nullptr; job = transfer->jobs.Next(job)) {
    job->cancelled = true;
    p_.context->effects->cancels.push_back({job->ticket});
  }
  p_.context->Spend(2 + static_cast<int>(transfer->jobs.size() / 8));
  FinishIfDone(transfer);
}

void Transfers::Cancel(Session* session, RequestId request) {
  const auto it = session->by_request.find(request);
  if (it != session->by_request.end()) End(it->second, Errc::kCancelled, "cancelled by the client");
}

void Transfers::Complete(const wire::CopyDone& done) {
  Job* job = FindJob(done.ticket);
  if (job == nullptr) {
    ++p_.context->stats.late_completions;
    return;
  }
  Transfer* transfer = job->transfer;
  transfer->jobs.Erase(job);
  HR_CHECK(p_.context->stats.copies_in_flight >= job->slots.size());
  p_.context->stats.copies_in_flight -= job->slots.size();
  // Only now may anybody else use these slots.
  const char* gone = WorkerOf(transfer)->Settle(transfer, *job, done);
  p_.context->Spend(static_cast<int>(job->slots.size() / 4) + 1);
  free_jobs_.push_back(static_cast<uint32_t>(job->ticket & kJobMask));
  job->ticket = 0;
  job->transfer = nullptr;
  job->slots.clear();
  if (transfer->ending) {
    FinishIfDone(transfer);
  } else if (done.code != Errc::kOk) {
    End(transfer, done.code, "a copy did not finish");
  } else if (gone != nullptr) {
    End(transfer, Errc::kGone, gone);
  } else {
    FinishIfDone(transfer);
  }
}

void Transfers::FinishIfDone(Transfer* transfer) {
  if (transfer->walking || !transfer->jobs.empty()) return;
  Session* session = transfer->session;
  Registration* registration = transfer->registration;
  Dequeue(transfer);
  if (!transfer->ending) {
    deadlines_.erase({transfer->deadline, transfer->number});
    registration->running.Erase(transfer);
  }
  const auto [first, last] = session->by_request.equal_range(transfer->request);
  for (auto it = first; it != last; ++it) {
    if (it->second != transfer) continue;
    session->by_request.erase(it);
    break;
  }
  Reply reply{.session = session->id, .request = transfer->request};
  WorkerOf(transfer)->Answer(transfer, &reply);
  if (!session->closing) p_.context->effects->replies.push_back(std::move(reply));
  HR_CHECK(registration->transfers > 0);
  transfer->work = SaveWork{};  // frees what it kept
  free_.push_back(transfer);
  if (--registration->transfers == 0) on_idle_(registration);
}

void Transfers::StepOne(Transfer* transfer) {
  Dequeue(transfer);
  WorkerOf(transfer)->Slice(transfer);
  if (transfer->ending) return;  // the slice found a reason; the transfer may be gone
  if (transfer->walking) {
    Enqueue(transfer);
  } else {
    FinishIfDone(transfer);
  }
}

Transfer* Transfers::NextRunnable() {
  constexpr int kTried = 8;  // those of a namespace with a purge wait
  for (int i = 0; i < kTried; ++i) {
    // Somebody waits for a load; saves get every other turn.
    const bool load = saves_.empty() || (!loads_.empty() && !load_last_);
    Queue& queue = load ? loads_ : saves_;
    if (queue.empty()) return nullptr;
    load_last_ = load;
    Transfer* transfer = queue.front();
    if ((*p_.namespaces)[transfer->name_space].purges == 0) return transfer;
    queue.Erase(transfer);
    queue.PushBack(transfer);
  }
  return nullptr;
}

void Transfers::RunSlice() {
  if (!HasRunnable() || p_.context->spent()) return;
  Transfer* transfer = NextRunnable();
  if (transfer != nullptr) StepOne(transfer);
}

bool Transfers::HasRunnable() const {
  return (!saves_.empty() || !loads_.empty()) && room_in_flight() > 0;
}

bool Transfers::HasDue() const {
  return !deadlines_.empty() && deadlines_.begin()->first.first <= p_.context->now;
}

void Transfers::RunDue() {
  while (HasDue() && !p_.context->spent()) {
    End(deadlines_.begin()->second, Errc::kTimeout, "the deadline is over");
  }
}

std::optional<Time> Transfers::NextDeadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first.first;
}

void Transfers::CheckTransfers(const Slab& slab, std::vector<uint32_t>* pins) const {
  uint64_t in_flight = 0;
  for (const auto& job : jobs_) {
    if (job->ticket == 0) continue;
    in_flight += job->slots.size();
    for (const SlotIndex slot : job->slots) {
      const SlotRecord& record = slab.record(slot);
      const bool load = job->transfer->is_load();
      HR_CHECK(record.use == (load ? SlotUse::kComplete : SlotUse::kFilling));
      ++(*pins)[record.block];
    }
  }
  HR_CHECK(in_flight == p_.context->stats.copies_in_flight);
  for (const auto& [when, transfer] : deadlines_) {
    HR_CHECK(!transfer->ending && when.first == transfer->deadline);
    if (transfer->cursor != kNone) ++(*pins)[transfer->cursor];
  }
  HR_CHECK(saves_.size() + loads_.size() == p_.context->stats.requests_waiting);
}

}  // namespace headrace::engine
