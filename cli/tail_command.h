// `headrace events tail`: what a publisher announces, as it does.
#pragma once

namespace headrace::cli {

// argv[0] is the command's name. Returns the exit code: 1 when something could not be decoded.
int RunEventsTail(int argc, char** argv);

}  // namespace headrace::cli
