#include "server/index_rpc.h"

#include <fmt/format.h>
#include <grpc/support/log.h>
#include <grpcpp/grpcpp.h>
#include <indexer.grpc.pb.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <limits>
#include <memory>
#include <utility>

#include "base/log.h"

namespace headrace::server {
namespace {

namespace pb = ::indexer::v1;
using indexer::ApiError;
using indexer::Grant;
using indexer::ScoreAnswer;
using indexer::ScoreCall;

constexpr int kMaxStreams = 1024;                        // requests of one connection at a time
constexpr auto kDrain = std::chrono::milliseconds(500);  // for answers that are on their way

grpc::Status StatusOf(const ApiError& error) {
  grpc::StatusCode code = grpc::StatusCode::INVALID_ARGUMENT;
  if (error.status == 307) code = grpc::StatusCode::FAILED_PRECONDITION;
  if (error.status == 403) code = grpc::StatusCode::PERMISSION_DENIED;
  if (error.status == 503) code = grpc::StatusCode::UNAVAILABLE;
  return {code, error.field.empty() ? error.message : error.field + ": " + error.message};
}

// One request. gRPC owns it until OnDone; whoever answers first, a worker or a client that went
// away, does so alone.
class Call final : public grpc::ServerUnaryReactor {
 public:
  explicit Call(pb::GetPodScoresResponse* response) : response_(response) {}

  // Shared by the copies of an answer's function: when the last goes without an answer there will
  // be none. Keeps the call's memory, not its place at gRPC.
  class Ticket {
   public:
    explicit Ticket(Call* call) : call_(call) {}
    ~Ticket() {
      Use([](pb::GetPodScoresResponse*) {
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server stops");
      });
      call_->Release();
    }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    // Any thread.
    template <typename Fill>
    void Use(Fill fill) {
      if (!call_->answered_.exchange(true)) call_->Finish(fill(call_->response_));
    }

   private:
    Call* const call_;
  };

 private:
  void OnCancel() override {
    if (!answered_.exchange(true)) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { Release(); }
  // gRPC and the ticket each hold it once.
  void Release() {
    if (holds_.fetch_sub(1) == 1) delete this;
  }

  pb::GetPodScoresResponse* const response_;  // only by who answers
  std::atomic<bool> answered_ = false;        // any thread
  std::atomic<int> holds_ = 2;                // any thread
};

grpc::Status Fill(const ApiError* error, const ScoreAnswer& answer,
                  pb::GetPodScoresResponse* response) {
  if (error != nullptr) return StatusOf(*error);
  for (const indexer::NamedScore& score : answer.pods) {
    pb::PodScore* row = response->add_scores();
    row->set_pod(score.pod);
    row->set_score(score.score);
    row->set_normalized(score.normalized);
    row->set_blocks(score.blocks);
    row->set_uncertain(score.uncertain);
  }
  return grpc::Status::OK;
}

bool Refuse(std::string field, std::string message, ApiError* error) {
  *error = {400, std::move(field), std::move(message)};
  return false;
}

// What both requests have. False when something is wrong with it.
template <typename Request>
bool ReadCommon(const Request& request, const indexer::ApiLimits& limits, ScoreCall* call,
                ApiError* error) {
  if (request.model_name().empty()) return Refuse("model_name", "must not be empty", error);
  const auto pods = static_cast<uint64_t>(request.pod_identifiers_size());
  if (pods > limits.max_pods) {
    return Refuse(
        "pod_identifiers",
        fmt::format("has {} names; at most {} may be (--index-max-pods)", pods, limits.max_pods),
        error);
  }
  call->model = request.model_name();
  call->pods = {request.pod_identifiers().begin(), request.pod_identifiers().end()};
  call->filter = !call->pods.empty();
  call->extras.salt = request.cache_salt();
  if (!request.lora_name().empty()) {
    call->extras.lora = wire::PromptExtras::Lora{.name = request.lora_name(), .path = ""};
  }
  return true;
}

bool ReadRequest(const pb::GetPodScoresRequest& request, const indexer::ApiLimits& limits,
                 ScoreCall* call, ApiError* error) {
  if (!ReadCommon(request, limits, call, error)) return false;
  if (request.prompt().empty()) return Refuse("prompt", "must not be empty", error);
  call->input = ScoreCall::Input::kPrompt;
  call->prompt = request.prompt();
  return true;
}

bool ReadRequest(const pb::ScoreTokensRequest& request, const indexer::ApiLimits& limits,
                 ScoreCall* call, ApiError* error) {
  if (!ReadCommon(request, limits, call, error)) return false;
  const auto tokens = static_cast<uint64_t>(request.token_ids_size());
  if (tokens > limits.max_tokens) {
    return Refuse("token_ids",
                  fmt::format("has {} tokens; at most {} may be (--index-max-tokens)", tokens,
                              limits.max_tokens),
                  error);
  }
  call->input = ScoreCall::Input::kTokens;
  call->tokens = {request.token_ids().begin(), request.token_ids().end()};
  return true;
}

class Service final : public pb::IndexerService::CallbackService {
 public:
  Service(indexer::IndexService* service, std::optional<indexer::AccessTokens> tokens)
      : service_(service), tokens_(std::move(tokens)) {}

