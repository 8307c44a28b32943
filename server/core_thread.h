// What the scheduler of the operating system is told about the core's thread.
#pragma once

#include "base/result.h"
#include "base/time.h"

namespace headrace::server {

// Engines wait for the core's answers, so it should run soon after it is woken, also where all
// processors compute. Since Linux 6.12 a thread that asks for short turns gets them earlier (EEVDF
// picks the earliest deadline, which is a turn away), without more processor time and without
// privileges; older kernels take the request and ignore it. Children and threads that are made
// later do not inherit it. For the calling thread. kIo: the kernel refuses; nothing has changed.
Status AskForShortTurns(Duration turn);

}  // namespace headrace::server
