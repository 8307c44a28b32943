#include "text/tokenizer.h"

#include <filesystem>

#include "text/files.h"

namespace headrace::text {

namespace {

constexpr uint64_t kMaxTokenizerBytes = 512u << 20;  // of a tokenizer.json; the largest have 40 MB

class ByteTokenizer final : public Tokenizer {
 public:
  ByteTokenizer() {
    rules_.in_text = true;
    rules_.affixes_known = true;
  }

  Result<std::vector<uint32_t>> Encode(std::string_view text, Special) const override {
    if (text.size() > kMaxTextBytes) return Fail(Errc::kLimit, "text is too long");
    std::vector<uint32_t> ids;
    ids.reserve(text.size());
    for (const char byte : text) ids.push_back(static_cast<uint8_t>(byte));
    return ids;
  }

  Result<Encoding> EncodeWithOffsets(std::string_view text, Special special) const override {
    Encoding made;
    HR_TRY(made.ids, Encode(text, special));
    made.offsets.reserve(made.ids.size());
    for (uint32_t at = 0; at < made.ids.size(); ++at) made.offsets.push_back({at, at + 1});
    return made;
  }

  Result<std::string> Decode(std::span<const uint32_t> ids, bool) const override {
    std::string text;
    text.reserve(ids.size());
    for (const uint32_t id : ids) {
      if (id > UINT8_MAX) return Fail(Errc::kInvalid, "the byte tokenizer has ids 0 to 255");
      text.push_back(static_cast<char>(static_cast<uint8_t>(id)));
    }
    return text;
  }

  const CutRules& cut_rules() const override { return rules_; }
  size_t vocab_size() const override { return UINT8_MAX + 1; }

 private:
  CutRules rules_;
};

}  // namespace

std::unique_ptr<Tokenizer> MakeByteTokenizer() {
  return std::make_unique<ByteTokenizer>();
}

Result<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path, std::string* why) {
  std::error_code ignored;
  const bool is_folder = std::filesystem::is_directory(path, ignored);
  const std::string file = is_folder ? path + "/tokenizer.json" : path;
  HR_TRY(const std::string json, ReadFile(file, kMaxTokenizerBytes, why));
  return ParseTokenizer(json, why);
}

}  // namespace headrace::text
