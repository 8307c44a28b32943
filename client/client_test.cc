// The client against a scripted server: what it answers, when it gives up, how it comes back.
#include "client/client.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/wait_rig.h"
#include "client/fake_server.h"
#include "wire/copy.h"

namespace headrace::client {
namespace {

using wire::MessageType;

constexpr uint8_t kHashBytes[64] = {1, 2, 3};
const wire::HashList kTwoHashes(kHashBytes, 32, 2);
// Where a test waits for something that must come, this is how long.
constexpr Duration kSoon = seconds(10);

class ClientOfFakeServer : public ::testing::Test {
 protected:
  static ClientOptions Options(const FakeServer& server) {
    ClientOptions options;
    options.endpoint = server.path();
    options.call_timeout = milliseconds(200);  // tests run beside other tests
    options.breaker_open = milliseconds(20);
    options.breaker_open_max = milliseconds(40);
    options.gates = 8;
    return options;
  }
  void Make(const ClientOptions& options) { client_ = *Client::Create(options); }
  void SetUp() override {
    buffer_ = Fd(::memfd_create("buffer", MFD_CLOEXEC));
    ASSERT_EQ(::ftruncate(buffer_.get(), 1 << 20), 0);
    Make(Options(server_));
  }
  Registration Rank() const {
    Registration registration{"model", 0, 1, 16, {{buffer_.get(), 0, 1 << 20}}, {}};
    wire::GroupSpec group;
    group.layout = {16, 4096, 65536, 0, 1, {0, 4096}};
    registration.groups.push_back(group);
    return registration;
  }
  Registration Scheduler() const { return {"model", 0, 1, 16, {}, {}}; }
  void RegisterRank() { ASSERT_TRUE(client_->Register(Rank(), kSoon).has_value()); }

