// `headrace hash`: the block hashes of a prompt, to be held against those that an engine announces.
#pragma once

namespace headrace::cli {

// argv[0] is the command's name. Returns the exit code.
int RunHash(int argc, char** argv);

}  // namespace headrace::cli
