#include "net/http_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/wait_rig.h"
#include "net/http_rig.h"

namespace headrace::net {
namespace {

std::string Get(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n";
}

class HttpServerTest : public testing::Test {
 protected:
  void Begin(HttpLimits limits = {}) {
    auto server = HttpServer::Listen("127.0.0.1:0", limits);
    ASSERT_TRUE(server);
    server_ = std::move(*server);
    server_->Handle("GET", "/health", [](const HttpRequest&) {
      return HttpReply{200, "application/json", "{\"ok\":true}"};
    });
    server_->Handle("POST", "/echo", [](const HttpRequest& request) {
      return HttpReply{200, "text/plain", request.body};
    });
    server_->Handle("GET", "/query", [](const HttpRequest& request) {
      std::string text;
      for (const auto& [key, value] : request.query) text += fmt::format("{}->{};", key, value);
      text += request.query_text;
      return HttpReply{202, "text/plain", text};
    });
    server_->Handle("GET", "/throws",
                    [](const HttpRequest&) -> HttpReply { throw std::runtime_error("secret"); });
    server_->Handle("GET", "/headers", [](const HttpRequest& request) {
      std::string text;
      for (size_t i = 0; i < request.headers.size(); ++i) {
        text += fmt::format("{}->{};", request.headers[i].name, request.headers[i].value);
      }
      return HttpReply{200, "text/plain", text};
    });
    server_->Handle("POST", "/moved", [](const HttpRequest&) {
      return HttpReply{307, "application/json", "{}", "http://10.0.0.2:9091/moved"};
    });
    auto say_rest = [](const HttpRequest& request) {
      return HttpReply{200, "text/plain", "[" + request.rest + "]"};
    };
    server_->Handle("DELETE", "/pods/*", say_rest);
    server_->Handle("GET", "/pods/all", say_rest);
    server_->Handle("GET", "/pods/by/*", say_rest);
    server_->HandleAsync("POST", "/later",
                         [this](const HttpRequest& request, HttpServer::Answer answer) {
                           if (request.body == "throw") throw std::runtime_error("secret");
                           if (request.body == "drop") return;
                           std::lock_guard lock(mutex_);
                           answers_.push_back({request.body, std::move(answer)});
                         });
    server_->Start();
  }
  void TearDown() override { server_.reset(); }  // its handlers use what stands here
  // The answer to the request with this body, once it has come.
  HttpServer::Answer TakeAnswer(const std::string& body) {
    HttpServer::Answer taken;
    HR_CHECK(Eventually([&] {
      std::lock_guard lock(mutex_);
      for (auto& [name, answer] : answers_) {
        if (name == body && answer) taken = std::exchange(answer, nullptr);
      }
      return taken != nullptr;
    }));
    return taken;
  }
  std::string Ask(const std::string& request) {
    RawClient client(server_->port());
    client.Send(request);
    return client.ReadReply();
  }
  static bool IsStatus(const std::string& reply, int status) {
    return reply.starts_with("HTTP/1.1 " + std::to_string(status) + " ");
  }

  static std::string Later(const std::string& body) {
    return "POST /later HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
           body;
  }

