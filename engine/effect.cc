#include "engine/effect.h"

namespace headrace::engine {

void Effects::Clear() {
  replies.clear();
  copies.clear();
  cancels.clear();
  dropped_buffers.clear();
  gone.clear();
  events.clear();
}

}  // namespace headrace::engine
