// The options of event publishing, and what can be said about them without touching the machine but
// for the key files. Main thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/options.h"
#include "base/result.h"
#include "net/zmq.h"
#include "server/event_parse.h"
#include "wire/event.h"

namespace headrace::server {

struct EventOptions {
  std::string endpoint;         // empty: no events
  std::string replay_endpoint;  // empty: no replay and no snapshots
  std::string topic_node;       // empty: see DefaultTopicNode
  std::string form = "map";
  std::string hashes = "int";
  bool token_ids = false;
  bool dial = false;  // the publisher connects and the subscriber binds
  std::string curve_secret_file;
  std::string curve_clients_file;

  bool on() const { return !endpoint.empty(); }
  wire::EventForm wire_form() const {
    return {.array = form == "array", .int_hashes = hashes == "int"};
  }
};

void BindEventOptions(EventOptions* options, OptionTable* table);
// On failure `message` is the line for the user, which names the option.
Status CheckEventOptions(const EventOptions& options, std::string* message);

// What the key files say.
struct EventKeys {
  std::optional<net::ZmqCurve> curve;  // absent: events go out in the clear
  std::vector<std::string> clients;    // public keys that may come in; empty: whoever knows ours
};
Result<EventKeys> ReadEventKeys(const EventOptions& options, std::string* message);
// The pair whose secret half is in a file that nobody else may read. `option` names it.
Result<net::CurveKeys> ReadCurveSecret(const char* option, const std::string& path,
                                       std::string* message);

// host:port that names this server among others: of the control address, with the machine's name
// in place of an address that means something else elsewhere.
std::string DefaultTopicNode(const std::string& addr, const std::string& machine);

}  // namespace headrace::server
