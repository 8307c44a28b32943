#include "server/index_rpc.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <indexer.grpc.pb.h>

#include <atomic>
#include <future>
#include <mutex>
#include <thread>

#include "base/wait_rig.h"
#include "indexer/fleet_samples.h"

namespace headrace::server {
namespace {

namespace pb = ::indexer::v1;
using indexer::Counting;

constexpr const char* kTokens = "everything-token\ntenant-blue-token salt=blue\n";

// A real client and a real server over loopback.
class IndexRpcTest : public testing::Test {
 protected:
  void Begin(const char* tokens = nullptr, const indexer::ReplicaPlace& place = {}) {
    fleet_ = indexer::MakeFleet(place);
    indexer::Store(fleet_.get(), "a", Counting(8));
    indexer::Store(fleet_.get(), "b", Counting(4), "CPU");
    service_ = std::make_unique<indexer::IndexService>(
        indexer::IndexService::Options{.limits = {.max_tokens = 20, .max_pods = 2},
                                       .threads = 2,
                                       .max_waiting = 100,
                                       .hash = indexer::SampleHash(),
                                       .wall_seconds = [] { return int64_t{0}; },
                                       .place = place},
        indexer::ModelTexts::Of("m", text::MakeByteTokenizer(), {.max_tokens = 20}),
        // Stands in for the index's thread.
        [this](const std::function<void(indexer::FleetIndex*)>& asked) {
          ++arrived_;
          std::lock_guard lock(mutex_);
          if (drop_) return;
          asked(fleet_.get());
        },
        nullptr);
    std::string message;
    IndexRpc::Options options{.address = "127.0.0.1:0", .max_message_bytes = 4096, .tokens = {}};
    if (tokens != nullptr) options.tokens = *indexer::AccessTokens::Parse(tokens, &message);
    auto rpc = IndexRpc::Listen(options, service_.get(), &message);
    ASSERT_TRUE(rpc) << message;
    rpc_ = std::move(*rpc);
    stub_ = pb::IndexerService::NewStub(grpc::CreateChannel(
        fmt::format("127.0.0.1:{}", rpc_->port()), grpc::InsecureChannelCredentials()));
  }
  static void Prepare(grpc::ClientContext* context, const std::string& token) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    if (!token.empty()) context->AddMetadata("authorization", "Bearer " + token);
  }
  grpc::Status Tokens(const pb::ScoreTokensRequest& request, const std::string& token = "") {
    grpc::ClientContext context;
    Prepare(&context, token);
    response_.Clear();
    return stub_->ScoreTokens(&context, request, &response_);
  }
  grpc::Status Prompt(const pb::GetPodScoresRequest& request, const std::string& token = "") {
    grpc::ClientContext context;
    Prepare(&context, token);
    response_.Clear();
    return stub_->GetPodScores(&context, request, &response_);
  }
  static pb::ScoreTokensRequest Ask(const std::vector<uint32_t>& tokens) {
    pb::ScoreTokensRequest request;
    request.set_model_name("m");
    request.mutable_token_ids()->Add(tokens.begin(), tokens.end());
    return request;
  }

  std::atomic<int> arrived_ = 0;  // questions for the index's thread
  std::mutex mutex_;              // guards fleet_ and drop_
  bool drop_ = false;
  std::unique_ptr<indexer::FleetIndex> fleet_;
  std::unique_ptr<indexer::IndexService> service_;
  std::unique_ptr<IndexRpc> rpc_;  // goes first
  std::unique_ptr<pb::IndexerService::Stub> stub_;
  pb::GetPodScoresResponse response_;
};

TEST_F(IndexRpcTest, ScoresTokensBestFirst) {
  Begin();
  const grpc::Status status = Tokens(Ask(Counting(9)));
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response_.scores_size(), 2);
  EXPECT_EQ(response_.scores(0).pod(), "a");
  EXPECT_EQ(response_.scores(0).score(), 2);
  EXPECT_EQ(response_.scores(0).normalized(), 1);
  EXPECT_EQ(response_.scores(0).blocks(), 2u);
  EXPECT_FALSE(response_.scores(0).has_data_parallel_rank());
  EXPECT_EQ(response_.scores(1).pod(), "b");
  EXPECT_EQ(response_.scores(1).score(), 0.8);
}

TEST_F(IndexRpcTest, ScoresPromptsOfTheChosenPods) {
  Begin();
  indexer::Store(fleet_.get(), "p", {'a', 'b', 'c', 'd'});
  indexer::Store(fleet_.get(), "q", {'a', 'b', 'c', 'd'});
  pb::GetPodScoresRequest request;
  request.set_model_name("m");
  request.set_prompt("abcd");
  request.add_pod_identifiers("q");
  ASSERT_TRUE(Prompt(request).ok());
  ASSERT_EQ(response_.scores_size(), 1);
  EXPECT_EQ(response_.scores(0).pod(), "q");
}

