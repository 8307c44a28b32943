// engine.rtt.* and engine.query512.{client,handle}: round trips of the control socket. One thread.
#pragma once

#include <string>

namespace headrace::bench {

void RunRoundTrips(const std::string& server_program);

// 1 M resident blocks behind a real server; queries of 512 hits from a client.
void RunClientQueries(const std::string& server_program);

}  // namespace headrace::bench
