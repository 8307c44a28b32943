// A scripted headrace-server for the client's tests: one thread that answers every request with a
// plain success unless the test's script does something else. It can freeze (neither read nor
// accept), hang up, restart with another epoch and say garbage.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/time.h"
#include "wire/control.h"

namespace headrace::client {

class FakeServer {
 public:
  // Called by the server's thread without its lock, while the request's views are valid. True: the
  // script took care of the request (or leaves it unanswered).
  using Script = std::function<bool(FakeServer&, const wire::RequestFrame&)>;

  FakeServer();  // listens at a path of its own
  ~FakeServer();
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  const std::string& path() const { return path_; }
  void SetScript(Script script);
  void SetEpoch(uint64_t epoch);

  void Freeze();  // returns when the thread touches no socket any more
  void Thaw();
  void HangUp();  // closes every connection
  void Stop();    // and the listening socket
  void Listen();

  // To the newest connection.
  void Reply(wire::ReplyFrame reply);  // the epoch is filled in
  void SendRaw(std::string_view bytes);

  // What arrived since the start.
  int Count(wire::MessageType type);
  std::vector<uint64_t> released();
  std::vector<uint64_t> cancelled();
  std::vector<uint64_t> transfers();  // ids of saves and loads
  uint32_t last_gate();
  // Descriptors of the newest Register, the gate page last.
  std::vector<int> descriptors();
  // False after 10 s.
  bool WaitForCount(wire::MessageType type, int count);
  bool WaitFor(const std::function<bool()>& reached);  // holds the lock while it asks

 private:
  struct Connection {
    Fd fd;
    std::string input;
  };

  void Run();
  void Step();
  void Accept();
  void Serve(const std::shared_ptr<Connection>& connection);
  bool Read(Connection* connection);  // false: it ended
  void TakeFrames(Connection* connection);
  void Note(const wire::RequestFrame& request);
  void Drop();
  void Answer(const wire::RequestFrame& request);
  void Wake();

  std::string path_;
  Fd wake_;
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable changed_;
  Fd listener_;
  std::vector<std::shared_ptr<Connection>> connections_;
  Script script_;
  uint64_t epoch_ = 1;
  bool frozen_ = false, parked_ = false, stopping_ = false;
  std::map<wire::MessageType, int> counts_;
  std::vector<uint64_t> released_, cancelled_, transfers_;
  uint32_t last_gate_ = wire::kNoBlock;
  std::vector<Fd> descriptors_;
};

}  // namespace headrace::client
