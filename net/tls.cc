#include "net/tls.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <limits>

namespace headrace::net {
namespace {

constexpr size_t kReadBytes = 16 * size_t{1024};

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};

// The oldest error of this thread, as text; the others go.
std::string OpenSslTrouble() {
  std::array<char, 256> text{};
  const auto code = ERR_get_error();
  if (code == 0) return "unknown";
  ERR_error_string_n(code, text.data(), text.size());
  ERR_clear_error();
  return text.data();
}

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes;
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

class OpenSslSession final : public TlsSession {
 public:
  // `trouble` outlives the session.
  OpenSslSession(std::unique_ptr<SSL, FreeSsl> ssl, std::string* trouble)
      : ssl_(std::move(ssl)), trouble_(trouble) {}

  bool open() const override { return open_; }

  Status Receive(std::string_view bytes, std::string* plain, std::string* wire) override {
    while (!bytes.empty()) {
      const int most = static_cast<int>(std::min<size_t>(bytes.size(), 1u << 30));
      const int taken = BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), most);
      if (taken <= 0) return Fail(Errc::kInternal, "OpenSSL takes no bytes");
      bytes.remove_prefix(static_cast<size_t>(taken));
    }
    Status status = open_ ? Status() : Handshake();
    if (status && open_) status = ReadPlain(plain);
    Drain(wire);  // also what tells the peer why
    return status;
  }

  Status Send(std::string_view plain, std::string* wire) override {
    HR_CHECK(open_);
    while (!plain.empty()) {
      size_t written = 0;
      // A memory buffer takes everything.
      if (SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &written) != 1) {
        *trouble_ = OpenSslTrouble();
        return Fail(Errc::kIo, "TLS cannot write");
      }
      plain.remove_prefix(written);
      Drain(wire);
    }
    return {};
  }

 private:
  Status Handshake() {
    const int done = SSL_do_handshake(ssl_.get());
    if (done == 1) {
      open_ = true;
      return {};
    }
    if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return {};
    const long verdict = SSL_get_verify_result(ssl_.get());  // NOLINT(google-runtime-int)
    *trouble_ = verdict != X509_V_OK ? X509_verify_cert_error_string(verdict) : OpenSslTrouble();
    ERR_clear_error();
    return Fail(Errc::kPermission, "the TLS handshake failed");
  }

  Status ReadPlain(std::string* plain) {
    while (true) {
      const size_t old = plain->size();
      plain->resize(old + kReadBytes);
      size_t got = 0;
      const int done = SSL_read_ex(ssl_.get(), plain->data() + old, kReadBytes, &got);
      plain->resize(old + got);
      if (done == 1) continue;
      const int error = SSL_get_error(ssl_.get(), done);
      if (error == SSL_ERROR_WANT_READ) return {};
      if (error == SSL_ERROR_ZERO_RETURN) return Fail(Errc::kGone, "the peer ended the session");
      *trouble_ = OpenSslTrouble();
      return Fail(Errc::kIo, "TLS cannot read");
    }
  }

  void Drain(std::string* wire) {
    BIO* out = SSL_get_wbio(ssl_.get());
    const size_t pending = BIO_ctrl_pending(out);
    if (pending == 0) return;
    HR_CHECK(pending <= static_cast<size_t>(std::numeric_limits<int>::max()));
    const size_t old = wire->size();
    wire->resize(old + pending);
    const int got = BIO_read(out, wire->data() + old, static_cast<int>(pending));
    HR_CHECK(got == static_cast<int>(pending));
  }

  const std::unique_ptr<SSL, FreeSsl> ssl_;
  std::string* const trouble_;
  bool open_ = false;
};

class OpenSslContext final : public TlsContext {
 public:
  OpenSslContext(std::unique_ptr<SSL_CTX, FreeSsl> context, const TlsOptions& options)
      : context_(std::move(context)), options_(options) {}

  const std::string& trouble() const override { return trouble_; }

  Result<std::unique_ptr<TlsSession>> Connect(const std::string& host) override {
    trouble_.clear();
    std::unique_ptr<SSL, FreeSsl> ssl(SSL_new(context_.get()));
    if (ssl == nullptr) return Fail(Errc::kInternal, "OpenSSL makes no session");
    BIO* in = BIO_new(BIO_s_mem());
    BIO* out = BIO_new(BIO_s_mem());
    HR_CHECK(in != nullptr && out != nullptr);
    SSL_set_bio(ssl.get(), in, out);
    SSL_set_connect_state(ssl.get());
    const std::string& name = options_.server_name.empty() ? host : options_.server_name;
    if (!Expect(ssl.get(), name)) {
      trouble_ = OpenSslTrouble();
      return Fail(Errc::kInvalid, "TLS cannot expect this server name");
    }
    return std::unique_ptr<TlsSession>(std::make_unique<OpenSslSession>(std::move(ssl), &trouble_));
  }

 private:
  // Whom the certificate must name. A Unix socket has no host: then a chain to the CA is enough.
  static bool Expect(SSL* ssl, const std::string& name) {
    if (name.empty()) return true;
    if (IsAddress(name)) {
      return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str()) == 1;
    }
    return SSL_set1_host(ssl, name.c_str()) == 1 &&
           SSL_set_tlsext_host_name(ssl, name.c_str()) == 1;
  }

  const std::unique_ptr<SSL_CTX, FreeSsl> context_;
  const TlsOptions options_;
  std::string trouble_;
};

Status Load(SSL_CTX* context, const TlsOptions& options, std::string* message) {
  const bool own_ca = !options.ca_file.empty();
  if (own_ca ? SSL_CTX_load_verify_file(context, options.ca_file.c_str()) != 1
             : SSL_CTX_set_default_verify_paths(context) != 1) {
    *message = fmt::format("cannot read CA certificates from {}: {}",
                           own_ca ? options.ca_file : "the system", OpenSslTrouble());
    return Fail(Errc::kInvalid, "cannot read CA certificates");
  }
  if (options.cert_file.empty() != options.key_file.empty()) {
    *message = "a client certificate needs its key, and a key its certificate";
    return Fail(Errc::kInvalid, "a client certificate needs its key");
  }
  if (options.cert_file.empty()) return {};
  if (SSL_CTX_use_certificate_chain_file(context, options.cert_file.c_str()) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(context) != 1) {
    *message = fmt::format("cannot use the certificate {} with the key {}: {}", options.cert_file,
                           options.key_file, OpenSslTrouble());
    return Fail(Errc::kInvalid, "cannot use the client certificate");
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<TlsContext>> TlsContext::Create(const TlsOptions& options,
                                                       std::string* message) {
  std::unique_ptr<SSL_CTX, FreeSsl> context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Fail(Errc::kInternal, "OpenSSL makes no context");
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  HR_RETURN_IF_ERROR(Load(context.get(), options, message));
  return std::unique_ptr<TlsContext>(std::make_unique<OpenSslContext>(std::move(context), options));
}

}  // namespace headrace::net
