// The words by which an owner takes its blocks back without the server's help (wire::Gate), in
// memory that is shared with the movers. One page a connection: a word of an earlier connection
// stays revoked for ever. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/fd.h"
#include "base/result.h"

namespace headrace::client {

class GatePage {
 public:
  // A memfd sealed against shrinking and growing, all words 0.
  static Result<std::shared_ptr<GatePage>> Create(uint32_t words);
  GatePage(Fd fd, uint32_t* words, uint32_t count)
      : fd_(std::move(fd)), words_(words), count_(count) {}
  GatePage(const GatePage&) = delete;
  GatePage& operator=(const GatePage&) = delete;
  ~GatePage();

  int fd() const { return fd_.get(); }
  uint32_t count() const { return count_; }

  void Reset(uint32_t index);
  // Sets kRevoked: no mover enters after this.
  void Revoke(uint32_t index);
  // A mover is inside a chunk.
  bool Writing(uint32_t index) const;
  // A save whose bytes may be published: they were all read before the revocation.
  bool Committed(uint32_t index) const;

 private:
  std::atomic_ref<uint32_t> Word(uint32_t index) const;

  Fd fd_;
  uint32_t* words_;
  uint32_t count_;
};

}  // namespace headrace::client
