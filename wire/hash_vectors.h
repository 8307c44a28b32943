// For tests: the vectors of tests/data/hash, each file the work of one peer.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "wire/hash.h"

namespace headrace::wire::vectors {

struct Row {
  std::string name;
  HasherOptions options;
  bool fails = false;  // this peer draws a seed of its own
  bool wide = false;   // ids beyond 32 bits
  std::vector<uint64_t> tokens;
  std::vector<ExtraKeys> extra;
  BlockHash parent, root;         // or empty
  std::vector<BlockHash> hashes;  // of the full blocks
};

std::vector<Row> LoadRows(const std::string& file);
nlohmann::json Load(const std::string& file);  // the whole file

std::vector<uint8_t> FromHex(const std::string& hex);
// REQUIRES: no id is beyond 32 bits.
std::vector<uint32_t> Narrow(const std::vector<uint64_t>& tokens);

}  // namespace headrace::wire::vectors
