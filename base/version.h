// The project's version, as meson.build states it.
#pragma once

namespace headrace {

const char* Version();  // "0.1.0"

}  // namespace headrace
