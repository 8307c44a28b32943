#include "cli/index_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/http_server.h"

namespace headrace::cli {
namespace {

using ::testing::ElementsAre;

constexpr const char* kBlock =
    R"({"key":"18446744073709551615","engine":null,"holders":[{"pod":"a","tier":"gpu"},)"
    R"({"pod":"b","tier":"cpu","group":1},{"pod":"c","tier":"gpu","speculative":true}]})";

TEST(IndexDump, ReadsAPage) {
  const auto page = ParseDumpPage("{\"next\":7,\"blocks\":[" + std::string(kBlock) + "]}\n");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->next, 7u);
  EXPECT_THAT(page->lines, ElementsAre(kBlock));
}

TEST(IndexDump, CountsCopiesButNotGuesses) {
  DumpedHolders holders;
  ASSERT_TRUE(AddHolders(kBlock, &holders));
  ASSERT_TRUE(AddHolders(kBlock, &holders));  // of a page that overlaps
  const std::string key = "18446744073709551615";
  EXPECT_THAT(holders,
              ElementsAre(DumpedHolder{key, "a", "gpu", -1}, DumpedHolder{key, "b", "cpu", 1}));
}

TEST(IndexDump, RefusesWhatIsNone) {
  for (const char* text : {"", "[]", "{}", R"({"next":-1,"blocks":[]})", R"({"next":0})",
                           R"({"next":0,"blocks":[1]})", R"({"next":0,"blocks":{}})"}) {
    EXPECT_FALSE(ParseDumpPage(text)) << text;
  }
  DumpedHolders holders;
  for (const char* text : {"x", "[]", R"({"key":5,"holders":[]})", R"({"key":"5"})",
                           R"({"key":"5","holders":[{"pod":"a"}]})",
                           R"({"key":"5","holders":[{"pod":"a","tier":"gpu"},7]})"}) {
    EXPECT_FALSE(AddHolders(text, &holders)) << text;
  }
  EXPECT_TRUE(holders.empty());
}

// Answers pages of one block, or lookups, and remembers what it was asked.
class FakeIndex {
 public:
  FakeIndex() : server_(std::move(*net::HttpServer::Listen("127.0.0.1:0", {}))) {
    server_->Handle("GET", "/v1/index/dump", [this](const net::HttpRequest& request) {
      asked.push_back(request.query.at("cursor") + "/" + request.query.at("limit"));
      const bool last = request.query.at("cursor") == "41";
      return net::HttpReply{
          200, "application/json",
          std::string("{\"next\":") + (last ? "0" : "41") + ",\"blocks\":[" + kBlock + "]}"};
    });
    server_->Handle("GET", "/v1/index/lookup", [this](const net::HttpRequest& request) {
      asked.push_back(request.query.at("hash") + " " + request.query.at("model"));
      return net::HttpReply{200, "application/json", "{\"blocks\":[" + std::string(kBlock) + "]}"};
    });
    server_->Handle("GET", "/v1/index/stats", [](const net::HttpRequest& request) {
      return net::HttpReply{401, "application/json",
                            "{\"error\":{\"field\":\"authorization\",\"message\":\"" +
                                std::string(request.headers.Find("authorization")) + "\"}}"};
    });
    server_->Start();
  }
  ServerPlace place() const {
    return {.address = "127.0.0.1:" + std::to_string(server_->port()), .token = "secret"};
  }
  std::vector<std::string> asked;

 private:
  std::unique_ptr<net::HttpServer> server_;
};

TEST(IndexDump, FollowsThePagesToTheLast) {
  FakeIndex index;
  std::vector<std::string> lines;
  std::string message;
  ASSERT_TRUE(ReadDump(
      index.place(), 5, [&](const std::string& x) { lines.push_back(x); }, &message))
      << message;
  EXPECT_THAT(index.asked, ElementsAre("0/5", "41/5"));
  EXPECT_THAT(lines, ElementsAre(kBlock, kBlock));
}

TEST(IndexDump, LooksUpAHashOfAnyModel) {
  FakeIndex index;
  std::string message;
  const auto lines = LookUpHash(index.place(), UINT64_MAX, "org/m&x=%\xc3\xa9 1", &message);
  ASSERT_TRUE(lines) << message;
  EXPECT_THAT(*lines, ElementsAre(kBlock));
  EXPECT_THAT(index.asked, ElementsAre("18446744073709551615 org/m&x=%\xc3\xa9 1"));
}

TEST(ServerPlace, SaysWhatTheServerRefused) {
  FakeIndex index;
  std::string message;
  const net::HttpCall call{"GET", "/v1/index/stats", "", index.place().token};
  EXPECT_FALSE(AskServer(index.place(), call, &message));
  EXPECT_EQ(message, index.place().address + " answers 401 authorization: Bearer secret");
}

TEST(ServerPlace, TakesAddressesAsPeopleWriteThem) {
  EXPECT_EQ(*AddressOf("http://10.0.0.1:9091"), "10.0.0.1:9091");
  EXPECT_EQ(*AddressOf("http://[::1]:9091/"), "[::1]:9091");
  EXPECT_EQ(*AddressOf("index:80"), "index:80");
  for (const char* text : {"https://a:1", "http://a", "", "ftp://a:1", "http://a:1/v1"}) {
    EXPECT_FALSE(AddressOf(text)) << text;
  }
}

}  // namespace
}  // namespace headrace::cli
