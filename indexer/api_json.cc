#include "indexer/api_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "net/zmq_endpoint.h"

namespace headrace::indexer {
namespace {

using Json = nlohmann::ordered_json;  // a template may look at the order of its tools' fields

constexpr size_t kMaxDepth = 64;  // the library's writer descends by recursion
constexpr size_t kMaxMultimodal = 4096;
constexpr uint64_t kMaxToken = std::numeric_limits<uint32_t>::max();
constexpr double kMaxTtlSeconds = 600;
constexpr size_t kMaxTopicBytes = 512;

// Reads one body; the first thing that is wrong stands in `error`.
class Reader {
 public:
  explicit Reader(ApiError* error) : error_(error) {}

  bool Refuse(std::string field, std::string message) {
    if (!failed_) *error_ = {400, std::move(field), std::move(message)};
    failed_ = true;
    return false;
  }
  bool failed() const { return failed_; }

  // The field, or null when it is absent or null.
  static const Json* Find(const Json& object, const char* name) {
    const auto place = object.find(name);
    return place == object.end() || place->is_null() ? nullptr : &*place;
  }
  bool Text(const Json& value, const std::string& field, std::string* out) {
    if (!value.is_string()) return Refuse(field, "must be a text");
    *out = value.get_ref<const std::string&>();
    return true;
  }
  // A text that is there and says something.
  void Needed(const Json& object, const char* name, std::string* out) {
    const Json* value = Find(object, name);
    if (value == nullptr) {
      Refuse(name, "is missing: a text is needed");
    } else if (Text(*value, name, out) && out->empty()) {
      Refuse(name, "must not be empty");
    }
  }
  void Optional(const Json& object, const char* name, std::string* out) {
    if (const Json* value = Find(object, name)) Text(*value, name, out);
  }
  void Flag(const Json& object, const char* name, bool* out) {
    const Json* value = Find(object, name);
    if (value == nullptr) return;
    if (!value->is_boolean()) {
      Refuse(name, "must be true or false");
      return;
    }
    *out = value->get<bool>();
  }
  // A part that only the chat template reads, handed on as it is.
  void Part(const Json& object, const char* name, bool array, std::string* out) {
    const Json* value = Find(object, name);
    if (value == nullptr) return;
    if (array ? !value->is_array() : !value->is_object()) {
      Refuse(name, array ? "must be a list" : "must be an object");
      return;
    }
    *out = value->dump();  // cannot throw: the parser let only UTF-8 in
  }
  bool Number(const Json& value, const std::string& field, uint64_t most, uint32_t* out) {
    if (!value.is_number_unsigned() || value.get<uint64_t>() > most) {
      return Refuse(field, fmt::format("must be a whole number from 0 to {}", most));
    }
    *out = static_cast<uint32_t>(value.get<uint64_t>());
    return true;
  }

 private:
  ApiError* const error_;
  bool failed_ = false;
};

// Brackets outside of texts, counted before the library builds anything.
bool IsTooDeep(std::string_view text) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxDepth) return true;
    } else if ((c == ']' || c == '}') && depth > 0) {
      --depth;
    }
  }
  return false;
}

bool ParseBody(std::string_view body, Reader* reader, Json* root) {
  if (IsTooDeep(body)) {
    return reader->Refuse("", fmt::format("the body is nested deeper than {} levels", kMaxDepth));
  }
  try {
    *root = Json::parse(body.begin(), body.end());
  } catch (const Json::parse_error& error) {
    return reader->Refuse(
        "", fmt::format("the body is not JSON: byte {} cannot stand there", error.byte));
  } catch (const Json::exception&) {  // a number that no double holds
    return reader->Refuse("", "the body is not JSON: a number is out of range");
  }
  if (!root->is_object()) return reader->Refuse("", "the body must be an object: {\"model\": ...}");
  return true;
}

