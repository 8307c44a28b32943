// A stream of bytes to a server: TCP or a Unix socket, with TLS on top where it is asked for.
// Loop-bound. Never blocks: a host name is looked up by a thread of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/result.h"
#include "net/tls.h"

namespace headrace::net {

struct StreamTarget {
  std::string host;  // empty: `path`
  uint16_t port = 0;
  std::string path;
};

class ClientStream {
 public:
  // Called from the loop, never out of Connect or Send. After `closed` nothing comes any more.
  // None may destroy the stream, but Stop it and leave it to a later turn.
  struct Handler {
    std::function<void()> opened;
    std::function<void(std::string_view)> received;
    std::function<void(Error)> closed;
  };

  // `tls` may be null and outlives the stream. Failures come to `closed`.
  static std::unique_ptr<ClientStream> Connect(Loop* loop, const StreamTarget& target,
                                               TlsContext* tls, Handler handler);
  virtual ~ClientStream() = default;

  // Goes out when the loop comes round: what is sent in one turn leaves in one piece.
  virtual void Send(std::string_view bytes) = 0;  // REQUIRES: opened
  // Closes; the handler is not called any more.
  virtual void Stop() = 0;
};

}  // namespace headrace::net
