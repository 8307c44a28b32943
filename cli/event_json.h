// KV cache events as JSON, with vLLM's names of fields. Pure functions; any thread.
#pragma once

#include <string>
#include <string_view>

#include "wire/event.h"

namespace headrace::cli {

// One object. Hashes that came as bytes are "0x...", integers are decimal texts: no reader of JSON
// keeps 64 bits. What vLLM leaves out is left out.
std::string EventJson(const wire::Event& event);

// {"error":TEXT,"event":INDEX}
std::string SkippedJson(std::string_view text, size_t index);

// Decodes one payload, given as hex, and appends a line for each of its events, skipped ones too. A
// payload that is no batch makes one line, with a null for the event. False when anything was
// skipped.
bool AppendEventLines(std::string_view hex, wire::EventDecoder* decoder, std::string* out);

}  // namespace headrace::cli
