#include <fmt/format.h>
#include <gtest/gtest.h>

#include <future>
#include <map>
#include <stdexcept>
#include <thread>
#include <utility>

#include "base/wait_rig.h"
#include "net/http_rig.h"
#include "net/http_server.h"

namespace headrace::net {
namespace {

// A server on a loop that has a thread here, whose exchanges wait by the body of their request.
class HttpExchangeTest : public testing::Test {
 protected:
  void SetUp() override {
    loop_ = std::move(*Loop::Create());
    server_ = std::move(*HttpServer::ListenOn(loop_.get(), "127.0.0.1:0", {.idle_seconds = 1}));
    server_->SetErrorBody(
        [](int status, std::string_view what) { return fmt::format("<{} {}>", status, what); });
    auto handler = [this](const std::shared_ptr<HttpExchange>& exchange) {
      const std::string body = exchange->request().body;
      if (body == "throw") throw std::runtime_error("secret");
      if (body == "now") return exchange->Reply({200, "text/plain", "at once"});
      exchange->OnGone([this, body] { gone_[body] += 1; });
      waiting_[body] = exchange;
    };
    server_->HandleExchange("POST", "/x", handler);
    server_->HandleExchange("GET", "/x", handler);
    port_ = server_->port();
    server_->Start();
    thread_ = std::thread([this] { loop_->Run(); });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    Stop();
    server_.reset();
  }
  void Stop() {
    loop_->Stop();
    thread_.join();
  }

