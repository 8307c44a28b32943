// The reply of POST /v1/completions.
#pragma once

#include <memory>

#include "sim/reply_format.h"

namespace headrace::sim {

std::unique_ptr<ReplyFormat> MakeCompletionFormat(const Request& request, ReplyHead head);

}  // namespace headrace::sim
