// engine.query*.core, engine.apply.max and engine.ops: the core alone, in this process. One thread.
#pragma once

namespace headrace::bench {

void RunCoreBench();

}  // namespace headrace::bench