void ReadTokens(const Json& value, uint32_t max_tokens, Reader* reader, ScoreCall* call) {
  if (!value.is_array()) {
    reader->Refuse("token_ids", "must be a list of whole numbers");
    return;
  }
  if (value.size() > max_tokens) {
    reader->Refuse("token_ids", fmt::format("has {} tokens; at most {} may be (--index-max-tokens)",
                                            value.size(), max_tokens));
    return;
  }
  call->tokens.reserve(value.size());
  for (const Json& token : value) {
    uint32_t number = 0;
    if (!token.is_number_unsigned() || token.get<uint64_t>() > kMaxToken) {
      reader->Number(token, fmt::format("token_ids[{}]", call->tokens.size()), kMaxToken, &number);
      return;
    }
    call->tokens.push_back(static_cast<uint32_t>(token.get<uint64_t>()));
  }
}

void ReadPods(const Json& value, const ApiLimits& limits, Reader* reader, ScoreCall* call) {
  if (!value.is_array()) {
    reader->Refuse("pods", "must be a list of pods' names");
    return;
  }
  if (value.size() > limits.max_pods) {
    reader->Refuse("pods", fmt::format("has {} names; at most {} may be (--index-max-pods)",
                                       value.size(), limits.max_pods));
    return;
  }
  for (const Json& pod : value) {
    std::string name;
    if (!reader->Text(pod, fmt::format("pods[{}]", call->pods.size()), &name)) return;
    call->pods.push_back(std::move(name));
  }
  call->filter = !call->pods.empty();  // an empty list means all, as llm-d has it
}

// "name" or ["name", "path"].
void ReadLora(const Json& value, Reader* reader, wire::PromptExtras* extras) {
  wire::PromptExtras::Lora lora;
  bool good = false;
  if (value.is_string()) {
    good = reader->Text(value, "extra.lora", &lora.name);
  } else if (value.is_array() && (value.size() == 1 || value.size() == 2)) {
    good = reader->Text(value[0], "extra.lora[0]", &lora.name);
    if (good && value.size() == 2) good = reader->Text(value[1], "extra.lora[1]", &lora.path);
  } else {
    reader->Refuse("extra.lora", "must be a name, or a list of a name and a path");
  }
  if (good && lora.name.empty()) reader->Refuse("extra.lora", "the name must not be empty");
  extras->lora = std::move(lora);
}

// [["id", offset, length], ...], in the prompt's order.
void ReadMultimodal(const Json& value, Reader* reader, wire::PromptExtras* extras) {
  if (!value.is_array() || value.size() > kMaxMultimodal) {
    reader->Refuse("extra.mm", fmt::format("must be a list of at most {} [id, offset, length]",
                                           kMaxMultimodal));
    return;
  }
  for (const Json& item : value) {
    const std::string field = fmt::format("extra.mm[{}]", extras->mm.size());
    if (!item.is_array() || item.size() != 3) {
      reader->Refuse(field, "must be [id, offset, length]");
      return;
    }
    wire::PromptExtras::Multimodal mm;
    const bool good = reader->Text(item[0], field + "[0]", &mm.id) &&
                      reader->Number(item[1], field + "[1]", kMaxToken / 2, &mm.offset) &&
                      reader->Number(item[2], field + "[2]", kMaxToken / 2, &mm.length);
    if (!good) return;
    extras->mm.push_back(std::move(mm));
  }
}

void RefuseUnknown(const Json& object, const std::set<std::string_view>& known,
                   const std::string& prefix, Reader* reader) {
  for (const auto& [name, value] : object.items()) {
    if (known.contains(name)) continue;
    std::string names;
    for (const std::string_view each : known)
      names += (names.empty() ? "" : ", ") + std::string(each);
    reader->Refuse(prefix + name, "is no field here; the fields are " + names);
    return;
  }
}

void ReadExtra(const Json& value, Reader* reader, wire::PromptExtras* extras) {
  if (!value.is_object()) {
    reader->Refuse("extra", "must be an object: {\"lora\": ..., \"mm\": ..., \"cache_salt\": ...}");
    return;
  }
  RefuseUnknown(value, {"lora", "mm", "cache_salt"}, "extra.", reader);
  if (const Json* lora = Reader::Find(value, "lora")) ReadLora(*lora, reader, extras);
  if (const Json* mm = Reader::Find(value, "mm")) ReadMultimodal(*mm, reader, extras);
  if (const Json* salt = Reader::Find(value, "cache_salt")) {
    reader->Text(*salt, "extra.cache_salt", &extras->salt);
  }
}

