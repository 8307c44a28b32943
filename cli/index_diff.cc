#include "cli/index_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

#include "cli/tail_args.h"
#include "indexer/subscriber_topic.h"

namespace headrace::cli {
namespace {

constexpr uint32_t kPageBlocks = 1024;
constexpr Flag kFlags[] = {
    {"token-file", "FILE", "with the token that the indexes ask for"},
    {"topic", "TOPIC", "of the publisher: kv@POD@MODEL"},
    {"pod", "NAME", "as the index calls the publisher; default: the topic's"},
    {"model", "NAME", "as the index calls its model; default: the topic's"},
    {"server-key", "KEY", "the publisher's public CURVE key, 40 characters of Z85"},
    {"key-file", "FILE", "our secret CURVE key; default: a new one"},
};

void PrintHelp(std::FILE* out) {
  std::fprintf(
      out,
      "usage: headrace index diff LEFT RIGHT [flags]\n"
      "Prints what only LEFT (<) or only RIGHT (>) holds. LEFT is an index (http://...) or\n"
      "a file that dump wrote, RIGHT one of these or the replay socket of a Headrace\n"
      "publisher (tcp://..., ipc://...), and then LEFT is an index. The exit code is 0:\n"
      "alike, 1: different, 3: cannot be compared. What comes and goes while both are\n"
      "read is told as a difference.\n%s",
      FlagHelp(kFlags).c_str());
}

int Trouble(int code, const std::string& message) {
  std::fprintf(stderr, "headrace index diff: %s\n", message.c_str());
  return code;
}

std::string HolderText(const DumpedHolder& holder) {
  std::string text = fmt::format("{} {} {}", holder.key, holder.pod, holder.tier);
  if (holder.group >= 0) text += fmt::format(" group {}", holder.group);
  return text;
}

bool IsPublisher(std::string_view name) {
  return name.starts_with("tcp://") || name.starts_with("ipc://");
}
bool IsServer(std::string_view name) {
  return name.starts_with("http://") || name.starts_with("https://");
}

Result<DumpedHolders> ReadFile(const std::string& name, std::string* message) {
  std::ifstream file(name, std::ios::binary);
  DumpedHolders holders;
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (const Status status = AddHolders(line, &holders); !status) {
      *message = fmt::format("{}: line {} {}", Quoted(name), number, status.error().what);
      return Fail(status.error());
    }
  }
  if (file.eof() && !file.bad()) return holders;
  *message = fmt::format("{} cannot be read", Quoted(name));
  return Fail(Errc::kIo, "no file");
}

Result<DumpedHolders> ReadServer(const ServerPlace& place, std::string* message) {
  DumpedHolders holders;
  Status status;
  const auto take = [&](const std::string& line) {
    if (status) status = AddHolders(line, &holders);
  };
  HR_RETURN_IF_ERROR(ReadDump(place, kPageBlocks, take, message));
  if (status) return holders;
  *message = fmt::format("{}: the answer {}", place.address, status.error().what);
  return Fail(status.error());
}

Result<ServerPlace> PlaceOf(const std::string& url, const CommandLine& line, std::string* message) {
  auto address = AddressOf(url);
  if (!address) {
    *message = fmt::format("{} {}", Quoted(url), address.error().what);
    return Fail(address.error());
  }
  HR_TRY(std::string token, ReadToken(line, message));
  return ServerPlace{.address = std::move(*address), .token = std::move(token)};
}

Result<DumpedHolders> ReadSide(const std::string& name, const CommandLine& line,
                               std::string* message) {
  if (!IsServer(name)) return ReadFile(name, message);
  HR_TRY(const ServerPlace place, PlaceOf(name, line, message));
  return ReadServer(place, message);
}

struct Publisher {
  SnapshotQuestion question;
  std::string pod;
  std::string model;
};

Result<Publisher> PublisherOf(const std::string& endpoint, const CommandLine& line,
                              std::string* message) {
  Publisher publisher;
  const std::string* topic = line.Find("topic");
  if (topic == nullptr) return WrongFlag("topic", "is missing; write kv@POD@MODEL", message);
  publisher.question.endpoint = endpoint;
  publisher.question.topic = *topic;
  HR_TRY(publisher.question.curve, ReadCurve(line, message));
  if (const auto parsed = indexer::ParseEventTopic(*topic)) {
    publisher.pod = parsed->pod;
    publisher.model = parsed->model;
  }
  if (const std::string* pod = line.Find("pod")) publisher.pod = *pod;
  if (const std::string* model = line.Find("model")) publisher.model = *model;
  if (publisher.pod.empty()) return WrongFlag("pod", "is missing; the topic names none", message);
  return publisher;
}

Result<std::vector<std::string>> AgainstPublisher(const std::string& left,
                                                  const Publisher& publisher,
                                                  const CommandLine& line, std::string* message) {
  HR_TRY(const ServerPlace place, PlaceOf(left, line, message));
  HR_TRY(const auto resident, AskSnapshot(publisher.question, message));
  HR_TRY(const DumpedHolders index, ReadServer(place, message));
  return PublisherDifferences(index, publisher.pod, resident, [&](uint64_t hash) {
    return LookUpHash(place, hash, publisher.model, message);
  });
}

Result<std::vector<std::string>> Compare(const std::string& left, const std::string& right,
                                         const CommandLine& line, std::string* message) {
  if (IsPublisher(right)) {
    HR_TRY(const Publisher publisher, PublisherOf(right, line, message));
    return AgainstPublisher(left, publisher, line, message);
  }
  HR_TRY(const DumpedHolders first, ReadSide(left, line, message));
  HR_TRY(const DumpedHolders second, ReadSide(right, line, message));
  return Differences(first, second);
}

int PrintComparison(const std::string& left, const std::string& right, const CommandLine& line) {
  if (IsPublisher(left) || (IsPublisher(right) && !IsServer(left))) {
    return Trouble(kExitWrongUse, "a publisher stands on the right, and an index on its left");
  }
  std::string message;
  const auto lines = Compare(left, right, line, &message);
  if (!lines) return Trouble(kExitTrouble, message.empty() ? lines.error().what : message);
  for (const std::string& text : *lines) std::printf("%s\n", text.c_str());
  if (std::fflush(stdout) != 0) return kExitTrouble;
  return lines->empty() ? 0 : kExitDiffers;
}

}  // namespace

