#include "cli/event_json.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

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

std::string Hex(std::span<const uint8_t> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex = "0x";
  for (const uint8_t byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

Json HashJson(std::span<const uint8_t> full, uint64_t low) {
  return full.empty() ? std::to_string(low) : Hex(full);
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
    *json = Hex(bytes);
  } else if (json->is_structured()) {
    for (Json& child : *json) BytesToHex(&child);
  }
}

Json ExtraKeysJson(std::span<const uint8_t> msgpack) {
  Json json = Json::from_msgpack(msgpack, true, false);
  if (json.is_discarded()) return Hex(msgpack);  // a map whose keys are no texts, say
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

std::string NoBatchJson(std::string_view text) {
  return Dumped(Json{{"error", text}, {"event", nullptr}});
}

}  // namespace

std::string EventJson(const Event& event) {
  switch (event.type) {
    case EventType::kStored:
      return Dumped(StoredJson(event));
    case EventType::kRemoved:
      return Dumped(RemovedJson(event));
    case EventType::kCleared:
      break;
  }
  return Dumped(Json{{"type", "AllBlocksCleared"}});
}

std::string SkippedJson(std::string_view text, size_t index) {
  return Dumped(Json{{"error", text}, {"event", index}});
}

bool AppendEventLines(std::string_view hex, wire::EventDecoder* decoder, std::string* out) {
  std::vector<uint8_t> payload;
  if (!ParseHex(hex, &payload)) {
    *out += NoBatchJson("not hexadecimal digits") + '\n';
    return false;
  }
  wire::EventBatch batch;
  std::vector<std::pair<size_t, std::string>> skipped;
  if (const Status status = decoder->Decode(payload, &batch, &skipped); !status) {
    *out += NoBatchJson(status.error().what) + '\n';
    return false;
  }
  auto bad = skipped.begin();
  auto good = batch.events.begin();
  for (size_t i = 0; i < batch.events.size() + skipped.size(); ++i) {
    if (bad != skipped.end() && bad->first == i) {
      *out += SkippedJson(bad->second, i) + '\n';
      ++bad;
    } else {
      HR_CHECK(good != batch.events.end());
      *out += EventJson(*good++) + '\n';
    }
  }
  return skipped.empty();
}

}  // namespace headrace::cli
