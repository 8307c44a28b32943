#include "cli/event_json.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hex.h"
#include "cli/command_line.h"

namespace headrace::cli {
namespace {

using Json = nlohmann::ordered_json;
using wire::Event;
using wire::EventType;

// Text of a peer need not be UTF-8.
std::string Dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string HexText(std::span<const uint8_t> bytes) {
  return fmt::format("0x{}", Hex(bytes));
}

Json HashJson(std::span<const uint8_t> full, uint64_t low) {
  return full.empty() ? std::to_string(low) : HexText(full);
}

Json HashesJson(const Event& event) {
  Json hashes = Json::array();
  for (size_t i = 0; i < event.hashes.size(); ++i) {
    const auto full = event.full_hashes.subspan(i * event.hash_bytes, event.hash_bytes);
    hashes.push_back(HashJson(full, event.hashes[i]));
  }
  return hashes;
}

Json TextOrNull(std::string_view text) {
  return text.empty() ? Json() : Json(text);
}

void AddText(const char* name, std::string_view text, Json* json) {
  if (!text.empty()) (*json)[name] = text;
}

// JSON has no bytes.
void BytesToHex(Json* json) {
  if (json->is_binary()) {
    const auto bytes = json->get_binary();
    *json = HexText(bytes);
  } else if (json->is_structured()) {
    for (Json& child : *json) BytesToHex(&child);
  }
}

Json ExtraKeysJson(std::span<const uint8_t> msgpack) {
  Json json = Json::from_msgpack(msgpack, true, false);
  if (json.is_discarded()) return HexText(msgpack);  // a map whose keys are no texts, say
  BytesToHex(&json);
  return json;
}

Json StoredJson(const Event& event) {
  Json json;
  json["type"] = "BlockStored";
  json["block_hashes"] = HashesJson(event);
  json["parent_block_hash"] = event.parent ? HashJson(event.full_parent, *event.parent) : Json();
  json["token_ids"] = event.tokens;
  json["block_size"] = event.block_size;
  json["lora_id"] = event.lora_id ? Json(*event.lora_id) : Json();
  json["medium"] = TextOrNull(event.medium);
  json["lora_name"] = TextOrNull(event.lora_name);
  if (!event.extra_keys.empty()) json["extra_keys"] = ExtraKeysJson(event.extra_keys);
  if (event.group >= 0) json["group_idx"] = event.group;
  AddText("kv_cache_spec_kind", event.spec_kind, &json);
  if (event.sliding_window > 0) json["kv_cache_spec_sliding_window"] = event.sliding_window;
  AddText("locality", event.locality, &json);
  AddText("ownership", event.ownership, &json);
  AddText("session_id", event.session_id, &json);
  if (!event.pods.empty()) {
    std::vector<std::string_view> names;
    wire::ReadEventPods(event.pods, &names);
    json["pods"] = names;
  }
  AddText("pods_model", event.pods_model, &json);
  return json;
}

Json RemovedJson(const Event& event) {
  Json json;
  json["type"] = "BlockRemoved";
  json["block_hashes"] = HashesJson(event);
  json["medium"] = TextOrNull(event.medium);
  if (event.group >= 0) json["group_idx"] = event.group;
  AddText("locality", event.locality, &json);
  AddText("ownership", event.ownership, &json);
  if (!event.remaining_copies.empty()) json["remaining_copy_counts"] = event.remaining_copies;
  AddText("reason", event.reason, &json);
  return json;
}

Json ToJson(const Event& event) {
  switch (event.type) {
    case EventType::kStored:
      return StoredJson(event);
    case EventType::kRemoved:
      return RemovedJson(event);
    case EventType::kCleared:
      break;
  }
  return Json{{"type", "AllBlocksCleared"}};
}

// The lines of one payload.
class Lines {
 public:
  // `name` is null for payloads of nowhere.
  Lines(const MessageName* name, std::string* out) : name_(name), out_(out) {}

  void Skip(std::string_view text, const Json& index) {
    Add(Json{{"error", text}, {"event", index}});
  }
  bool AddBatch(std::span<const uint8_t> payload, wire::EventDecoder* decoder) {
    wire::EventBatch batch;
    std::vector<std::pair<size_t, std::string>> skipped;
    if (const Status status = decoder->Decode(payload, &batch, &skipped); !status) {
      Skip(status.error().what, nullptr);
      return false;
    }
    auto bad = skipped.begin();
    auto good = batch.events.begin();
    for (size_t i = 0; i < batch.events.size() + skipped.size(); ++i) {
      if (bad != skipped.end() && bad->first == i) {
        Skip(bad->second, i);
        ++bad;
      } else {
        HR_CHECK(good != batch.events.end());
        Add(ToJson(*good++));
      }
    }
    return skipped.empty();
  }

 private:
  void Add(const Json& line) {
    if (name_ == nullptr) {
      *out_ += Dumped(line) + '\n';
      return;
    }
    Json named{{"topic", name_->topic}, {"sequence", name_->sequence}};
    named.update(line);
    *out_ += Dumped(named) + '\n';
  }

  const MessageName* const name_;
  std::string* const out_;
};

}  // namespace

std::string EventJson(const Event& event) {
  return Dumped(ToJson(event));
}

bool AppendEventLines(std::string_view hex, wire::EventDecoder* decoder, std::string* out) {
  Lines lines(nullptr, out);
  std::vector<uint8_t> payload;
  if (!ParseHex(hex, &payload)) {
    lines.Skip("not hexadecimal digits", nullptr);
    return false;
  }
  return lines.AddBatch(payload, decoder);
}

bool AppendMessageLines(const MessageName& name, std::span<const uint8_t> payload,
                        wire::EventDecoder* decoder, std::string* out) {
  return Lines(&name, out).AddBatch(payload, decoder);
}

}  // namespace headrace::cli