  grpc::ServerUnaryReactor* GetPodScores(grpc::CallbackServerContext* context,
                                         const pb::GetPodScoresRequest* request,
                                         pb::GetPodScoresResponse* response) override {
    return Score(context, *request, response);
  }
  grpc::ServerUnaryReactor* ScoreTokens(grpc::CallbackServerContext* context,
                                        const pb::ScoreTokensRequest* request,
                                        pb::GetPodScoresResponse* response) override {
    return Score(context, *request, response);
  }

 private:
  std::optional<Grant> GrantOf(const grpc::CallbackServerContext& context) const {
    if (!tokens_) return Grant{.everything = true, .salt = ""};
    const auto header = context.client_metadata().find("authorization");
    if (header == context.client_metadata().end()) return std::nullopt;
    return tokens_->Check({header->second.data(), header->second.size()});
  }

  template <typename Request>
  grpc::ServerUnaryReactor* Score(grpc::CallbackServerContext* context, const Request& request,
                                  pb::GetPodScoresResponse* response) const {
    auto* const call = new Call(response);  // deletes itself
    const auto ticket = std::make_shared<Call::Ticket>(call);
    const auto grant = GrantOf(*context);
    if (!grant) {
      ticket->Use([](pb::GetPodScoresResponse*) {
        return grpc::Status(grpc::StatusCode::UNAUTHENTICATED,
                            "authorization: a token of --index-token-file is needed: Bearer TOKEN");
      });
      return call;
    }
    // The request goes with the call, which a client may end: what is asked is copied here.
    auto asked = std::make_shared<ScoreCall>();
    ApiError error;
    if (!ReadRequest(request, service_->limits(), asked.get(), &error)) {
      ticket->Use([&](pb::GetPodScoresResponse*) { return StatusOf(error); });
      return call;
    }
    service_->ScoreBy(
        *grant, "cache_salt",
        [asked](ScoreCall* out, ApiError*) {
          *out = std::move(*asked);
          return true;
        },
        [ticket](const ApiError* failed, const ScoreAnswer& answer) {
          ticket->Use([&](pb::GetPodScoresResponse* to) { return Fill(failed, answer, to); });
        });
    return call;
  }

  indexer::IndexService* const service_;
  const std::optional<indexer::AccessTokens> tokens_;
};

void LogLine(gpr_log_func_args* line) {
  if (line->severity == GPR_LOG_SEVERITY_ERROR) HR_WARN("gRPC: {}", line->message);
}

class GrpcServer final : public IndexRpc {
 public:
  explicit GrpcServer(Options options, indexer::IndexService* service)
      : address_(std::move(options.address)),
        max_message_bytes_(
            std::min<uint64_t>(options.max_message_bytes, std::numeric_limits<int>::max())),
        service_(service, std::move(options.tokens)) {}
  ~GrpcServer() override {
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now() + kDrain);
  }

  bool Start() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port_);
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second server is to be refused
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, kMaxStreams);
    builder.SetMaxReceiveMessageSize(static_cast<int>(max_message_bytes_));
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    return server_ != nullptr && port_ != 0;
  }
  uint16_t port() const override { return static_cast<uint16_t>(port_); }

 private:
  const std::string address_;
  const uint64_t max_message_bytes_;
  Service service_;
  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
};

}  // namespace

Result<std::unique_ptr<IndexRpc>> IndexRpc::Listen(Options options, indexer::IndexService* service,
                                                   std::string* message) {
  HR_CHECK(service != nullptr);
  gpr_set_log_function(LogLine);
  const std::string address = options.address;
  auto server = std::make_unique<GrpcServer>(std::move(options), service);
  // Signals are for the main thread: gRPC's start with all of them blocked.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const bool started = server->Start();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (!started) {
    *message = fmt::format("--grpc-addr: {} cannot be bound; is it in use? Name another", address);
    return Fail(Errc::kIo, "cannot listen for gRPC");
  }
  return std::unique_ptr<IndexRpc>(std::move(server));
}

}  // namespace headrace::server