TEST_F(IndexRpcTest, NamesTheReplicaThatHasThePrompt) {
  const auto keys = indexer::KeysOf(Counting(8));
  const size_t owner = indexer::PlaceOf(0).Elsewhere(keys) == nullptr ? 0 : 1;
  Begin(nullptr, indexer::PlaceOf(1 - owner));
  const grpc::Status status = Tokens(Ask(Counting(8)));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(status.error_message(),
            fmt::format("the replica {} has this prompt; ask it", indexer::kReplicas[owner]));
  EXPECT_EQ(arrived_, 0);
  EXPECT_TRUE(Tokens(Ask(Counting(4))).ok());  // no longer than the stem
}

TEST_F(IndexRpcTest, RefusesWithTheField) {
  Begin();
  const auto refused = [&](const pb::ScoreTokensRequest& request, const std::string& begin) {
    const grpc::Status status = Tokens(request);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << begin;
    EXPECT_EQ(status.error_message().find(begin), 0u) << status.error_message();
  };
  refused({}, "model_name: ");
  refused(Ask(Counting(21)), "token_ids: has 21 tokens");
  auto request = Ask(Counting(4));
  for (const char* pod : {"a", "b", "c"}) request.add_pod_identifiers(pod);
  refused(request, "pod_identifiers: has 3 names");
  request = Ask(Counting(4));
  request.set_model_name("other");
  refused(request, "model: ");
  pb::GetPodScoresRequest prompt;
  prompt.set_model_name("m");
  EXPECT_EQ(Prompt(prompt).error_message(), "prompt: must not be empty");
  prompt.set_prompt(std::string(5000, 'x'));
  EXPECT_EQ(Prompt(prompt).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(IndexRpcTest, AsksForATokenAndKeepsATenantToItsSalt) {
  Begin(kTokens);
  const auto request = Ask(Counting(4));
  EXPECT_EQ(Tokens(request).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Tokens(request, "everything-tokem").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  ASSERT_TRUE(Tokens(request, "everything-token").ok());
  EXPECT_EQ(response_.scores_size(), 2);
  EXPECT_EQ(Tokens(request, "tenant-blue-token").error_code(), grpc::StatusCode::PERMISSION_DENIED);
  auto salted = request;
  salted.set_cache_salt("blue");
  EXPECT_TRUE(Tokens(salted, "tenant-blue-token").ok());
  EXPECT_EQ(response_.scores_size(), 0);  // nobody stored anything with this salt
  pb::GetPodScoresRequest prompt;
  prompt.set_model_name("m");
  prompt.set_prompt("x");
  EXPECT_EQ(Prompt(prompt).error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(IndexRpcTest, AdaptersHaveBlocksOfTheirOwn) {
  Begin();
  auto request = Ask(Counting(4));
  request.set_lora_name("sql");
  ASSERT_TRUE(Tokens(request).ok());
  EXPECT_EQ(response_.scores_size(), 0);
}

TEST_F(IndexRpcTest, SaysSoWhenNoAnswerWillCome) {
  Begin();
  {
    std::lock_guard lock(mutex_);
    drop_ = true;  // the index's thread has ended
  }
  EXPECT_EQ(Tokens(Ask(Counting(4))).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(IndexRpcTest, OutlivesClientsThatGoAway) {
  Begin();
  grpc::ClientContext context;
  const auto request = Ask(Counting(4));
  std::promise<grpc::Status> ended;
  {
    std::lock_guard hold(mutex_);  // the index's thread does not answer
    stub_->async()->ScoreTokens(&context, &request, &response_,
                                [&](const grpc::Status& status) { ended.set_value(status); });
    context.TryCancel();
    EXPECT_EQ(ended.get_future().get().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(Tokens(request).ok());
}

TEST_F(IndexRpcTest, EndsAlthoughTheIndexDoesNotAnswer) {
  Begin();
  std::unique_lock hold(mutex_);
  grpc::ClientContext context;
  const auto request = Ask(Counting(4));
  std::promise<grpc::Status> ended;
  stub_->async()->ScoreTokens(&context, &request, &response_,
                              [&](const grpc::Status& status) { ended.set_value(status); });
  EXPECT_TRUE(Eventually([&] { return arrived_ > 0; }));
  auto end = std::async(std::launch::async, [&] { rpc_.reset(); });
  EXPECT_EQ(end.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  hold.unlock();
  EXPECT_FALSE(ended.get_future().get().ok());
}

TEST_F(IndexRpcTest, RefusesAnAddressThatIsInUse) {
  Begin();
  std::string message;
  const std::string address = fmt::format("127.0.0.1:{}", rpc_->port());
  EXPECT_FALSE(IndexRpc::Listen({.address = address, .tokens = {}}, service_.get(), &message));
  EXPECT_EQ(message.find("--grpc-addr: " + address), 0u) << message;
}

}  // namespace
}  // namespace headrace::server
