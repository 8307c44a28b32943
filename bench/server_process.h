// A headrace-server of a bench's own: started on its own socket and free ports, ended with the
// object. One thread.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "client/client.h"
#include "transport/memory.h"

namespace headrace::bench {

class ServerProcess {
 public:
  // Waits until it serves and its whole pool is backed. Aborts with a message when it does not.
  ServerProcess(const std::string& program, uint64_t pool_bytes, std::vector<std::string> more);
  ~ServerProcess();

  std::unique_ptr<client::Client> Connect(const std::string& instance) const;
  pid_t pid() const { return pid_; }
  // The server's own pool memory, its regions in order. For references: what is written there must
  // be what is there.
  std::vector<transport::Mapping> MapPool() const;

 private:
  std::string directory_;
  std::string endpoint_;
  pid_t pid_ = -1;
};

}  // namespace headrace::bench