std::vector<std::string> Differences(const DumpedHolders& left, const DumpedHolders& right) {
  std::vector<std::string> lines;
  const auto add = [&](const char* mark, const DumpedHolders& from, const DumpedHolders& without) {
    for (const DumpedHolder& holder : from) {
      if (!without.contains(holder))
        lines.push_back(fmt::format("{} {}", mark, HolderText(holder)));
    }
  };
  add("<", left, right);
  add(">", right, left);
  return lines;
}

Result<std::vector<std::string>> PublisherDifferences(const DumpedHolders& index,
                                                      const std::string& pod,
                                                      std::span<const ResidentBlock> resident,
                                                      const BlocksOf& blocks_of) {
  std::set<std::pair<std::string, std::string>> known;  // key, tier
  std::vector<std::string> missing;
  for (const ResidentBlock& block : resident) {
    HR_TRY(const auto lines, blocks_of(block.hash));
    DumpedHolders holders;
    for (const std::string& line : lines) HR_RETURN_IF_ERROR(AddHolders(line, &holders));
    bool held = false;
    for (const DumpedHolder& holder : holders) {
      if (holder.pod != pod || holder.tier != block.tier) continue;
      known.emplace(holder.key, holder.tier);
      held = true;
    }
    if (!held) missing.push_back(fmt::format("> hash {} {} {}", block.hash, pod, block.tier));
  }
  std::vector<std::string> lines;
  for (const DumpedHolder& holder : index) {
    if (holder.pod != pod || known.contains({holder.key, holder.tier})) continue;
    lines.push_back(fmt::format("< {}", HolderText(holder)));
  }
  lines.insert(lines.end(), missing.begin(), missing.end());
  return lines;
}

int RunIndexDiff(int argc, char** argv) {
  const auto is_flag = [&](int i) { return std::string_view(argv[i]).starts_with("--"); };
  const bool named = argc >= 3 && !is_flag(1) && !is_flag(2);
  CommandLine line;
  std::string message;
  // Both names stand where the line's own is looked for.
  const int skipped = named ? 2 : 0;
  if (!ParseCommandLine(argc - skipped, argv + skipped, kFlags, &line, &message)) {
    return Trouble(kExitWrongUse, message);
  }
  if (line.help || !named) {
    PrintHelp(line.help ? stdout : stderr);
    return line.help ? 0 : kExitWrongUse;
  }
  return PrintComparison(argv[1], argv[2], line);
}

}  // namespace headrace::cli
