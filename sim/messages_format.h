// The reply of POST /v1/messages: one object, or the named events that the clients of Anthropic
// read. One thread.
#pragma once

#include <memory>
#include <string>

#include "sim/reply_format.h"

namespace headrace::sim {

// One choice.
std::unique_ptr<ReplyFormat> MakeMessagesFormat(const ReplyHead& head);

// {"type":"error","error":{...}}: the common body, with what marks it as an error here.
std::string MessagesErrorBody(const ApiError& error);

}  // namespace headrace::sim
