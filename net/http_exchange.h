// One request whose answer its handler gives when it has it, whole or in pieces, on the server's
// thread. May outlive its connection and its server: calls then do nothing.
#pragma once

#include <functional>
#include <string>

#include "net/http_message.h"

namespace headrace::net {

class HttpExchange {
 public:
  virtual ~HttpExchange() = default;

  // Until Reply or End.
  virtual HttpRequest& request() = 0;

  // The whole answer. Once, and not after Begin.
  virtual void Reply(const HttpReply& reply) = 0;

  // An answer in pieces: Begin with its head, then any number of Flush, then End. What is appended
  // to body() goes out with the next Flush or End, the head with the first; while a client does not
  // read, it waits in body().
  virtual void Begin(const HttpReply& head) = 0;
  virtual std::string* body() = 0;
  virtual void Flush() = 0;
  virtual void End() = 0;

  // Calls `gone` once when the client hangs up, or the server ends, before the answer was given.
  // Not from within a call on this object.
  virtual void OnGone(std::function<void()> gone) = 0;
  // Bytes that the client has not taken yet.
  virtual size_t unsent_bytes() const = 0;
};

}  // namespace headrace::net
