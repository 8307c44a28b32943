// engine.save.* and engine.load.*: what a client gets from a server with one mover thread, beside
// the best memcpy of this machine over equal geometry, in turns. One thread.
#pragma once

#include <string>

namespace headrace::bench {

// `segment_bytes` 64 KiB: 32 segments a block; 2 MiB: one.
void RunCopyBench(const std::string& server_program, uint64_t segment_bytes,
                  const std::string& tag);

}  // namespace headrace::bench
