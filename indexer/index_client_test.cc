#include "indexer/index_client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "net/http_server.h"

namespace headrace::indexer {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kBlockTokens = 4;

// A replica that gives every prompt to the pod of its own name, or sends the asker elsewhere.
class Replica {
 public:
  Replica() : server_(std::move(*net::HttpServer::Listen("127.0.0.1:0", {}))) {
    address = "127.0.0.1:" + std::to_string(server_->port());
    server_->Handle("POST", "/v1/score", [this](const net::HttpRequest& request) {
      ++asked;
      bearer = request.headers.Find("authorization");
      if (!other.empty()) {
        return net::HttpReply{307, "application/json",
                              fmt::format(R"({{"replica":{{"addresses":["{}"]}}}})", other)};
      }
      if (status != 200) {
        return net::HttpReply{status, "application/json", ErrorBody({status, "model", "is wrong"})};
      }
      ScoreAnswer answer{.model = "m", .tokens = 8, .blocks = 2, .pods = {}};
      answer.pods = {{address, 2, 1, 2, false}};
      return net::HttpReply{200, "application/json", ScoreBody(answer)};
    });
    server_->Handle("GET", "/v1/index/replicas",
                    [this](const net::HttpRequest&) { return net::HttpReply{200, "", list}; });
    server_->Start();
  }
  // What it says about itself and the others.
  void Tell(const std::vector<std::string>& addresses, uint32_t first_blocks) {
    std::string names;
    for (const std::string& name : addresses) {
      names += fmt::format("{}\"{}\"", names.empty() ? "" : ",", name);
    }
    list = fmt::format(R"({{"replicas":[{}],"replica":"","shardBlocks":{},)"
                       R"("hash":{{"algorithm":"xxh64","seed":"","blockTokens":{}}}}})",
                       names, first_blocks, kBlockTokens);
  }
  void Die() { server_.reset(); }

  std::string address;
  std::string list = "{}";
  std::string other;  // who has it, if not this one
  std::string bearer;
  int status = 200;
  int asked = 0;

 private:
  std::unique_ptr<net::HttpServer> server_;
};

class IndexClientTest : public ::testing::Test {
 protected:
  IndexClientTest() {
    for (const Replica& replica : replicas_) addresses_.push_back(replica.address);
  }
  void Tell(uint32_t first_blocks) {
    for (Replica& replica : replicas_) replica.Tell(addresses_, first_blocks);
  }
  IndexClient Client(IndexClient::Options options) {
    if (options.replicas.empty()) options.replicas = addresses_;
    auto client = IndexClient::Create(std::move(options));
    HR_CHECK(client.has_value());
    return std::move(*client);
  }
  static ScoreCall Prompt(const std::string& text) {
    ScoreCall call;
    call.model = "m";
    call.prompt = text;
    return call;
  }
  // Prompts of six blocks that begin with this token.
  static ScoreCall Tokens(uint32_t first) {
    ScoreCall call;
    call.model = "m";
    call.input = ScoreCall::Input::kTokens;
    call.tokens.assign(size_t{6} * kBlockTokens, first);
    return call;
  }
  std::string Scored(IndexClient* client, const ScoreCall& call) {
    const auto answer = client->Score(call, &message_);
    return answer ? answer->pods.at(0).pod : std::string(ErrcName(answer.error().code));
  }
  size_t OwnerOf(const ScoreCall& call, uint32_t first_blocks) {
    const auto map = ShardMap::Create({addresses_, first_blocks});
    auto keys = std::move(*IngestKeys::Create(
        {.algo = wire::HashAlgo::kXxh64, .seed = "", .model = "", .block_tokens = kBlockTokens}));
    std::vector<RequestKey> out;
    HR_CHECK(keys->PromptKeys(call.model, call.extras, call.tokens, &out).has_value());
    return map->OwnerOf(out);
  }

  std::array<Replica, 3> replicas_;
  std::vector<std::string> addresses_;
  std::string message_;
};

TEST_F(IndexClientTest, AsksTheOwnerOfAPromptAtOnce) {
  Tell(2);
  IndexClient client = Client({.replicas = {addresses_[0]}});  // it names the others
  std::vector<int> expected(3);
  for (uint32_t first = 1; first <= 30; ++first) {
    const size_t owner = OwnerOf(Tokens(first), 2);
    ++expected[owner];
    EXPECT_EQ(Scored(&client, Tokens(first)), addresses_[owner]);
  }
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_GT(expected[i], 0);
    EXPECT_EQ(replicas_[i].asked, expected[i]);
  }
  EXPECT_EQ(client.counters().moved, 0u);
}

