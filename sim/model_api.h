// What is told of models and adapters, and the bodies that load and unload one. Pure functions; any
// thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sim/api_error.h"
#include "sim/lora.h"

namespace headrace::sim {

struct ModelList {
  std::string model;
  std::vector<std::string> aliases;  // as it is served; the first one is displayed
  std::vector<LoraAdapter> adapters;
  uint32_t max_model_len = 0;
  int64_t created_s = 0;  // seconds since 1970
};
// GET /v1/models.
std::string ModelsBody(const ModelList& list);

// GET /version.
std::string VersionBody(std::string_view version);

struct LoraLoad {
  LoraAdapter adapter;
  bool in_place = false;  // replaces one of the same name
};
// POST /v1/load_lora_adapter.
ApiResult<LoraLoad> ParseLoraLoad(std::string_view body);
// POST /v1/unload_lora_adapter: the adapter's name.
ApiResult<std::string> ParseLoraUnload(std::string_view body);

// There is one of this name already, or there is none.
ApiError LoraExists(std::string_view name);
ApiError LoraUnknown(std::string_view name);
// 404 of a request whose model is neither an alias nor an adapter.
ApiError ModelUnknown(std::string_view model);

}  // namespace headrace::sim
