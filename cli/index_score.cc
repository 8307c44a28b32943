#include "cli/index_score.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/hash_args.h"
#include "cli/server_place.h"
#include "cli/text_file.h"
#include "indexer/index_client.h"

namespace headrace::cli {
namespace {

using indexer::ScoreCall;

constexpr Flag kFlags[] = {
    {"url", "URL", "of the index, or of several, split by commas; default http://127.0.0.1:9091"},
    {"token-file", "FILE", "with the token that the index asks for"},
    {"model", "NAME", "as events name it"},
    {"prompt", "TEXT", "the index makes tokens of it"},
    {"tokens", "1,2,3", "token ids instead; - reads them from standard input"},
    {"messages", "JSON", "a chat instead: [{\"role\":\"user\",\"content\":\"...\"}]"},
    {"pods", "A,B", "only these pods"},
    {"salt", "TEXT", "the request's cache_salt"},
    {"lora", "NAME", "the adapter's name"},
    {"format", "table|json", "default table"},
};

std::vector<std::string> SplitAtCommas(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const size_t comma = text.find(',');
    if (comma != 0 && !text.empty()) parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

// Exactly one of the three kinds of input.
Status ReadInput(const CommandLine& line, ScoreCall* call, std::string* message) {
  const std::string* prompt = line.Find("prompt");
  const std::string* tokens = line.Find("tokens");
  const std::string* messages = line.Find("messages");
  const auto given = [](const std::string* x) { return x == nullptr ? 0 : 1; };
  if (given(prompt) + given(tokens) + given(messages) != 1) {
    *message = "one of --prompt, --tokens and --messages is needed";
    return Fail(Errc::kInvalid, "command line");
  }
  if (prompt != nullptr) call->prompt = *prompt;
  if (messages != nullptr) {
    call->input = ScoreCall::Input::kMessages;
    call->messages = *messages;
  }
  if (tokens == nullptr) return {};
  call->input = ScoreCall::Input::kTokens;
  return ReadTokenIds(line, &call->tokens, message);
}

Result<indexer::IndexClient> MakeClient(const CommandLine& line, std::string* message) {
  indexer::IndexClient::Options options;
  const std::string* urls = line.Find("url");
  for (const std::string& url : SplitAtCommas(urls == nullptr ? kDefaultUrl : *urls)) {
    auto address = AddressOf(url);
    if (!address) return WrongFlag("url", address.error().what, message);
    options.replicas.push_back(std::move(*address));
  }
  HR_TRY(options.token, ReadToken(line, message));
  options.timeout = ServerPlace().timeout;
  auto client = indexer::IndexClient::Create(std::move(options));
  if (!client) return WrongFlag("url", client.error().what, message);
  return client;
}

int Refuse(int code, const std::string& message) {
  std::fprintf(stderr, "headrace index score: %s\n", message.c_str());
  return code;
}

}  // namespace

std::span<const Flag> ScoreFlags() {
  return kFlags;
}

Result<ScoreCall> ReadScoreCall(const CommandLine& line, std::string* message) {
  ScoreCall call;
  const std::string* model = line.Find("model");
  if (model == nullptr || model->empty()) return WrongFlag("model", "is missing", message);
  call.model = *model;
  HR_RETURN_IF_ERROR(ReadInput(line, &call, message));
  if (const std::string* pods = line.Find("pods")) {
    call.filter = true;
    call.pods = SplitAtCommas(*pods);
    if (call.pods.empty()) return WrongFlag("pods", "must name a pod", message);
  }
  if (const std::string* salt = line.Find("salt")) call.extras.salt = *salt;
  if (const std::string* lora = line.Find("lora")) call.extras.lora = {*lora, ""};
  return call;
}

std::string ScoreTable(const indexer::ScoreAnswer& answer) {
  std::string text = fmt::format("{} tokens, {} blocks\n", answer.tokens, answer.blocks);
  if (answer.pods.empty()) return text + "no pod holds anything of it\n";
  size_t width = std::string_view("POD").size();
  for (const auto& pod : answer.pods) width = std::max(width, pod.pod.size());
  auto out = std::back_inserter(text);
  fmt::format_to(out, "{:<{}}  {:>8}  {:>10}  {:>6}\n", "POD", width, "SCORE", "NORMALIZED",
                 "BLOCKS");
  for (const auto& pod : answer.pods) {
    fmt::format_to(out, "{:<{}}  {:>8.2f}  {:>10.3f}  {:>6}{}\n", pod.pod, width, pod.score,
                   pod.normalized, pod.blocks, pod.uncertain ? "  uncertain" : "");
  }
  return text;
}

int RunIndexScore(int argc, char** argv) {
  CommandLine line;
  std::string message;
  if (!ParseCommandLine(argc, argv, kFlags, &line, &message)) return Refuse(kExitWrongUse, message);
  if (line.help) {
    std::printf(
        "usage: headrace index score --model NAME --tokens 1,2,3 [flags]\n"
        "Prints how much of a prompt each pod holds, best first.\n%s",
        FlagHelp(kFlags).c_str());
    return 0;
  }
  const std::string* format = line.Find("format");
  const bool is_json = format != nullptr && *format == "json";
  if (format != nullptr && !is_json && *format != "table") {
    return Refuse(kExitWrongUse, "--format: must be table or json");
  }
  TakeStandardInput("tokens", &line);
  const auto call = ReadScoreCall(line, &message);
  if (!call) return Refuse(kExitWrongUse, message);
  auto client = MakeClient(line, &message);
  if (!client) return Refuse(kExitWrongUse, message);
  const auto answer = client->Score(*call, &message);
  if (!answer) return Refuse(1, message);
  const std::string text = is_json ? indexer::ScoreBody(*answer) : ScoreTable(*answer);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace headrace::cli
