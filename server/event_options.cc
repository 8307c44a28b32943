#include "server/event_options.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstring>
#include <iterator>

#include "base/file.h"
#include "net/zmq_endpoint.h"

namespace headrace::server {
namespace {

constexpr size_t kMaxKeyFile = 1u << 20;  // bytes

tl::unexpected<Error> Refuse(std::string* message, std::string text) {
  *message = std::move(text);
  return Fail(Errc::kInvalid, "an option is wrong");
}

// What leaves this host tells who asked what: only to those who hold a key.
Status CheckAccess(const EventOptions& options, const char* name, const std::string& value,
                   std::string* message) {
  const auto endpoint = net::ParseZmqEndpoint(value);
  if (!endpoint) {
    return Refuse(message, fmt::format("{}: \"{}\": {}; write for example tcp://127.0.0.1:5557",
                                       name, value, endpoint.error().what));
  }
  if (endpoint->is_local()) return {};
  const char* missing = nullptr;
  if (options.curve_clients_file.empty()) missing = "--events-curve-clients-file";
  if (options.curve_secret_file.empty()) missing = "--events-curve-secret-file";
  if (missing == nullptr) return {};
  return Refuse(message, fmt::format("{}: {} can be reached from other hosts; name the keys with "
                                     "{}, or write for example tcp://127.0.0.1:{}",
                                     name, value, missing, endpoint->port));
}

Result<std::vector<std::string>> ReadKeys(const char* name, const std::string& path,
                                          std::string* message) {
  const auto text = ReadFile(path, kMaxKeyFile);
  if (!text) {
    *message =
        text.error().code == Errc::kLimit
            ? fmt::format("{}: {} is longer than 1 MiB", name, path)
            : fmt::format("{}: {} cannot be read ({})", name, path, std::strerror(text.error().os));
    return Fail(text.error());
  }
  auto keys = ParseKeyList(*text);
  if (!keys) return Refuse(message, fmt::format("{}: {}: {}", name, path, keys.error().what));
  if (keys->empty()) return Refuse(message, fmt::format("{}: {} holds no key", name, path));
  return keys;
}

// Others who can read the secret can pose as this server.
Status CheckSecretMode(const char* name, const std::string& path, std::string* message) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0 || (status.st_mode & 077) == 0) return {};
  return Refuse(message, fmt::format("{}: others may read {}; chmod 600 it", name, path));
}

}  // namespace

void BindEventOptions(EventOptions* options, OptionTable* table) {
  table->Group("Events");
  table->Text("events-endpoint", &options->endpoint, "ENDPOINT",
              "publish there what is stored and removed (tcp://*:5557); empty: do not");
  table->Text("events-replay-endpoint", &options->replay_endpoint, "ENDPOINT",
              "answer there requests for replay and snapshots; empty: none");
  table->Text("events-topic-node", &options->topic_node, "NAME",
              "of topics kv@NAME@MODEL; empty: host:port of --addr");
  table->Choice("events-form", &options->form, {"map", "array"},
                "of an event; old readers need array");
  table->Choice("events-hashes", &options->hashes, {"int", "bytes"},
                "the low 64 bits of a hash, or all of it");
  table->Flag("events-token-ids", &options->token_ids, "publish the token ids of blocks too");
  table->Flag("events-dial", &options->dial, "connect to a subscriber that binds events-endpoint");
  table->Text("events-curve-secret-file", &options->curve_secret_file, "PATH",
              "the server's CURVE secret key; must be there off loopback");
  table->Text("events-curve-clients-file", &options->curve_clients_file, "PATH",
              "public keys of those who may listen, one a line; must be there off loopback");
}

Status CheckEventOptions(const EventOptions& options, std::string* message) {
  if (!options.on()) {
    if (options.replay_endpoint.empty()) return {};
    return Refuse(message, "--events-replay-endpoint: needs --events-endpoint too");
  }
  HR_RETURN_IF_ERROR(CheckAccess(options, "--events-endpoint", options.endpoint, message));
  if (!options.replay_endpoint.empty()) {
    HR_RETURN_IF_ERROR(
        CheckAccess(options, "--events-replay-endpoint", options.replay_endpoint, message));
  }
  if (options.dial && net::ParseZmqEndpoint(options.endpoint)->must_bind()) {
    return Refuse(message, fmt::format("--events-dial: {} names nobody to dial; write for example "
                                       "tcp://127.0.0.1:5557",
                                       options.endpoint));
  }
  if (!options.curve_clients_file.empty() && options.curve_secret_file.empty()) {
    return Refuse(message, "--events-curve-clients-file: needs --events-curve-secret-file too");
  }
  if (options.topic_node.find_first_of("@ \t\n") != std::string::npos) {
    return Refuse(message,
                  "--events-topic-node: must have no @ and no blanks; write for example "
                  "10.0.0.1:50055");
  }
  return {};
}

Result<net::CurveKeys> ReadCurveSecret(const char* option, const std::string& path,
                                       std::string* message) {
  HR_TRY(auto secrets, ReadKeys(option, path, message));
  if (secrets.size() != 1) {
    return Refuse(message, fmt::format("{}: {} holds more than one key", option, path));
  }
  HR_RETURN_IF_ERROR(CheckSecretMode(option, path, message));
  auto public_key = net::CurvePublicKey(secrets[0]);
  if (!public_key) {
    return Refuse(message, fmt::format("{}: {}: {}", option, path, public_key.error().what));
  }
  return net::CurveKeys{*public_key, secrets[0]};
}

Result<EventKeys> ReadEventKeys(const EventOptions& options, std::string* message) {
  EventKeys keys;
  if (options.curve_secret_file.empty()) return keys;
  HR_TRY(auto own,
         ReadCurveSecret("--events-curve-secret-file", options.curve_secret_file, message));
  keys.curve = net::ZmqCurve{std::move(own), ""};
  if (options.curve_clients_file.empty()) return keys;
  HR_TRY(keys.clients,
         ReadKeys("--events-curve-clients-file", options.curve_clients_file, message));
  return keys;
}

std::string DefaultTopicNode(const std::string& addr, const std::string& machine) {
  const size_t colon = addr.rfind(':');
  const std::string host = addr.substr(0, colon);
  const std::string port = colon == std::string::npos ? "" : addr.substr(colon);
  const auto local = net::ParseZmqEndpoint("tcp://" + addr);
  const bool means_all = host == "0.0.0.0" || host == "[::]" || host == "*";
  return (means_all || !local || local->is_local() ? machine : host) + port;
}

}  // namespace headrace::server
