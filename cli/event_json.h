// KV cache events as JSON, with vLLM's names of fields. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "wire/event.h"

namespace headrace::cli {

// One object. Hashes that came as bytes are "0x...", integers are decimal texts: no reader of JSON
// keeps 64 bits. What vLLM leaves out is left out.
std::string EventJson(const wire::Event& event);

// Decodes one payload, given as hex, and appends a line for each of its events; one that is skipped
// makes {"error":TEXT,"event":INDEX}, a payload that is no batch one line with a null for the
// event. False when anything was skipped.
bool AppendEventLines(std::string_view hex, wire::EventDecoder* decoder, std::string* out);

// The message that an event came with.
struct MessageName {
  std::string_view topic;
  uint64_t sequence = 0;
};

// The same for the bytes of a payload that was heard; each line begins with its message's topic and
// sequence.
bool AppendMessageLines(const MessageName& name, std::span<const uint8_t> payload,
                        wire::EventDecoder* decoder, std::string* out);

}  // namespace headrace::cli