void ReadChat(const Json& root, Reader* reader, ScoreCall* call) {
  call->input = ScoreCall::Input::kMessages;
  reader->Part(root, "messages", true, &call->messages);
  if (!reader->failed() && root["messages"].empty()) {
    reader->Refuse("messages", "must not be empty");
  }
  reader->Part(root, "tools", true, &call->tools);
  reader->Part(root, "documents", true, &call->documents);
  reader->Part(root, "chat_template_kwargs", false, &call->template_kwargs);
  if (Reader::Find(root, "chat_template") != nullptr) {  // it could compute for ever
    reader->Refuse("chat_template", "a request may not bring its own; the model's is taken");
  }
  reader->Flag(root, "add_generation_prompt", &call->add_generation_prompt);
  reader->Flag(root, "continue_final_message", &call->continue_final_message);
  if (call->continue_final_message && call->add_generation_prompt) {
    if (Reader::Find(root, "add_generation_prompt") != nullptr) {
      reader->Refuse("continue_final_message", "and add_generation_prompt exclude each other");
    }
    call->add_generation_prompt = false;
  }
}

void ReadAnnounced(const Json& root, Reader* reader, ScoreCall* call) {
  reader->Needed(root, "pod", &call->pod);
  reader->Optional(root, "tier", &call->tier);
  const Json* ttl = Reader::Find(root, "ttl_seconds");
  if (ttl == nullptr) return;
  const double wanted = ttl->is_number() ? ttl->get<double>() : 0;
  if (!(wanted > 0 && wanted <= kMaxTtlSeconds)) {
    reader->Refuse("ttl_seconds",
                   fmt::format("must be a number above 0, and at most {}", kMaxTtlSeconds));
    return;
  }
  call->ttl = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(wanted));
}

void ReadOurs(const Json& root, bool announce, const ApiLimits& limits, Reader* reader,
              ScoreCall* call) {
  std::set<std::string_view> known = {"model",
                                      "prompt",
                                      "messages",
                                      "token_ids",
                                      "extra",
                                      "tools",
                                      "documents",
                                      "chat_template",
                                      "chat_template_kwargs",
                                      "add_generation_prompt",
                                      "continue_final_message"};
  if (announce) {
    known.insert({"pod", "tier", "ttl_seconds"});
  } else {
    known.insert("pods");
  }
  RefuseUnknown(root, known, "", reader);
  if (announce) ReadAnnounced(root, reader, call);
  const Json* prompt = Reader::Find(root, "prompt");
  const Json* messages = Reader::Find(root, "messages");
  const Json* tokens = Reader::Find(root, "token_ids");
  const int given = (prompt != nullptr) + (messages != nullptr) + (tokens != nullptr);
  if (given == 0) reader->Refuse("prompt", "is missing: prompt, messages or token_ids is needed");
  if (given > 1) {
    reader->Refuse(prompt != nullptr ? "prompt" : "messages",
                   "only one of prompt, messages and token_ids may be given");
  }
  if (reader->failed()) return;
  if (prompt != nullptr) {
    reader->Needed(root, "prompt", &call->prompt);
  } else if (messages != nullptr) {
    ReadChat(root, reader, call);
  } else {
    call->input = ScoreCall::Input::kTokens;
    ReadTokens(*tokens, limits.max_tokens, reader, call);
  }
  if (const Json* pods = Reader::Find(root, "pods")) ReadPods(*pods, limits, reader, call);
  if (const Json* extra = Reader::Find(root, "extra")) ReadExtra(*extra, reader, &call->extras);
}

// llm-d named the list "conversation" for some time, and had a list of such lists before.
void ReadLlmdChat(Json* root, Reader* reader, ScoreCall* call) {
  if (Reader::Find(*root, "messages") == nullptr && root->contains("conversation")) {
    (*root)["messages"] = (*root)["conversation"];
  }
  if (Reader::Find(*root, "messages") == nullptr) {
    reader->Refuse("messages", "is missing: a list of messages is needed");
    return;
  }
  Json& messages = (*root)["messages"];
  if (messages.is_array() && messages.size() == 1 && messages[0].is_array()) {
    Json inner = std::move(messages[0]);
    messages = std::move(inner);
  }
  ReadChat(*root, reader, call);
}

