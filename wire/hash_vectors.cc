#include "wire/hash_vectors.h"

#include <fstream>

#include "base/result.h"

namespace headrace::wire::vectors {
namespace {

using Json = nlohmann::json;

BlockHash HashOf(const Json& hex) {
  return BlockHash::Of(FromHex(hex.get<std::string>()));
}

std::vector<uint64_t> TokensOf(const Json& json) {
  if (json.is_array()) return json.get<std::vector<uint64_t>>();
  std::vector<uint64_t> tokens(json["count"].get<size_t>(), json["first"].get<uint64_t>());
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] += i * json["step"].get<uint64_t>();
  return tokens;
}

std::string Repeated(const std::string& text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

KeyAtom AtomOf(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_number()) return json.get<int64_t>();
  if (json.contains("bytes")) return FromHex(json["bytes"]);
  if (json.contains("text")) return Repeated(json["text"], json["times"]);
  return std::vector<uint8_t>(json["times"].get<size_t>(), json["byte"].get<uint8_t>());
}

ExtraKeys KeysOf(const Json& json) {
  ExtraKeys keys;
  if (json.is_null()) return keys;
  for (const Json& key : json) {
    keys.push_back({{}, !key.is_array()});
    if (!key.is_array()) keys.back().atoms.push_back(AtomOf(key));
    if (key.is_array()) {
      for (const Json& atom : key) keys.back().atoms.push_back(AtomOf(atom));
    }
  }
  if (keys.empty()) keys.push_back({{}, true});  // an empty list, not none
  return keys;
}

Row RowOf(const Json& json) {
  Row row;
  row.name = json["algo"].get<std::string>() + ", " + json["name"].get<std::string>();
  row.options.algo = *ParseHashAlgo(json["algo"].get<std::string>());
  if (json.contains("seed")) row.options.seed = json["seed"].get<std::string>();
  row.options.model = json.value("model", "");
  row.options.block_tokens = json.value("block_size", 16u);
  row.fails = json.value("fails", false);
  row.wide = json.value("wide", false);
  if (row.fails) return row;
  row.tokens = TokensOf(json["tokens"]);
  if (json.contains("parent")) row.parent = HashOf(json["parent"]);
  if (json.contains("root")) row.root = HashOf(json["root"]);
  const Json extra = json.value("extra", Json::array());
  for (const Json& keys : extra) row.extra.push_back(KeysOf(keys));
  for (const Json& hash : json[json.contains("low") ? "low" : "hashes"]) {
    row.hashes.push_back(HashOf(hash));
  }
  return row;
}

}  // namespace

std::vector<Row> LoadRows(const std::string& file) {
  const Json all = Load(file);
  std::vector<Row> rows;
  for (const Json& json : all["rows"]) rows.push_back(RowOf(json));
  HR_CHECK(!rows.empty());
  return rows;
}

nlohmann::json Load(const std::string& file) {
  std::ifstream in(std::string(HASH_VECTORS "/") + file);
  HR_CHECK(in.good());
  return Json::parse(in);
}

std::vector<uint8_t> FromHex(const std::string& hex) {
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<uint32_t> Narrow(const std::vector<uint64_t>& tokens) {
  std::vector<uint32_t> narrow(tokens.size());
  for (size_t i = 0; i < tokens.size(); ++i) {
    HR_CHECK(tokens[i] <= UINT32_MAX);
    narrow[i] = static_cast<uint32_t>(tokens[i]);
  }
  return narrow;
}

}  // namespace headrace::wire::vectors
