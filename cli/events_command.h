// `headrace events`: KV cache events for people. Exit code 1: something could not be decoded or
// read.
#pragma once

namespace headrace::cli {

// argv[0] is the command's name. Returns the exit code.
int RunEvents(int argc, char** argv);

}  // namespace headrace::cli
