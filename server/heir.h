// The end of a process that maps a large pool. The kernel takes mapped pages apart one by one, for
// seconds with tens of gigabytes, and whoever waits for the process waits for that. So the memory
// is left to an heir: a process that shares it, owns nothing else, and ends right after this one.
// Main thread, when nothing but the memory is left to clean up.
#pragma once

namespace headrace::server {

// Ends the process with `status`; its descriptors are closed by then. Runs no destructor. Where
// no heir can be made, and under sanitizers, it returns and the ordinary end follows.
void ExitLeavingMemory(int status);

}  // namespace headrace::server