TEST_F(IndexClientTest, DoesNotAskOthersForThePromptOfADeadOwner) {
  Tell(2);
  IndexClient client = Client({});
  ASSERT_NE(Scored(&client, Tokens(1)), "unavailable");
  const size_t owner = OwnerOf(Tokens(1), 2);
  replicas_[owner].Die();
  EXPECT_EQ(Scored(&client, Tokens(1)), "unavailable");
  EXPECT_THAT(message_, HasSubstr(addresses_[owner]));
  EXPECT_EQ(replicas_[(owner + 1) % 3].asked + replicas_[(owner + 2) % 3].asked, 0);
}

TEST_F(IndexClientTest, FollowsAReplicaThatNamesAnother) {
  Tell(2);
  replicas_[0].other = addresses_[2];
  IndexClient client = Client({});
  EXPECT_EQ(Scored(&client, Prompt("text")), addresses_[2]);
  EXPECT_EQ(client.counters().moved, 1u);
  EXPECT_EQ(replicas_[1].asked, 0);
}

TEST_F(IndexClientTest, GivesUpWhereReplicasSendItRoundInACircle) {
  Tell(2);
  for (size_t i = 0; i < 3; ++i) replicas_[i].other = addresses_[(i + 1) % 3];
  IndexClient client = Client({});
  EXPECT_EQ(Scored(&client, Prompt("text")), "unavailable");
  EXPECT_EQ(client.counters().moved, 1u + IndexClient::kMaxMoves);
}

TEST_F(IndexClientTest, TakesTheNextWhereEachKeepsEverything) {
  Tell(0);
  IndexClient client = Client({});
  EXPECT_EQ(Scored(&client, Tokens(1)), addresses_[0]);
  replicas_[0].Die();
  EXPECT_EQ(Scored(&client, Tokens(1)), addresses_[1]);
  EXPECT_EQ(client.counters().unreachable, 1u);
  EXPECT_EQ(Scored(&client, Tokens(1)), addresses_[1]);  // and stays with it
  EXPECT_EQ(client.counters().unreachable, 1u);
  replicas_[1].status = 503;
  EXPECT_EQ(Scored(&client, Tokens(1)), addresses_[2]);
}

TEST_F(IndexClientTest, MergesWhatAllSay) {
  Tell(0);
  IndexClient client = Client({.ask_all = true});
  replicas_[1].Die();
  const auto answer = client.Score(Tokens(1), &message_);
  ASSERT_TRUE(answer) << message_;
  EXPECT_EQ(answer->pods.size(), 2u);
}

TEST_F(IndexClientTest, PassesARefusalOnAndAsksNobodyElse) {
  Tell(0);
  replicas_[0].status = 400;
  IndexClient client = Client({.token = "secret"});
  EXPECT_EQ(Scored(&client, Tokens(1)), "invalid");
  EXPECT_EQ(message_, addresses_[0] + " answers 400 model: is wrong");
  EXPECT_EQ(replicas_[0].bearer, "Bearer secret");
  replicas_[0].status = 401;
  EXPECT_EQ(Scored(&client, Tokens(1)), "permission");
  EXPECT_EQ(replicas_[1].asked, 0);
}

TEST_F(IndexClientTest, WorksWithASingleServerThatKnowsNoReplicas) {
  IndexClient client = Client({.replicas = {addresses_[1]}});
  EXPECT_EQ(Scored(&client, Tokens(1)), addresses_[1]);
  EXPECT_FALSE(client.map().has_value());
}

TEST_F(IndexClientTest, SaysWhenNobodyIsThere) {
  Tell(0);
  for (Replica& replica : replicas_) replica.Die();
  IndexClient client = Client({.timeout = seconds(1)});
  EXPECT_EQ(Scored(&client, Tokens(1)), "unavailable");
  EXPECT_FALSE(IndexClient::Create({}));
}

}  // namespace
}  // namespace headrace::indexer
