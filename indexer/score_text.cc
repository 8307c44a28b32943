#include "indexer/score_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace headrace::indexer {
namespace {

using Json = nlohmann::ordered_json;  // a template may look at the order of its tools' fields

constexpr size_t kMaxDepth = 64;  // the library's writer descends by recursion

Json Parsed(std::string_view text) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) {
    return static_cast<size_t>(depth) <= kMaxDepth;
  };
  return Json::parse(text, shallow, false);
}

// Each is absent (nullopt) or of its kind, or the answer is none.
std::optional<std::string> TextOf(const Json& object, const char* name) {
  const auto place = object.find(name);
  if (place == object.end() || !place->is_string()) return std::nullopt;
  return place->get<std::string>();
}
std::optional<uint64_t> CountOf(const Json& object, const char* name) {
  const auto place = object.find(name);
  if (place == object.end() || !place->is_number_unsigned()) return std::nullopt;
  return place->get<uint64_t>();
}
std::optional<double> NumberOf(const Json& object, const char* name) {
  const auto place = object.find(name);
  if (place == object.end() || !place->is_number()) return std::nullopt;
  return place->get<double>();
}
std::optional<std::vector<std::string>> TextsOf(const Json& object, const char* name) {
  const auto place = object.find(name);
  if (place == object.end() || !place->is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const Json& text : *place) {
    if (!text.is_string()) return std::nullopt;
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

tl::unexpected<Error> NoAnswer() {
  return Fail(Errc::kInvalid, "the answer is none of an index");
}

std::optional<NamedScore> PodScore(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto pod = TextOf(json, "pod");
  const auto score = NumberOf(json, "score");
  const auto normalized = NumberOf(json, "normalized");
  const auto blocks = CountOf(json, "blocks");
  if (!pod || !score || !normalized || !blocks || *blocks > UINT32_MAX) return std::nullopt;
  const auto uncertain = json.find("uncertain");
  return NamedScore{.pod = *pod,
                    .score = *score,
                    .normalized = *normalized,
                    .blocks = static_cast<uint32_t>(*blocks),
                    .uncertain = uncertain != json.end() && *uncertain == true};
}

// The parts of a chat are JSON already.
bool AddJson(const char* name, const std::string& text, Json* body) {
  if (text.empty()) return true;
  Json value = Parsed(text);
  if (value.is_discarded()) return false;
  (*body)[name] = std::move(value);
  return true;
}

bool AddChat(const ScoreCall& call, Json* body) {
  if (!AddJson("messages", call.messages, body) || !AddJson("tools", call.tools, body) ||
      !AddJson("documents", call.documents, body) ||
      !AddJson("chat_template_kwargs", call.template_kwargs, body)) {
    return false;
  }
  if (!call.add_generation_prompt) (*body)["add_generation_prompt"] = false;
  if (call.continue_final_message) (*body)["continue_final_message"] = true;
  return true;
}

Json ExtraOf(const wire::PromptExtras& extras) {
  Json extra = Json::object();
  if (extras.lora) extra["lora"] = Json::array({extras.lora->name, extras.lora->path});
  for (const auto& mm : extras.mm) extra["mm"].push_back({mm.id, mm.offset, mm.length});
  if (!extras.salt.empty()) extra["cache_salt"] = extras.salt;
  return extra;
}

std::optional<wire::HasherOptions> HashOf(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  const auto name = TextOf(json, "algorithm");
  const auto seed = TextOf(json, "seed");
  const auto block_tokens = CountOf(json, "blockTokens");
  if (!name || !seed || !block_tokens) return std::nullopt;
  const auto algo = wire::ParseHashAlgo(*name);
  const bool fits = *block_tokens > 0 && *block_tokens <= wire::HasherOptions::kMaxBlockTokens;
  if (!algo || !fits) return std::nullopt;
  wire::HasherOptions options;
  options.algo = *algo;
  options.seed = seed;
  options.block_tokens = static_cast<uint32_t>(*block_tokens);
  return options;
}

bool IsBetter(const NamedScore& score, const NamedScore& than) {
  if (score.uncertain != than.uncertain) return !score.uncertain;
  return score.score > than.score;
}

}  // namespace

Result<std::string> ScoreQuestion(const ScoreCall& call) {
  Json body{{"model", call.model}};
  switch (call.input) {
    case ScoreCall::Input::kPrompt:
      body["prompt"] = call.prompt;
      break;
    case ScoreCall::Input::kTokens:
      body["token_ids"] = call.tokens;
      break;
    case ScoreCall::Input::kMessages:
      if (!AddChat(call, &body)) return Fail(Errc::kInvalid, "a part of the chat is no JSON");
      break;
  }
  if (call.filter) body["pods"] = call.pods;
  Json extra = ExtraOf(call.extras);
  if (!extra.empty()) body["extra"] = std::move(extra);
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<ScoreAnswer> ParseScoreAnswer(std::string_view body) {
  const Json json = Parsed(body);
  if (!json.is_object()) return NoAnswer();
  const auto model = TextOf(json, "model");
  const auto tokens = CountOf(json, "tokens");
  const auto blocks = CountOf(json, "blocks");
  const auto pods = json.find("pods");
  if (!model || !tokens || !blocks || pods == json.end() || !pods->is_array()) return NoAnswer();
  ScoreAnswer answer{.model = *model, .tokens = *tokens, .blocks = *blocks, .pods = {}};
  for (const Json& entry : *pods) {
    auto pod = PodScore(entry);
    if (!pod) return NoAnswer();
    answer.pods.push_back(std::move(*pod));
  }
  return answer;
}

ScoreAnswer MergeScores(std::span<const ScoreAnswer> answers) {
  HR_CHECK(!answers.empty());
  ScoreAnswer merged = answers.front();
  std::map<std::string_view, const NamedScore*> best;
  for (const ScoreAnswer& answer : answers) {
    for (const NamedScore& pod : answer.pods) {
      const auto [place, is_new] = best.emplace(pod.pod, &pod);
      if (!is_new && IsBetter(pod, *place->second)) place->second = &pod;
    }
  }
  merged.pods.clear();
  for (const auto& [name, pod] : best) merged.pods.push_back(*pod);
  SortScores(&merged.pods);
  return merged;
}

Result<ReplicaList> ParseReplicaList(std::string_view body) {
  const Json json = Parsed(body);
  if (!json.is_object()) return NoAnswer();
  auto addresses = TextsOf(json, "replicas");
  const auto first_blocks = CountOf(json, "shardBlocks");
  const auto hash = json.find("hash");
  if (!addresses || !first_blocks || hash == json.end()) return NoAnswer();
  auto options = HashOf(*hash);
  if (!options || *first_blocks > UINT32_MAX) return NoAnswer();
  return ReplicaList{.addresses = std::move(*addresses),
                     .first_blocks = static_cast<uint32_t>(*first_blocks),
                     .hash = std::move(*options)};
}

Result<std::vector<std::string>> ParseOtherReplicas(std::string_view body) {
  const Json json = Parsed(body);
  if (!json.is_object()) return NoAnswer();
  const auto replica = json.find("replica");
  if (replica == json.end() || !replica->is_object()) return NoAnswer();
  auto addresses = TextsOf(*replica, "addresses");
  if (!addresses || addresses->empty()) return NoAnswer();
  return std::move(*addresses);
}

std::string ErrorText(std::string_view body) {
  const Json json = Parsed(body);
  if (!json.is_object()) return "";
  const auto error = json.find("error");
  if (error == json.end() || !error->is_object()) return "";
  const std::string field = TextOf(*error, "field").value_or("");
  const std::string message = TextOf(*error, "message").value_or("");
  return field.empty() ? message : fmt::format("{}: {}", field, message);
}

}  // namespace headrace::indexer
