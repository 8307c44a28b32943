// `headrace index`: asks a running index, and compares.
#pragma once

namespace headrace::cli {

// argv[0] is the command's name. Returns the exit code.
int RunIndex(int argc, char** argv);

}  // namespace headrace::cli
