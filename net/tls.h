// TLS of a client, over OpenSSL and apart from any socket: bytes of the wire go in and come out.
// Only tls.cc includes OpenSSL. A context serves many sessions; all belong to one thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::net {

struct TlsOptions {
  std::string ca_file;              // PEM; empty: the system's
  std::string cert_file, key_file;  // PEM, of this client; empty: none
  std::string server_name;          // that the certificate must name; empty: the host dialled
  bool verify = true;
};

class TlsSession {
 public:
  virtual ~TlsSession() = default;

  // Bytes from the wire; appends what they carry to `*plain`, and to `*wire` what must go out.
  // kGone when the peer ended the session.
  virtual Status Receive(std::string_view bytes, std::string* plain, std::string* wire) = 0;
  // Appends the wire form of `plain`. REQUIRES: open().
  virtual Status Send(std::string_view plain, std::string* wire) = 0;
  // The handshake is done and the peer is who it should be.
  virtual bool open() const = 0;
};

class TlsContext {
 public:
  // On failure `*message` says which file is wrong and why.
  static Result<std::unique_ptr<TlsContext>> Create(const TlsOptions& options,
                                                    std::string* message);
  virtual ~TlsContext() = default;

  // A session with `host`; the first bytes for the wire come from Receive("").
  virtual Result<std::unique_ptr<TlsSession>> Connect(const std::string& host) = 0;
  // Why the last session failed, for people.
  virtual const std::string& trouble() const = 0;
};

}  // namespace headrace::net
