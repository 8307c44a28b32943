// Serves a ZeroMQ socket on a loop: net/zmq.h says what the trap is.
#include <sys/epoll.h>

#include <utility>

#include "net/zmq.h"

namespace headrace::net {

namespace {

constexpr int kServesPerTurn = 64;  // of one socket, before the loop's others have their turn

}  // namespace

// Outlives the watch while a posted call refers to it.
struct ZmqWatch::State {
  Loop* loop = nullptr;
  int fd = -1;
  std::function<bool()> ready;  // is there something to serve?
  std::function<void()> serve;
  bool alive = true;
  bool posted = false;
};

namespace {

template <typename State>
void Serve(const std::shared_ptr<State>& state);

template <typename State>
void PostServe(const std::shared_ptr<State>& state) {
  if (state->posted) return;
  state->posted = true;
  state->loop->Post([state] {
    state->posted = false;
    Serve(state);
  });
}

// Asking clears the ring, so every way out either found nothing more or comes back.
template <typename State>
void Serve(const std::shared_ptr<State>& state) {
  for (int served = 0; served < kServesPerTurn; ++served) {
    if (!state->alive || !state->ready()) return;
    state->serve();
  }
  if (state->alive) PostServe(state);
}

}  // namespace

Result<std::unique_ptr<ZmqWatch>> ZmqWatch::Create(Loop* loop, ZmqSocket* socket,
                                                   std::function<void()> serve) {
  HR_CHECK(loop != nullptr && socket != nullptr && serve != nullptr);
  auto state = std::make_shared<State>();
  state->loop = loop;
  state->fd = socket->fd();
  state->ready = [socket] { return socket->readable(); };
  state->serve = std::move(serve);
  HR_RETURN_IF_ERROR(loop->Watch(state->fd, EPOLLIN, [state](uint32_t) { Serve(state); }));
  PostServe(state);  // what rang before this watch
  return std::unique_ptr<ZmqWatch>(new ZmqWatch(std::move(state)));
}

Result<std::unique_ptr<ZmqWatch>> ZmqWatch::CreateForPeers(Loop* loop, ZmqSocket* socket,
                                                           std::function<void()> serve) {
  HR_CHECK(loop != nullptr && socket != nullptr && serve != nullptr && socket->peer_fd() >= 0);
  auto state = std::make_shared<State>();
  state->loop = loop;
  state->fd = socket->peer_fd();
  state->ready = [socket] { return socket->peer_readable(); };
  state->serve = std::move(serve);
  HR_RETURN_IF_ERROR(loop->Watch(state->fd, EPOLLIN, [state](uint32_t) { Serve(state); }));
  PostServe(state);
  return std::unique_ptr<ZmqWatch>(new ZmqWatch(std::move(state)));
}

ZmqWatch::~ZmqWatch() {
  state_->alive = false;
  state_->loop->Unwatch(state_->fd);
}

void ZmqWatch::Touched() {
  PostServe(state_);
}

}  // namespace headrace::net
