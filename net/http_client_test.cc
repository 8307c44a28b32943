#include "net/http_client.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/fd.h"

namespace headrace::net {
namespace {

TEST(HttpClient, GetsAnAnswer) {
  auto server = HttpServer::Listen("127.0.0.1:0", {});
  ASSERT_TRUE(server);
  (*server)->Handle("GET", "/hello", [](const HttpRequest& request) {
    return HttpReply{200, "text/plain", "hello " + request.query.at("who")};
  });
  (*server)->Start();
  const std::string address = "127.0.0.1:" + std::to_string((*server)->port());
  const auto reply = HttpGet(address, "/hello?who=you", {});
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->content_type, "text/plain");
  EXPECT_EQ(reply->body, "hello you");
  EXPECT_EQ(HttpGet(address, "/other", {})->status, 404);
  EXPECT_EQ(HttpGet(address, "/hello?who=you", {.max_body_bytes = 3}).error().code, Errc::kIo);
}

TEST(HttpClient, SendsABodyAndAToken) {
  auto server = HttpServer::Listen("127.0.0.1:0", {});
  ASSERT_TRUE(server);
  (*server)->Handle("PUT", "/echo", [](const HttpRequest& request) {
    return HttpReply{200, std::string(request.headers.Find("content-type")),
                     std::string(request.headers.Find("authorization")) + "|" + request.body};
  });
  (*server)->Start();
  const std::string address = "127.0.0.1:" + std::to_string((*server)->port());
  const auto reply = HttpAsk(address, {"PUT", "/echo", "{\"a\":1}", "secret"}, {});
  ASSERT_TRUE(reply) << reply.error().what;
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->content_type, "application/json");
  EXPECT_EQ(reply->body, "Bearer secret|{\"a\":1}");
}

TEST(HttpClient, RefusesWhatNoHeaderCanCarry) {
  const std::string address = "127.0.0.1:1";
  EXPECT_EQ(HttpAsk(address, {"GET", "/", "", "a\r\nb"}, {}).error().code, Errc::kInvalid);
  EXPECT_EQ(HttpAsk(address, {"GE T", "/", "", ""}, {}).error().code, Errc::kInvalid);
  EXPECT_EQ(HttpAsk(address, {"", "/", "", ""}, {}).error().code, Errc::kInvalid);
}

TEST(HttpClient, RefusesWhatIsNoAddressOrTarget) {
  EXPECT_EQ(HttpGet("nowhere", "/", {}).error().code, Errc::kInvalid);
  EXPECT_EQ(HttpGet("127.0.0.1:1", "no", {}).error().code, Errc::kInvalid);
  EXPECT_EQ(HttpGet("127.0.0.1:1", "/a b", {}).error().code, Errc::kInvalid);
}

TEST(HttpClient, FailsWhenNobodyListensOrAnswers) {
  const Fd socket(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_TRUE(socket.valid());
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string name = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  EXPECT_EQ(HttpGet(name, "/", {}).error().code, Errc::kIo);
  ASSERT_EQ(::listen(socket.get(), 1), 0);
  EXPECT_EQ(HttpGet(name, "/", {.timeout = milliseconds(50)}).error().code, Errc::kTimeout);
}

}  // namespace
}  // namespace headrace::net
