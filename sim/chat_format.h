// The reply of POST /v1/chat/completions.
#pragma once

#include <memory>

#include "sim/reply_format.h"

namespace headrace::sim {

std::unique_ptr<ReplyFormat> MakeChatFormat(const Request& request, ReplyHead head);

}  // namespace headrace::sim
