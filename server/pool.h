// The pool's memory: the data regions, not backed yet, and the metadata that describes them.
// Made on the main thread; then the core's thread owns the metadata and the growth thread backs
// the pages.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/pool_meta.h"
#include "server/options.h"
#include "transport/memory.h"

namespace headrace::server {

// Where a page of the pool lies.
struct PagePlace {
  uint32_t region = 0;
  uint64_t offset = 0;
};

struct Pool {
  std::vector<transport::SharedRegion> regions;
  transport::SharedRegion meta_memory;
  engine::PoolMeta meta;
  std::vector<PagePlace> pages;
  uint64_t page_bytes = 0;
  uint64_t total_bytes = 0;
  bool lock = false;    // pages are locked as they are backed
  std::string warning;  // what the machine does not allow, or empty

  // "4k", "thp", "hugetlb", or "none" for a pool of size 0. The least of its regions.
  const char* PagesKind() const;
};

// Takes microseconds, whatever the size. A size that the machine cannot give is refused; `message`
// is then the line for the user.
Result<Pool> CreatePool(const ServerOptions& options, uint64_t epoch, std::string* message);

}  // namespace headrace::server