// An address that can be dialled from here.
void ReadDialled(const char* field, const std::string& text, Reader* reader) {
  const auto endpoint = net::ParseZmqEndpoint(text);
  if (!endpoint || endpoint->must_bind()) {
    reader->Refuse(field, "must be an address to dial, for example tcp://10.0.0.1:5557");
  }
}

}  // namespace

Result<ScoreCall> ParseScoreCall(std::string_view body, Dialect dialect, const ApiLimits& limits,
                                 ApiError* error) {
  Reader reader(error);
  ScoreCall call;
  Json root;
  if (ParseBody(body, &reader, &root)) {
    reader.Needed(root, "model", &call.model);
    if (dialect == Dialect::kHeadrace || dialect == Dialect::kAnnounce) {
      ReadOurs(root, dialect == Dialect::kAnnounce, limits, &reader, &call);
    } else {
      if (dialect == Dialect::kLlmdChat) {
        ReadLlmdChat(&root, &reader, &call);
      } else {
        reader.Needed(root, "prompt", &call.prompt);
      }
      reader.Optional(root, "cache_salt", &call.extras.salt);  // where engines have it
    }
  }
  if (reader.failed()) return Fail(Errc::kInvalid, "the request is wrong");
  HR_CHECK(!call.model.empty());
  return call;
}

Result<EventSource> ParsePodCall(std::string_view body, std::string_view pod, ApiError* error) {
  Reader reader(error);
  EventSource source;
  source.pod = pod;
  source.topic_filter = "kv@";
  Json root;
  if (ParseBody(body, &reader, &root)) {
    RefuseUnknown(root, {"endpoint", "replay_endpoint", "model", "topic_filter", "server_key"}, "",
                  &reader);
    reader.Needed(root, "endpoint", &source.endpoint);
    reader.Optional(root, "replay_endpoint", &source.replay_endpoint);
    reader.Optional(root, "model", &source.model);
    reader.Optional(root, "topic_filter", &source.topic_filter);
    reader.Optional(root, "server_key", &source.server_key);
    ReadDialled("endpoint", source.endpoint, &reader);
    if (!source.replay_endpoint.empty()) {
      ReadDialled("replay_endpoint", source.replay_endpoint, &reader);
    }
    if (source.topic_filter.size() > kMaxTopicBytes) {
      reader.Refuse("topic_filter", fmt::format("must have at most {} bytes", kMaxTopicBytes));
    }
  }
  if (reader.failed()) return Fail(Errc::kInvalid, "the request is wrong");
  return source;
}

void SortScores(std::vector<NamedScore>* pods) {
  std::sort(pods->begin(), pods->end(), [](const NamedScore& a, const NamedScore& b) {
    return a.score != b.score ? a.score > b.score : a.pod < b.pod;
  });
}

std::string JsonText(std::string_view text) {
  return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string ScoreBody(const ScoreAnswer& answer) {
  std::string text = fmt::format("{{\"model\":{},\"tokens\":{},\"blocks\":{},\"pods\":[",
                                 JsonText(answer.model), answer.tokens, answer.blocks);
  const char* comma = "";
  for (const NamedScore& pod : answer.pods) {
    HR_CHECK(std::isfinite(pod.score) && std::isfinite(pod.normalized));
    fmt::format_to(std::back_inserter(text),
                   "{}{{\"pod\":{},\"score\":{},\"normalized\":{},\"blocks\":{}{}}}", comma,
                   JsonText(pod.pod), pod.score, pod.normalized, pod.blocks,
                   pod.uncertain ? ",\"uncertain\":true" : "");
    comma = ",";
  }
  return text + "]}\n";
}

std::string LlmdScoreBody(const ScoreAnswer& answer) {
  std::string text = "{";
  const char* comma = "";
  for (const NamedScore& pod : answer.pods) {
    HR_CHECK(std::isfinite(pod.score));
    fmt::format_to(std::back_inserter(text), "{}{}:{}", comma, JsonText(pod.pod), pod.score);
    comma = ",";
  }
  return text + "}\n";
}

std::string ErrorBody(const ApiError& error) {
  HR_CHECK(error.status >= 400 && !error.message.empty());
  return fmt::format("{{\"error\":{{\"field\":{},\"message\":{}}}}}\n", JsonText(error.field),
                     JsonText(error.message));
}

}  // namespace headrace::indexer