  std::unique_ptr<HttpServer> server_;
  std::mutex mutex_;
  std::vector<std::pair<std::string, HttpServer::Answer>> answers_;  // guarded by mutex_
};

TEST_F(HttpServerTest, Answers) {
  Begin();
  std::string reply = Ask(Get("/health"));
  EXPECT_TRUE(IsStatus(reply, 200)) << reply;
  EXPECT_NE(reply.find("Content-Type: application/json\r\n"), std::string::npos) << reply;
  EXPECT_TRUE(reply.ends_with("\r\n\r\n{\"ok\":true}")) << reply;
}

TEST_F(HttpServerTest, SaysWhereElseToAsk) {
  Begin();
  const std::string moved = Ask("POST /moved HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(IsStatus(moved, 307)) << moved;
  EXPECT_NE(moved.find("\r\nLocation: http://10.0.0.2:9091/moved\r\n"), std::string::npos) << moved;
  EXPECT_EQ(Ask(Get("/health")).find("Location"), std::string::npos);
}

TEST_F(HttpServerTest, HandsTheQueryToTheHandler) {
  Begin();
  std::string reply = Ask(Get("/query?a=1&b=x%20y"));
  EXPECT_TRUE(IsStatus(reply, 202)) << reply;
  EXPECT_TRUE(reply.ends_with("a->1;b->x y;a=1&b=x%20y")) << reply;
}

TEST_F(HttpServerTest, KeepsAConnectionAliveAndTakesPipelinedRequests) {
  Begin();
  RawClient client(server_->port());
  for (int i = 0; i < 3; ++i) {
    client.Send(Get("/health"));
    EXPECT_TRUE(IsStatus(client.ReadReply(), 200));
  }
  client.Send(Get("/health") + "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc" +
              Get("/missing"));
  EXPECT_TRUE(IsStatus(client.ReadReply(), 200));
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nabc"));
  EXPECT_TRUE(IsStatus(client.ReadReply(), 404));
}

TEST_F(HttpServerTest, ClosesWhenTheClientAsksForIt) {
  Begin();
  RawClient client(server_->port());
  client.Send("GET /health HTTP/1.1\r\nConnection: close\r\n\r\n");
  std::string all = client.ReadAll();  // ends only because the server closes
  EXPECT_TRUE(IsStatus(all, 200)) << all;
  EXPECT_TRUE(all.ends_with("{\"ok\":true}")) << all;
  RawClient old(server_->port());
  old.Send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(old.ReadAll().ends_with("{\"ok\":true}"));
}

TEST_F(HttpServerTest, AnswersAClientThatSendsNoMore) {
  Begin();
  RawClient client(server_->port());
  client.Send(Get("/health"));
  client.Finish();
  EXPECT_TRUE(client.ReadAll().ends_with("{\"ok\":true}"));
}

TEST_F(HttpServerTest, AnswersAllThatWasAskedBeforeTheClientSentNoMore) {
  Begin();
  RawClient client(server_->port());
  client.Send(Later("a") + Get("/health") + Get("/missing") + "GET /hea");
  HttpServer::Answer answer = TakeAnswer("a");
  client.Finish();
  Ask(Get("/health"));  // by now the server has seen it
  answer({200, "text/plain", "A"});
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nA"));
  EXPECT_TRUE(IsStatus(client.ReadReply(), 200));
  EXPECT_TRUE(IsStatus(client.ReadReply(), 404));
  EXPECT_EQ(client.ReadAll(), "");
}

// Closing with unread bytes would reset the connection, and lose what is on its way.
TEST_F(HttpServerTest, LosesNoAnswerToAClientThatSaysTooMuch) {
  Begin();
  RawClient client(server_->port());
  const std::string large(600000, 'x');
  client.Send("POST /echo HTTP/1.1\r\nConnection: close\r\nContent-Length: 600000\r\n\r\n" + large);
  client.Send(std::string(160000, 'y'));
  client.Finish();
  Ask(Get("/health"));
  const std::string all = client.ReadAll();
  EXPECT_EQ(all.size() - all.find("\r\n\r\n"), large.size() + 4);
}

TEST_F(HttpServerTest, AnswersHeadLikeGetWithoutABody) {
  Begin();
  RawClient client(server_->port());
  client.Send("HEAD /health HTTP/1.1\r\n\r\n" + Get("/health"));
  std::string head = client.ReadUntil("\r\n\r\n");
  EXPECT_TRUE(IsStatus(head, 200)) << head;
  EXPECT_NE(head.find("Content-Length: 11\r\n"), std::string::npos) << head;
  EXPECT_TRUE(IsStatus(client.ReadReply(), 200));  // at once: no body stood between
}

TEST_F(HttpServerTest, RefusesUnknownPathsAndMethods) {
  Begin();
  std::string reply = Ask(Get("/nothing"));
  EXPECT_TRUE(IsStatus(reply, 404)) << reply;
  EXPECT_TRUE(reply.ends_with("{\"error\":\"no such path\"}\n")) << reply;
  reply = Ask("DELETE /health HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(IsStatus(reply, 405)) << reply;
  EXPECT_NE(reply.find("Allow: GET, HEAD\r\n"), std::string::npos) << reply;
  EXPECT_TRUE(reply.ends_with("{\"error\":\"method not allowed\"}\n")) << reply;
  reply = Ask("BREW /echo HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(IsStatus(reply, 405)) << reply;
  EXPECT_NE(reply.find("Allow: POST\r\n"), std::string::npos) << reply;
}

TEST_F(HttpServerTest, RefusesMalformedRequestsAndCloses) {
  Begin();
  for (const char* text :
       {"nonsense\r\n\r\n", "GET /health HTTP/9.9\r\n\r\n",
        "GET /health HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "GET /health HTTP/1.1\r\nno colon\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n"}) {
    RawClient client(server_->port());
    client.Send(text);
    std::string all = client.ReadAll();
    EXPECT_TRUE(IsStatus(all, 400)) << text << all;
    EXPECT_TRUE(all.ends_with("{\"error\":\"malformed request\"}\n")) << all;
  }
  EXPECT_TRUE(IsStatus(Ask(Get("/%zz")), 400));
  EXPECT_TRUE(IsStatus(Ask(Get("nopath")), 400));
}

// Another server before this one may read the body of such a request in another way than we do, and
// take for a request what we take for a body, or the other way round.
TEST_F(HttpServerTest, RefusesABodyOfUnclearLength) {
  Begin();
  const std::string hidden = "GET /health HTTP/1.1\r\n\r\n";
  for (const char* lines :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked, identity\r\n", "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nContent-Length: 26\r\n", "Content-Length: +26\r\n"}) {
    RawClient client(server_->port());
    client.Send(std::string("POST /echo HTTP/1.1\r\n") + lines + "\r\n" + hidden);
    const std::string all = client.ReadAll();
    EXPECT_TRUE(IsStatus(all, 400)) << lines << all;
    EXPECT_EQ(all.find("200 OK"), std::string::npos) << lines << all;
  }
}

TEST_F(HttpServerTest, RefusesMoreHeaderLinesThanAnybodyNeeds) {
  Begin();
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += fmt::format("X-{}: a\r\n", i);
  EXPECT_TRUE(IsStatus(Ask("GET /health HTTP/1.1\r\n" + lines + "\r\n"), 200));
  for (int i = 0; i < 100; ++i) lines += "X: a\r\n";
  EXPECT_TRUE(IsStatus(Ask("GET /health HTTP/1.1\r\n" + lines + "\r\n"), 431));
  const std::string chunked = "POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
  EXPECT_TRUE(IsStatus(Ask(chunked + "X: a\r\n\r\n"), 200));
  EXPECT_TRUE(IsStatus(Ask(chunked + lines + "\r\n"), 431)) << "behind the body";
}

TEST_F(HttpServerTest, RefusesABodyOverTheLimit) {
  Begin({.max_body_bytes = 100});
  EXPECT_TRUE(IsStatus(
      Ask("POST /echo HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + std::string(100, 'a')), 200));
  std::string said = Ask("POST /echo HTTP/1.1\r\nContent-Length: 101\r\n\r\n");
  EXPECT_TRUE(IsStatus(said, 413)) << said;
  std::string chunk = "40\r\n" + std::string(64, 'a') + "\r\n";
  std::string grown = Ask("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk +
                          chunk + "0\r\n\r\n");
  EXPECT_TRUE(IsStatus(grown, 413)) << grown;
  // A client that is still sending gets the answer too, not a reset.
  RawClient client(server_->port());
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 400000\r\n\r\n" + std::string(200000, 'a'));
  EXPECT_TRUE(IsStatus(client.ReadReply(), 413));
}

TEST_F(HttpServerTest, RefusesAHeaderOverTheLimit) {
  Begin();
  std::string reply = Ask("GET /health HTTP/1.1\r\nX: " + std::string(20000, 'a') + "\r\n\r\n");
  EXPECT_TRUE(IsStatus(reply, 431)) << reply;
  reply =
      Ask("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(200000, 'a'));
  EXPECT_TRUE(IsStatus(reply, 431)) << reply;
  EXPECT_TRUE(IsStatus(Ask(Get("/health")), 200));
}

TEST_F(HttpServerTest, TakesARequestInPieces) {
  Begin();
  RawClient client(server_->port());
  std::string request =
      "POST /echo HTTP/1.1\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
  for (char c : request) client.Send(std::string(1, c));
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nabcde"));
  std::string large(300000, 'x');
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 300000\r\n\r\n");
  client.Send(large);
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\n" + large));
}

TEST_F(HttpServerTest, SurvivesBrokenRequests) {
  Begin({.max_body_bytes = 1000});
  std::string whole =
      "POST /echo?a=%20 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
      "3\r\nabc\r\n0\r\n\r\n";
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    std::string broken = whole;
    for (uint64_t edits = random.Between(1, 4); edits > 0; --edits) {
      size_t at = random.Below(broken.size());
      if (random.Chance(1, 3))
        broken.erase(at, random.Below(20));
      else
        broken.insert(at, 1, static_cast<char>(random.Below(256)));
      broken += broken.empty() ? "x" : "";
    }
    RawClient client(server_->port());
    client.Send(broken);
    client.Finish();
    std::string all = client.ReadAll();
    EXPECT_TRUE(all.empty() || all.starts_with("HTTP/1.1 ")) << broken;
  }
  EXPECT_TRUE(IsStatus(Ask(Get("/health")), 200));
}

TEST_F(HttpServerTest, SaysContinueToAClientThatWaitsForIt) {
  Begin();
  RawClient client(server_->port());
  client.Send("POST /echo HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_TRUE(IsStatus(client.ReadUntil("\r\n\r\n"), 100));
  client.Send("abc");
  EXPECT_TRUE(client.ReadReply().ends_with("\r\n\r\nabc"));
}

TEST_F(HttpServerTest, RefusesConnectionsOverTheLimit) {
  Begin({.max_connections = 1});
  auto first = std::make_unique<RawClient>(server_->port());
  first->Send(Get("/health"));
  EXPECT_TRUE(IsStatus(first->ReadReply(), 200));
  RawClient second(server_->port());
  second.Send(Get("/health"));
  std::string all = second.ReadAll();
  EXPECT_TRUE(IsStatus(all, 503)) << all;
  EXPECT_TRUE(all.ends_with("{\"error\":\"too many connections\"}\n")) << all;
  first.reset();
  // The place is free as soon as the server has seen the hang-up.
  EXPECT_TRUE(Eventually([&] { return IsStatus(Ask(Get("/health")), 200); }));
}

TEST_F(HttpServerTest, DropsAnIdleConnection) {
  Begin({.idle_seconds = 1});
  RawClient idle(server_->port());
  RawClient half(server_->port());
  half.Send("GET /health HT");
  EXPECT_EQ(idle.ReadAll(), "");
  EXPECT_EQ(half.ReadAll(), "");
}

TEST_F(HttpServerTest, HandsHeadersToTheHandler) {
  Begin();
  std::string reply =
      Ask("GET /headers HTTP/1.1\r\nX-Two: a\r\nAUTHORIZATION:  Bearer t \r\nx-two: b\r\n\r\n");
  EXPECT_TRUE(reply.ends_with("\r\n\r\nx-two->a, b;authorization->Bearer t;")) << reply;
}

TEST_F(HttpServerTest, FindsTheLongestPrefixUnlessAPathIsNamed) {
  Begin();
  EXPECT_TRUE(Ask("DELETE /pods/a%2Fb/c HTTP/1.1\r\n\r\n").ends_with("[a/b/c]"));
  EXPECT_TRUE(Ask(Get("/pods/by/x")).ends_with("[x]"));
  EXPECT_TRUE(Ask(Get("/pods/all")).ends_with("[]"));
  EXPECT_TRUE(IsStatus(Ask("DELETE /pods/ HTTP/1.1\r\n\r\n"), 404));
  EXPECT_TRUE(IsStatus(Ask("DELETE /pods HTTP/1.1\r\n\r\n"), 404));
  std::string reply = Ask(Get("/pods/x"));
  EXPECT_TRUE(IsStatus(reply, 405)) << reply;
  EXPECT_NE(reply.find("Allow: DELETE\r\n"), std::string::npos) << reply;
}

TEST_F(HttpServerTest, ServesOthersWhileAnAnswerIsAwaited) {
  Begin();
  RawClient waits(server_->port());
  waits.Send(Later("a") + Get("/health"));
  HttpServer::Answer answer = TakeAnswer("a");
  EXPECT_TRUE(IsStatus(Ask(Get("/health")), 200));
  std::thread other([&] { answer({201, "text/plain", "done"}); });
  EXPECT_TRUE(IsStatus(waits.ReadUntil("done"), 201));
  EXPECT_TRUE(waits.ReadReply().ends_with("{\"ok\":true}"));  // the pipelined one, in order
  other.join();
}

TEST_F(HttpServerTest, AnswersInTheOrderOfTheAnswersNotOfTheRequests) {
  Begin();
  RawClient first(server_->port());
  RawClient second(server_->port());
  first.Send(Later("1"));
  HttpServer::Answer one = TakeAnswer("1");
  second.Send(Later("2"));
  HttpServer::Answer two = TakeAnswer("2");
  two({200, "text/plain", "two"});
  EXPECT_TRUE(second.ReadReply().ends_with("two"));
  one({200, "text/plain", "one"});
  one({200, "text/plain", "again"});  // counts for nothing
  EXPECT_TRUE(first.ReadReply().ends_with("one"));
  first.Send(Get("/health"));
  EXPECT_TRUE(first.ReadReply().ends_with("{\"ok\":true}"));
}

TEST_F(HttpServerTest, TakesAnAnswerAfterTheIdleTime) {
  Begin({.idle_seconds = 1});
  RawClient client(server_->port());
  client.Send(Later("slow"));
  HttpServer::Answer answer = TakeAnswer("slow");
  RawClient idle(server_->port());
  EXPECT_EQ(idle.ReadAll(), "");  // dropped: the idle time is over
  answer({200, "text/plain", "slowly"});
  EXPECT_TRUE(client.ReadReply().ends_with("slowly"));
}

TEST_F(HttpServerTest, AnswersForAHandlerThatForgetsOrThrows) {
  Begin();
  EXPECT_TRUE(IsStatus(Ask(Later("drop")), 500));
  testing::internal::CaptureStderr();
  std::string reply = Ask(Later("throw"));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("secret"), std::string::npos);
  EXPECT_TRUE(IsStatus(reply, 500)) << reply;
  EXPECT_EQ(reply.find("secret"), std::string::npos);
}

TEST_F(HttpServerTest, TakesAnswersForClientsThatAreGoneAndAfterItsEnd) {
  Begin();
  auto gone = std::make_unique<RawClient>(server_->port());
  gone->Send(Later("gone"));
  HttpServer::Answer answer = TakeAnswer("gone");
  gone.reset();
  answer({200, "text/plain", std::string(1 << 20, 'x')});
  EXPECT_TRUE(IsStatus(Ask(Get("/health")), 200));
  RawClient client(server_->port());
  client.Send(Later("late"));
  answer = TakeAnswer("late");
  server_.reset();
  EXPECT_EQ(client.ReadAll(), "");
  answer({200, "text/plain", "too late"});
}

TEST_F(HttpServerTest, HidesWhyAHandlerFailed) {
  Begin();
  testing::internal::CaptureStderr();
  std::string reply = Ask(Get("/throws"));
  EXPECT_NE(testing::internal::GetCapturedStderr().find("secret"), std::string::npos);
  EXPECT_TRUE(IsStatus(reply, 500)) << reply;
  EXPECT_TRUE(reply.ends_with("{\"error\":\"internal error\"}\n")) << reply;
  EXPECT_TRUE(IsStatus(Ask(Get("/health")), 200));
}

TEST_F(HttpServerTest, StopsWithinASecondWithOpenConnections) {
  Begin();
  RawClient idle(server_->port());
  RawClient half(server_->port());
  half.Send("POST /echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
  RawClient used(server_->port());
  used.Send(Get("/health"));
  EXPECT_TRUE(IsStatus(used.ReadReply(), 200));
  Time start = MonotonicNow();
  server_.reset();
  EXPECT_LT(MonotonicNow() - start, seconds(1));
  EXPECT_EQ(used.ReadAll(), "");
}

TEST(HttpListen, SaysWhyItCannot) {
  for (const char* address : {"", "127.0.0.1", "127.0.0.1:99999", "no.such.host:1", "1.2.3:4"}) {
    auto server = HttpServer::Listen(address, {});
    ASSERT_FALSE(server) << address;
    EXPECT_EQ(server.error().code, Errc::kInvalid) << address;
  }
  auto first = HttpServer::Listen("localhost:0", {});
  ASSERT_TRUE(first);
  auto second = HttpServer::Listen("127.0.0.1:" + std::to_string((*first)->port()), {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::kIo);
  EXPECT_EQ(second.error().os, EADDRINUSE);
  auto foreign = HttpServer::Listen("192.0.2.1:0", {});
  ASSERT_FALSE(foreign);
  EXPECT_EQ(foreign.error().os, EADDRNOTAVAIL);
}

TEST(HttpListen, StopsWithoutHavingStarted) {
  auto server = HttpServer::Listen("127.0.0.1:0", {});
  ASSERT_TRUE(server);
  EXPECT_NE((*server)->port(), 0);
  server->reset();
}

}  // namespace
}  // namespace headrace::net
