#include "client/client.h"

#include <unistd.h>

#include <algorithm>

#include "client/endpoint.h"
#include "client/socket_client.h"

namespace headrace::client {
namespace {

// Keeps a forked child off its parent's connection: two processes in one stream would read each
// other's replies, and locks may be held by threads that the child does not have.
class ForkGuard final : public Client {
 public:
  explicit ForkGuard(std::unique_ptr<SocketClient> client)
      : client_(std::move(client)), owner_(::getpid()) {}
  // A child leaks the copy: its lock may be held for ever.
  ~ForkGuard() override {
    if (!Forked()) return;
    const SocketClient* const leaked = client_.release();
    static_cast<void>(leaked);
  }

  Status Register(const Registration& registration, Duration wait) override {
    if (Forked()) return Refuse();
    return client_->Register(registration, wait);
  }
  std::string last_refusal() override { return Forked() ? "" : client_->last_refusal(); }
  bool ready() override { return !Forked() && client_->ready(); }
  void Query(std::span<const QuerySpec> items, std::span<QueryResult> results) override {
    if (!Forked()) return client_->Query(items, results);
    std::ranges::fill(results, QueryResult{.code = Errc::kUnavailable});
  }
  void Release(std::span<const uint64_t> leases) override {
    if (!Forked()) client_->Release(leases);
  }
  void DropPrefixes(std::span<const uint64_t> prefixes) override {
    if (!Forked()) client_->DropPrefixes(prefixes);
  }
  Result<Submission> SubmitSave(std::span<const wire::SaveChain> chains) override {
    if (Forked()) return Refuse();
    return client_->SubmitSave(chains);
  }
  Result<Submission> SubmitLoad(uint64_t lease, uint32_t first, uint32_t count,
                                const std::vector<std::vector<uint32_t>>& blocks) override {
    if (Forked()) return Refuse();
    return client_->SubmitLoad(lease, first, count, blocks);
  }
  size_t Poll(std::vector<Completion>* out) override { return Forked() ? 0 : client_->Poll(out); }
  size_t Wait(Duration wait, std::vector<Completion>* out, size_t most) override {
    return Forked() ? 0 : client_->Wait(wait, out, most);
  }
  void Revoke(Submission submission) override {
    if (!Forked()) client_->Revoke(submission);
  }
  Result<uint64_t> Clear(Duration wait) override {
    if (Forked()) return Refuse();
    return client_->Clear(wait);
  }
  Result<bool> Purge(const wire::BlockHash& hash, Duration wait) override {
    if (Forked()) return Refuse();
    return client_->Purge(hash, wait);
  }
  Result<std::string> ServerStatus(Duration wait) override {
    if (Forked()) return Refuse();
    return client_->ServerStatus(wait);
  }
  void Close(Duration wait) override {
    if (!Forked()) client_->Close(wait);
  }
  ClientStats stats() override { return Forked() ? ClientStats() : client_->stats(); }

 private:
  // True in a child. Its copy of the socket is closed, so that the server sees the parent's end.
  bool Forked() {
    if (::getpid() == owner_) [[likely]]
      return false;
    const int socket = client_->socket_number().exchange(-1);
    if (socket >= 0) ::close(socket);
    return true;
  }
  static tl::unexpected<Error> Refuse() {
    return Fail(Errc::kUnavailable, "a forked child must make its own client");
  }

  std::unique_ptr<SocketClient> client_;
  const pid_t owner_;
};

// What the server would refuse at each registration.
bool IsName(std::string_view text) {
  const auto is_control = [](char c) { return static_cast<uint8_t>(c) < 0x20 || c == 0x7f; };
  return text.size() <= wire::kMaxNameBytes && std::none_of(text.begin(), text.end(), is_control);
}

Status CheckPods(const ClientOptions& options) {
  if (options.pods.size() > wire::kMaxServedPods) return Fail(Errc::kLimit, "pods: more than 64");
  for (const std::string& pod : options.pods) {
    if (pod.empty() || pod.find('@') != std::string::npos || !IsName(pod)) {
      return Fail(Errc::kInvalid, "pods: each has 1 to 256 bytes, no @ and no control characters");
    }
  }
  if (!IsName(options.pods_model)) {
    return Fail(Errc::kInvalid, "pods_model: at most 256 bytes, no control characters");
  }
  return {};
}

Status CheckOptions(const ClientOptions& options) {
  if (options.call_timeout <= Duration::zero() || options.transfer_timeout <= Duration::zero()) {
    return Fail(Errc::kInvalid, "call_timeout and transfer_timeout must be above 0");
  }
  if (options.breaker_open <= Duration::zero() || options.breaker_open_max < options.breaker_open) {
    return Fail(Errc::kInvalid, "breaker_open must be above 0 and at most breaker_open_max");
  }
  if (options.gates == 0 || options.gates > Transfers::kMaxSlots) {
    return Fail(Errc::kInvalid, "gates must be 1 to 65534");
  }
  const size_t longest =
      std::max({options.instance.size(), options.tenant.size(), options.program.size()});
  if (longest > wire::kMaxNameBytes) {
    return Fail(Errc::kInvalid, "instance, tenant and program: at most 256 bytes");
  }
  HR_RETURN_IF_ERROR(CheckPods(options));
  return {};
}

}  // namespace

Result<std::unique_ptr<Client>> Client::Create(ClientOptions options) {
  HR_RETURN_IF_ERROR(CheckOptions(options));
  HR_TRY(std::string path, SocketPath(options.endpoint));
  auto client = std::make_unique<SocketClient>(std::move(options), std::move(path));
  return std::make_unique<ForkGuard>(std::move(client));
}

}  // namespace headrace::client