  static std::string Post(const std::string& body) {
    return fmt::format("POST /x HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
  }
  // Runs it on the loop's thread, and waits for it.
  template <typename Work>
  auto Do(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    loop_->Post([&task] { task(); });
    return result.get();
  }
  bool Arrives(const std::string& body) {
    return Eventually([&] { return Do([&] { return waiting_.contains(body); }); });
  }
  HttpExchange& At(const std::string& body) { return *waiting_.at(body); }

  std::unique_ptr<Loop> loop_;
  std::unique_ptr<HttpServer> server_;
  uint16_t port_ = 0;
  std::thread thread_;
  // The loop's thread's.
  std::map<std::string, std::shared_ptr<HttpExchange>> waiting_;
  std::map<std::string, int> gone_;
};

TEST_F(HttpExchangeTest, AnswersAtOnceOrLater) {
  RawClient client(port_);
  client.Send(Post("now"));
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nat once"));
  client.Send(Post("a"));
  ASSERT_TRUE(Arrives("a"));
  Do([&] { At("a").Reply({429, "application/json", "{}", "", "X-More: 1\r\n"}); });
  const std::string reply = client.ReadReply();
  EXPECT_TRUE(reply.starts_with("HTTP/1.1 429 Too Many Requests\r\n")) << reply;
  EXPECT_NE(reply.find("\r\nX-More: 1\r\n"), std::string::npos) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\n{}")) << reply;
}

TEST_F(HttpExchangeTest, StreamsInChunksAndGoesOn) {
  RawClient client(port_);
  client.Send(Post("a"));
  ASSERT_TRUE(Arrives("a"));
  Do([&] {
    At("a").Begin({200, "text/event-stream", ""});
    At("a").body()->append("one");
    At("a").body()->append("two");
    At("a").Flush();
  });
  EXPECT_TRUE(client.ReadUntil("\r\n\r\n").find("Transfer-Encoding: chunked\r\n") !=
              std::string::npos);
  EXPECT_EQ(client.ReadUntil("two\r\n"), "6\r\nonetwo\r\n");
  Do([&] {
    At("a").body()->append(std::string(300, 'x'));
    At("a").End();
  });
  EXPECT_EQ(client.ReadUntil("\r\n0\r\n\r\n"), "12c\r\n" + std::string(300, 'x') + "\r\n0\r\n\r\n");
  client.Send(Post("now"));
  EXPECT_TRUE(client.ReadReply().ends_with("at once"));
  EXPECT_EQ(Do([&] { return gone_["a"]; }), 0);
}

// Who speaks HTTP/1.0, as ab does, knows no chunks.
TEST_F(HttpExchangeTest, StreamsToAnOldClientUntilTheConnectionEnds) {
  RawClient client(port_);
  client.Send("POST /x HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na");
  ASSERT_TRUE(Arrives("a"));
  Do([&] {
    At("a").Begin({200, "text/plain", ""});
    At("a").body()->append("one");
    At("a").Flush();
    At("a").body()->append("two");
    At("a").End();
  });
  const std::string all = client.ReadAll();
  EXPECT_EQ(all.find("Transfer-Encoding"), std::string::npos) << all;
  EXPECT_NE(all.find("Connection: close\r\n"), std::string::npos) << all;
  EXPECT_TRUE(all.ends_with("\r\n\r\nonetwo")) << all;
}

TEST_F(HttpExchangeTest, SendsNoBodyToHead) {
  RawClient client(port_);
  client.Send("HEAD /x HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(Arrives(""));
  Do([&] {
    At("").Begin({200, "text/plain", ""});
    At("").body()->append("unseen");
    At("").End();
  });
  client.Send(Post("now"));
  const std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 ")) << head;
  EXPECT_TRUE(client.ReadReply().ends_with("at once"));
}

TEST_F(HttpExchangeTest, TellsWhenTheClientHangsUp) {
  {
    RawClient waits(port_), streams(port_);
    waits.Send(Post("waits"));
    streams.Send(Post("streams"));
    ASSERT_TRUE(Arrives("waits") && Arrives("streams"));
    Do([&] {
      At("streams").Begin({200, "text/plain", ""});
      At("streams").body()->append("one");
      At("streams").Flush();
    });
    streams.ReadUntil("one");
    EXPECT_EQ(Do([&] { return gone_.size(); }), 0u);
  }
  EXPECT_TRUE(
      Eventually([&] { return Do([&] { return gone_["waits"] == 1 && gone_["streams"] == 1; }); }));
  Do([&] {  // nothing happens any more
    At("waits").Reply({200, "text/plain", "late"});
    At("streams").body()->append("late");
    At("streams").Flush();
    At("streams").End();
  });
  EXPECT_EQ(Do([&] { return gone_["waits"] + gone_["streams"]; }), 2);
}

TEST_F(HttpExchangeTest, DoesNotTellOfAClientThatHasItsAnswer) {
  {
    RawClient client(port_);
    client.Send(Post("a"));
    ASSERT_TRUE(Arrives("a"));
    Do([&] { At("a").Reply({200, "text/plain", "x"}); });
    client.ReadReply();
  }
  RawClient other(port_);
  other.Send(Post("b"));
  ASSERT_TRUE(Arrives("b"));
  EXPECT_EQ(Do([&] { return gone_["a"]; }), 0);
}

TEST_F(HttpExchangeTest, WaitsForAClientThatReadsSlowly) {
  RawClient client(port_);
  client.Send(Post("a"));
  ASSERT_TRUE(Arrives("a"));
  std::string sent;
  // More than the kernel takes, in pieces; what it does not take stays here. At one go: who stops
  // reading for a second is dropped.
  Do([&] {
    At("a").Begin({200, "text/plain", ""});
    for (int i = 0; i < 2000; ++i) {
      const std::string piece = fmt::format("{:08}", i) + std::string(8184, 'x');
      sent += piece;
      At("a").body()->append(piece);
      At("a").Flush();
    }
  });
  EXPECT_GT(Do([&] { return At("a").unsent_bytes(); }), 0u);
  Do([&] { At("a").End(); });
  client.ReadUntil("\r\n\r\n");
  std::string got;
  for (;;) {
    const std::string line = client.ReadUntil("\r\n");
    const size_t size = std::stoul(line, nullptr, 16);
    if (size == 0) break;
    std::string chunk;
    while (chunk.size() < size + 2) {
      const std::string more = client.ReadUntil("\r\n");
      ASSERT_FALSE(more.empty());
      chunk += more;
    }
    got += chunk.substr(0, size);
  }
  EXPECT_TRUE(got == sent);
}

TEST_F(HttpExchangeTest, DropsAClientThatStopsReading) {
  RawClient client(port_);
  client.Send(Post("a"));
  ASSERT_TRUE(Arrives("a"));
  Do([&] {
    At("a").Begin({200, "text/plain", ""});
    At("a").body()->append(std::string(64 << 20, 'x'));
    At("a").Flush();
  });
  EXPECT_TRUE(Eventually([&] { return Do([&] { return gone_["a"] == 1; }); }));
}

// There may be thousands of connections that are kept for their next request.
TEST_F(HttpExchangeTest, KeepsNoLargeBodyOfARequestThatIsAnswered) {
  RawClient client(port_);
  const std::string large(900'000, 'a');
  client.Send(Post(large));
  ASSERT_TRUE(Arrives(large));
  EXPECT_GE(Do([&] { return At(large).request().body.capacity(); }), large.size());
  Do([&] { At(large).Reply({200, "text/plain", "x"}); });
  EXPECT_LT(Do([&] { return At(large).request().body.capacity(); }), large.size() / 2);
}

TEST_F(HttpExchangeTest, KeepsPipelinedRequestsForLater) {
  RawClient client(port_);
  client.Send(Post("a") + Post("b") + Post("now"));
  ASSERT_TRUE(Arrives("a"));
  EXPECT_FALSE(Do([&] { return waiting_.contains("b"); }));
  Do([&] { At("a").Reply({200, "text/plain", "A"}); });
  ASSERT_TRUE(Arrives("b"));
  Do([&] { At("b").Reply({200, "text/plain", "B"}); });
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nA"));
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nB"));
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nat once"));
}

TEST_F(HttpExchangeTest, LetsAClientThatPipelinesTooMuchWait) {
  RawClient client(port_);
  client.Send(Post("a"));
  ASSERT_TRUE(Arrives("a"));
  std::string many;
  for (int i = 0; i < 4000; ++i) many += Post("now");
  std::thread sender([&] { client.Send(many); });
  RawClient other(port_);  // served meanwhile
  other.Send(Post("now"));
  EXPECT_TRUE(other.ReadReply().ends_with("at once"));
  Do([&] { At("a").Reply({200, "text/plain", "A"}); });
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nA"));
  for (int i = 0; i < 4000; ++i) ASSERT_TRUE(client.ReadReply().ends_with("at once")) << i;
  sender.join();
}

TEST_F(HttpExchangeTest, TellsOfAClientThatPipelinesTooMuchAndHangsUp) {
  {
    RawClient client(port_);
    client.Send(Post("a"));
    ASSERT_TRUE(Arrives("a"));
    std::string many;
    for (int i = 0; i < 2500; ++i) many += Post("now");
    client.Send(many);
  }
  EXPECT_TRUE(Eventually([&] { return Do([&] { return gone_["a"] == 1; }); }));
}

TEST_F(HttpExchangeTest, GivesErrorsTheBodyThatIsAskedFor) {
  RawClient client(port_);
  client.Send(Post("throw"));
  EXPECT_TRUE(client.ReadReply().ends_with("<500 internal error>"));
  client.Send("GET /nothing HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.ReadReply().ends_with("<404 no such path>"));
}

TEST_F(HttpExchangeTest, TellsOfTheServersEndAndOutlivesIt) {
  RawClient client(port_);
  client.Send(Post("a"));
  ASSERT_TRUE(Arrives("a"));
  Stop();
  server_.reset();
  EXPECT_EQ(gone_["a"], 1);
  At("a").Reply({200, "text/plain", "late"});
  EXPECT_EQ(client.ReadAll(), "");
}

}  // namespace
}  // namespace headrace::net