  QueryResult Ask(const QuerySpec& item) {
    QueryResult result;
    client_->Query(std::span(&item, 1), std::span(&result, 1));
    return result;
  }
  QueryResult Ask() { return Ask({.hashes = kTwoHashes}); }
  Result<Submission> Load() { return client_->SubmitLoad(11, 0, 2, {{3, 4}}); }
  Result<Submission> Save() {
    wire::SaveChain chain;
    chain.hashes = kTwoHashes;
    chain.blocks = {1, 2};
    return client_->SubmitSave(std::span(&chain, 1));
  }
  // Waits for one completion.
  Completion Next(Duration wait = kSoon) {
    std::vector<Completion> out;
    client_->Wait(wait, &out, 1);
    return out.empty() ? Completion{} : out[0];
  }
  // Until a query is answered again.
  bool Recovers() {
    return Eventually([this] { return Ask().code == Errc::kOk; });
  }
  // The server keeps transfers unanswered.
  void HoldTransfers() {
    server_.SetScript([](FakeServer&, const wire::RequestFrame& request) {
      return std::holds_alternative<wire::Load>(request.body) ||
             std::holds_alternative<wire::Save>(request.body);
    });
  }
  // The gate page as a mover maps it.
  uint32_t* MapGates() {
    const int fd = server_.descriptors().back();
    void* memory = ::mmap(nullptr, 8 * 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    HR_CHECK(memory != MAP_FAILED);
    return static_cast<uint32_t*>(memory);
  }

  FakeServer server_;
  Fd buffer_;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientOfFakeServer, RegistersWithItsDescriptorsAndSealedGates) {
  EXPECT_FALSE(client_->ready());
  RegisterRank();
  EXPECT_TRUE(client_->ready());
  const auto descriptors = server_.descriptors();
  ASSERT_EQ(descriptors.size(), 2u);
  EXPECT_EQ(::lseek(descriptors[0], 0, SEEK_END), 1 << 20);
  EXPECT_NE(::ftruncate(descriptors[1], 0), 0);
  EXPECT_EQ(client_->Register(Rank(), kSoon).error().code, Errc::kExists);
  EXPECT_EQ(client_->stats().registrations, 1u);
}

TEST_F(ClientOfFakeServer, SendsNoGatesForAScheduler) {
  ASSERT_TRUE(client_->Register(Scheduler(), kSoon).has_value());
  EXPECT_TRUE(server_.descriptors().empty());
}

TEST_F(ClientOfFakeServer, AnswersQueriesAndGivesLeasesBack) {
  RegisterRank();
  const QueryResult result = Ask({.hashes = kTwoHashes, .want_lease = true});
  EXPECT_EQ(result.code, Errc::kOk);
  EXPECT_EQ(result.hit_blocks, 2u);
  ASSERT_NE(result.lease, 0u);
  client_->Release(std::span(&result.lease, 1));
  ASSERT_TRUE(server_.WaitForCount(MessageType::kRelease, 1));
  EXPECT_EQ(server_.released(), std::vector<uint64_t>{11});  // the server's own number
}

TEST_F(ClientOfFakeServer, AsksManyItemsInOneCall) {
  RegisterRank();
  std::vector<QuerySpec> items(1500, QuerySpec{.hashes = kTwoHashes});
  items[3].hashes = wire::HashList(kHashBytes, 0, 2);  // not valid: alone gets its code
  items[1400].consumers = 2;
  std::vector<QueryResult> results(items.size());
  client_->Query(items, results);
  for (size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(results[i].code, i == 3 ? Errc::kInvalid : Errc::kOk) << i;
    EXPECT_EQ(results[i].hit_blocks, i == 3 ? 0u : 2u) << i;
  }
  // Up to the wrong item, 1024, up to the item with other consumers, that item, the rest.
  EXPECT_TRUE(server_.WaitForCount(MessageType::kQuery, 5));
}

TEST_F(ClientOfFakeServer, SendsOnlyTheTailAfterAPrefix) {
  RegisterRank();
  uint64_t handle = 0;
  server_.SetScript([&handle](FakeServer&, const wire::RequestFrame& request) {
    const auto* query = std::get_if<wire::Query>(&request.body);
    if (query != nullptr) handle = query->items[0].handle;
    return false;
  });
  const QueryResult first = Ask({.hashes = kTwoHashes, .want_prefix = true});
  ASSERT_NE(first.prefix, 0u);
  const QueryResult second =
      Ask({.prefix = first.prefix, .prefix_blocks = 2, .hashes = kTwoHashes, .want_prefix = true});
  EXPECT_EQ(second.hit_blocks, 4u);
  EXPECT_EQ(second.prefix, first.prefix);
  EXPECT_EQ(handle, 22u);
  client_->DropPrefixes(std::span(&first.prefix, 1));
  EXPECT_TRUE(server_.WaitForCount(MessageType::kDropHandle, 1));
}

TEST_F(ClientOfFakeServer, SavesAndLoads) {
  RegisterRank();
  const auto save = Save();
  ASSERT_TRUE(save.has_value());
  const Completion saved = Next();
  EXPECT_EQ(saved.submission, *save);
  EXPECT_EQ(saved.stored, 2u);
  const auto load = Load();
  ASSERT_TRUE(load.has_value());
  const Completion loaded = Next();
  EXPECT_EQ(loaded.submission, *load);
  EXPECT_EQ(loaded.loaded, 2u);
  EXPECT_EQ(loaded.bytes, 8192u);
}

TEST_F(ClientOfFakeServer, ClearsPurgesAndReportsStatus) {
  EXPECT_EQ(*client_->ServerStatus(kSoon), "{\"ok\":1}");  // needs no registration
  EXPECT_EQ(client_->Clear(kSoon).error().code, Errc::kUnavailable);
  RegisterRank();
  EXPECT_EQ(*client_->Clear(kSoon), 2u);
  EXPECT_TRUE(*client_->Purge(wire::BlockHash::Of({kHashBytes, 32}), kSoon));
}

TEST_F(ClientOfFakeServer, TellsWhyARegistrationIsRefusedAndForgetsIt) {
  server_.SetScript([](FakeServer& server, const wire::RequestFrame& request) {
    if (!std::holds_alternative<wire::Register>(request.body)) return false;
    server.Reply({.type = MessageType::kRegister,
                  .id = request.id,
                  .code = Errc::kExists,
                  .text = "block_tokens is 32 in this namespace"});
    return true;
  });
  EXPECT_EQ(client_->Register(Rank(), kSoon).error().code, Errc::kExists);
  EXPECT_EQ(client_->last_refusal(), "block_tokens is 32 in this namespace");
  server_.SetScript(nullptr);
  RegisterRank();
}

TEST_F(ClientOfFakeServer, RefusesWrongArgumentsByTheirNames) {
  Registration registration = Rank();
  registration.rank = 1;
  EXPECT_STREQ(client_->Register(registration, kSoon).error().what,
               "rank must be below world_size");
  registration = Rank();
  registration.groups[0].layout.num_blocks = 1000;
  EXPECT_EQ(client_->Register(registration, kSoon).error().code, Errc::kInvalid);
  RegisterRank();
  EXPECT_EQ(client_->SubmitLoad(0, 0, 2, {{3, 4}}).error().code, Errc::kInvalid);
  EXPECT_EQ(client_->SubmitLoad(1, 0, 2, {{3}}).error().code, Errc::kInvalid);
  wire::SaveChain chain;
  chain.hashes = kTwoHashes;
  chain.blocks = {1};
  EXPECT_EQ(client_->SubmitSave(std::span(&chain, 1)).error().code, Errc::kInvalid);
}

TEST_F(ClientOfFakeServer, AnswersMissAtOnceWhileNobodyListens) {
  server_.Stop();
  Make(Options(server_));
  EXPECT_EQ(client_->Register(Scheduler(), Duration::zero()).error().code, Errc::kUnavailable);
  const Time before = MonotonicNow();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Ask().code, Errc::kUnavailable);
  EXPECT_LT(MonotonicNow() - before, milliseconds(100));
  EXPECT_EQ(Save().error().code, Errc::kUnavailable);
  EXPECT_EQ(client_->stats().breaker_opens, 1u);
  server_.Listen();
  EXPECT_TRUE(Recovers());
}

TEST_F(ClientOfFakeServer, OpensTheBreakerForAFrozenServerAndClosesItAfterTheThaw) {
  RegisterRank();
  server_.Freeze();
  EXPECT_EQ(Ask({.hashes = kTwoHashes, .want_lease = true}).code, Errc::kTimeout);
  EXPECT_FALSE(client_->stats().breaker_closed);
  const Time before = MonotonicNow();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(Ask().code, Errc::kUnavailable);
  EXPECT_LT(MonotonicNow() - before, milliseconds(100));
  EXPECT_EQ(Load().error().code, Errc::kUnavailable);
  server_.Thaw();
  EXPECT_TRUE(Recovers());
  // The answer that nobody waited for held a lease.
  EXPECT_TRUE(server_.WaitForCount(MessageType::kRelease, 1));
  EXPECT_EQ(server_.released(), std::vector<uint64_t>{11});
  EXPECT_EQ(client_->stats().late_replies, 1u);
  EXPECT_EQ(client_->stats().connects, 1u);  // it is the same connection
}

TEST_F(ClientOfFakeServer, ProbesAFrozenServerSeldom) {
  ClientOptions options = Options(server_);
  options.call_timeout = milliseconds(5);
  options.breaker_open = options.breaker_open_max = kSoon;
  Make(options);
  RegisterRank();
  server_.Freeze();
  for (int i = 0; i < 1000; ++i) Ask();
  EXPECT_EQ(client_->stats().breaker_opens, 1u);
  server_.Thaw();
  EXPECT_TRUE(Recovers());
  EXPECT_EQ(server_.Count(MessageType::kPing), 0);
}

TEST_F(ClientOfFakeServer, CompletesSubmissionsAtTheHangUpAndRegistersAgain) {
  RegisterRank();
  HoldTransfers();
  const auto load = Load();
  const auto save = Save();
  ASSERT_TRUE(load && save);
  ASSERT_TRUE(server_.WaitForCount(MessageType::kSave, 1));
  server_.Stop();
  EXPECT_EQ(Next().code, Errc::kUnavailable);
  EXPECT_EQ(Next().code, Errc::kUnavailable);
  EXPECT_FALSE(client_->ready());
  server_.SetEpoch(2);
  server_.Listen();
  EXPECT_TRUE(Recovers());
  EXPECT_EQ(server_.Count(MessageType::kRegister), 2);
  EXPECT_EQ(server_.descriptors().size(), 2u);
  EXPECT_EQ(client_->stats().epochs, 2u);
}

TEST_F(ClientOfFakeServer, NeverSendsAnEarlierServersLeaseOrPrefix) {
  RegisterRank();
  const QuerySpec wants{.hashes = kTwoHashes, .want_lease = true, .want_prefix = true};
  const QueryResult old = Ask(wants);
  server_.HangUp();
  server_.SetEpoch(2);
  ASSERT_TRUE(Recovers());
  const QueryResult fresh = Ask(wants);  // the server counts from the start again
  EXPECT_NE(fresh.lease, old.lease);
  EXPECT_NE(fresh.prefix, old.prefix);
  client_->Release(std::span(&old.lease, 1));
  ASSERT_TRUE(server_.WaitForCount(MessageType::kRelease, 1));
  EXPECT_NE(server_.released()[0], 11u);
}

TEST_F(ClientOfFakeServer, NeverSendsAnEarlierConnectionsPrefixToTheSameServer) {
  RegisterRank();
  const QuerySpec wants{.hashes = kTwoHashes, .want_lease = true, .want_prefix = true};
  const QueryResult old = Ask(wants);
  server_.HangUp();
  ASSERT_TRUE(Recovers());
  const QueryResult fresh = Ask(wants);
  EXPECT_EQ(fresh.lease, old.lease);  // names the same lease in all sessions of one server
  EXPECT_NE(fresh.prefix, old.prefix);
}

TEST_F(ClientOfFakeServer, HangsUpWhenTheEpochChangesWithinAConnection) {
  RegisterRank();
  server_.SetEpoch(2);
  EXPECT_EQ(Ask().code, Errc::kUnavailable);
  EXPECT_TRUE(Recovers());
  EXPECT_EQ(client_->stats().connects, 2u);
}

TEST_F(ClientOfFakeServer, HangsUpOnGarbageAndComesBack) {
  const std::string inputs[] = {
      std::string("\xff\xff\xff\xff", 4) + "too long",
      std::string("\x01\x00\x00\x00\xc1", 5),
      std::string("\x00\x00\x00\x00", 4),
      std::string(100'000, 'x'),
  };
  RegisterRank();
  uint64_t connects = 1;
  for (const std::string& input : inputs) {
    server_.SendRaw(input);
    ASSERT_TRUE(Eventually([&] {
      client_->ready();
      return client_->stats().connects != connects;
    }));
    ASSERT_TRUE(Recovers());
    EXPECT_EQ(client_->stats().connects, ++connects);
  }
}

TEST_F(ClientOfFakeServer, HangsUpWhenAnAnswerDoesNotFitItsQuery) {
  RegisterRank();
  server_.SetScript([](FakeServer& server, const wire::RequestFrame& request) {
    if (!std::holds_alternative<wire::Query>(request.body)) return false;
    wire::QueryReply reply;
    reply.answers.push_back({.hit_blocks = 3});  // of two hashes
    server.Reply({.type = MessageType::kQuery, .id = request.id, .body = reply});
    return true;
  });
  EXPECT_EQ(Ask().hit_blocks, 0u);
  EXPECT_FALSE(client_->stats().connected);
}

TEST_F(ClientOfFakeServer, RevokesALoadWhileTheServerIsFrozenInsideAChunk) {
  RegisterRank();
  HoldTransfers();
  const auto load = Load();
  ASSERT_TRUE(load && server_.WaitForCount(MessageType::kLoad, 1));
  uint32_t* gate = MapGates() + server_.last_gate();
  std::atomic_ref<uint32_t>(*gate).fetch_add(1);
  server_.Freeze();
  client_->Revoke(*load);
  EXPECT_EQ(Next(milliseconds(20)).submission, 0u);  // the mover is inside
  EXPECT_EQ(std::atomic_ref<uint32_t>(*gate).fetch_sub(1), wire::Gate::kRevoked | 1);
  EXPECT_EQ(Next().code, Errc::kCancelled);
  server_.Thaw();
  ASSERT_TRUE(server_.WaitForCount(MessageType::kCancel, 1));
  EXPECT_EQ(server_.cancelled(), std::vector<uint64_t>{*load});
  // The late reply is nobody's; the gate serves again after it.
  server_.SetScript(nullptr);
  server_.Reply({.type = MessageType::kLoad, .id = *load, .body = wire::LoadReply{2, 8192}});
  EXPECT_TRUE(Recovers());
  EXPECT_EQ(Next(Duration::zero()).submission, 0u);
}

TEST_F(ClientOfFakeServer, RevokesByItselfAtTheTransfersDeadline) {
  ClientOptions options = Options(server_);
  options.transfer_timeout = milliseconds(30);
  Make(options);
  RegisterRank();
  HoldTransfers();
  const auto load = Load();
  ASSERT_TRUE(load.has_value());
  EXPECT_EQ(Next().code, Errc::kTimeout);
  EXPECT_TRUE(server_.WaitForCount(MessageType::kCancel, 1));
  EXPECT_EQ(client_->stats().revoked, 1u);
}

TEST_F(ClientOfFakeServer, RefusesMoreTransfersThanItHasGates) {
  RegisterRank();
  HoldTransfers();
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(Load().has_value());
  EXPECT_EQ(Load().error().code, Errc::kLimit);
  EXPECT_EQ(Save().error().code, Errc::kLimit);
}

TEST_F(ClientOfFakeServer, RefusesSubmissionsWhenTheSocketIsFullAndSendsThemAfterTheThaw) {
  ClientOptions options = Options(server_);
  options.gates = 4096;
  Make(options);
  RegisterRank();
  server_.Freeze();
  std::vector<uint8_t> hashes(32 * 1000);
  wire::SaveChain chain;
  chain.hashes = wire::HashList(hashes.data(), 32, 1000);
  chain.blocks.resize(1000);
  int accepted = 0;
  Result<Submission> last;
  while ((last = client_->SubmitSave(std::span(&chain, 1)))) ++accepted;
  EXPECT_EQ(last.error().code, Errc::kUnavailable);
  EXPECT_GT(accepted, 10);
  EXPECT_LT(accepted, 1000);
  server_.Thaw();
  int completed = 0;
  for (; completed < accepted; ++completed) {
    if (Next().code != Errc::kOk) break;
  }
  EXPECT_EQ(completed, accepted);
}

TEST_F(ClientOfFakeServer, CompletesWhatRunsWhenItIsClosed) {
  RegisterRank();
  HoldTransfers();
  const auto load = Load();
  const auto save = Save();
  ASSERT_TRUE(load && save);
  client_->Close(kSoon);
  EXPECT_EQ(Next().code, Errc::kCancelled);
  EXPECT_EQ(Next().code, Errc::kCancelled);
  EXPECT_EQ(Next().submission, 0u);
  EXPECT_EQ(Ask().code, Errc::kUnavailable);
  EXPECT_EQ(Load().error().code, Errc::kUnavailable);
  EXPECT_FALSE(client_->ready());
}

TEST_F(ClientOfFakeServer, WaitsAtCloseForAWriterButNotForEver) {
  RegisterRank();
  HoldTransfers();
  ASSERT_TRUE(Load() && server_.WaitForCount(MessageType::kLoad, 1));
  std::atomic_ref<uint32_t>(MapGates()[server_.last_gate()]).fetch_add(1);
  const Time before = MonotonicNow();
  client_->Close(milliseconds(30));
  EXPECT_GE(MonotonicNow() - before, milliseconds(30));
  EXPECT_EQ(Next(Duration::zero()).submission, 0u);
}

TEST_F(ClientOfFakeServer, RefusesInAForkedChildAndLeavesTheParentAlone) {
  RegisterRank();
  const pid_t child = ::fork();
  if (child == 0) {
    const bool refused = Ask().code == Errc::kUnavailable && !client_->ready() &&
                         Load().error().code == Errc::kUnavailable && Next(kSoon).submission == 0;
    ::_exit(refused ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Ask().code, Errc::kOk);
  EXPECT_EQ(client_->stats().connects, 1u);
}

TEST_F(ClientOfFakeServer, ServesManyThreadsWhileOneWaits) {
  ClientOptions options = Options(server_);
  options.call_timeout = kSoon;
  options.gates = 64;
  Make(options);
  RegisterRank();
  constexpr int kThreads = 6, kRounds = 300;
  std::atomic<int> hits{0}, completed{0};
  std::thread poller([&] {
    while (completed < kThreads * kRounds) {
      std::vector<Completion> out;
      client_->Wait(milliseconds(50), &out);
      completed += static_cast<int>(out.size());
    }
  });
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kRounds; ++i) {
        if (Ask().hit_blocks == 2) ++hits;
        while (!Load()) std::this_thread::yield();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  poller.join();
  EXPECT_EQ(hits, kThreads * kRounds);
  EXPECT_EQ(completed, kThreads * kRounds);
}

TEST_F(ClientOfFakeServer, AnswersEveryThreadWhileTheServerComesAndGoes) {
  RegisterRank();
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> submitted{0}, completed{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      std::vector<Completion> out;
      while (!stop) {
        Ask({.hashes = kTwoHashes, .want_lease = true, .want_prefix = true});
        if (const auto load = Load()) {
          ++submitted;
          if (submitted % 3 == 0) client_->Revoke(*load);
        }
        out.clear();
        completed += client_->Wait(milliseconds(1), &out);
      }
    });
  }
  for (int i = 0; i < 20; ++i) {
    const uint64_t before = submitted;
    EXPECT_TRUE(Eventually([&] { return submitted >= before + 20; }));
    if (i % 3 == 0) server_.SetEpoch(static_cast<uint64_t>(i) + 2);
    if (i % 3 == 1) server_.SendRaw("garbage garbage garbage");
    server_.HangUp();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  client_->Close(kSoon);
  std::vector<Completion> out;
  completed += client_->Poll(&out);
  EXPECT_EQ(completed, submitted);
  EXPECT_GT(submitted, 100u);
}

TEST(Client, RefusesWrongOptionsOnly) {
  EXPECT_EQ(Client::Create({.endpoint = "tcp://host:1"}).error().code, Errc::kInvalid);
  EXPECT_EQ(Client::Create({.endpoint = "/x", .gates = 0}).error().code, Errc::kInvalid);
  EXPECT_EQ(Client::Create({.endpoint = "/x", .call_timeout = {}}).error().code, Errc::kInvalid);
  const auto with_pods = [](std::vector<std::string> pods, std::string model) {
    return Client::Create({.endpoint = "/x", .pods = std::move(pods), .pods_model = model});
  };
  EXPECT_EQ(with_pods({""}, "").error().code, Errc::kInvalid);
  EXPECT_EQ(with_pods({"kv@pod"}, "").error().code, Errc::kInvalid);
  EXPECT_EQ(with_pods({"a\nb"}, "").error().code, Errc::kInvalid);
  EXPECT_EQ(with_pods({std::string(257, 'p')}, "").error().code, Errc::kInvalid);
  EXPECT_EQ(with_pods({"a"}, std::string(257, 'm')).error().code, Errc::kInvalid);
  EXPECT_EQ(with_pods(std::vector<std::string>(65, "a"), "").error().code, Errc::kLimit);
  EXPECT_TRUE(with_pods(std::vector<std::string>(64, "10.0.0.1:8000"), "org/m@r").has_value());
  EXPECT_TRUE(Client::Create({.endpoint = "/nobody/listens/here"}).has_value());
}

}  // namespace
}  // namespace headrace::client
