#include <nlohmann/json.hpp>

#include "text/rust_values.h"
#include "text/tokenizer.h"

namespace headrace::text {

namespace {

struct FreeTokenizer {
  void operator()(HrTokenizer* handle) const { hr_text_tokenizer_free(handle); }
};
using Handle = std::unique_ptr<HrTokenizer, FreeTokenizer>;

class HfTokenizer final : public Tokenizer {
 public:
  HfTokenizer(Handle handle, CutRules rules, size_t vocab_size)
      : handle_(std::move(handle)), rules_(std::move(rules)), vocab_size_(vocab_size) {}

  Result<std::vector<uint32_t>> Encode(std::string_view text, Special special) const override {
    if (text.size() > kMaxTextBytes) return Fail(Errc::kLimit, "text is too long");
    RustTokens tokens;
    RustBytes error;
    const int32_t code = hr_text_tokenizer_encode(
        handle_.get(), ViewOf(text), special == Special::kAdd, &tokens.value, &error.value);
    if (code != kTextOk) return Fail(CodeOf(code), "the tokenizer refuses the text");
    return std::vector<uint32_t>(tokens.value.ids, tokens.value.ids + tokens.value.count);
  }

  Result<Encoding> EncodeWithOffsets(std::string_view text, Special special) const override {
    if (text.size() > kMaxTextBytes) return Fail(Errc::kLimit, "text is too long");
    RustTokens tokens;
    RustBytes error;
    const int32_t code = hr_text_tokenizer_encode_offsets(
        handle_.get(), ViewOf(text), special == Special::kAdd, &tokens.value, &error.value);
    if (code != kTextOk) return Fail(CodeOf(code), "the tokenizer refuses the text");
    const HrTokens& made = tokens.value;
    Encoding out;
    out.ids.assign(made.ids, made.ids + made.count);
    out.offsets.reserve(made.count);
    for (size_t at = 0; at < made.count; ++at) {
      out.offsets.push_back({made.offsets[2 * at], made.offsets[2 * at + 1]});
    }
    return out;
  }

  Result<std::string> Decode(std::span<const uint32_t> ids, bool skip_special) const override {
    RustBytes text;
    RustBytes error;
    const int32_t code = hr_text_tokenizer_decode(handle_.get(), {ids.data(), ids.size()},
                                                  skip_special, &text.value, &error.value);
    if (code != kTextOk) return Fail(CodeOf(code), "the tokenizer refuses the ids");
    return text.str();
  }

  const CutRules& cut_rules() const override { return rules_; }
  size_t vocab_size() const override { return vocab_size_; }

 private:
  Handle handle_;
  CutRules rules_;
  size_t vocab_size_;
};

// What our own library wrote.
CutRules RulesOf(const nlohmann::json& description) {
  CutRules rules;
  rules.in_text = description.at("cut_in_text").get<bool>();
  rules.anchors = description.at("anchors").get<std::vector<std::string>>();
  rules.affixes_known = !description.at("head").is_null();
  if (rules.affixes_known) {
    rules.head = description.at("head").get<std::vector<uint32_t>>();
    rules.tail = description.at("tail").get<std::vector<uint32_t>>();
  }
  return rules;
}

}  // namespace

bool HasTokenizers() {
  return true;
}

Result<std::unique_ptr<Tokenizer>> ParseTokenizer(std::string_view json, std::string* why) {
  QuietPanics();
  RustBytes error;
  HrTokenizer* loaded = nullptr;
  int32_t code = hr_text_tokenizer_load(ViewOf(json), &loaded, &error.value);
  if (code != kTextOk) {
    *why = "tokenizer.json: " + error.str();
    return Fail(CodeOf(code), "the tokenizer cannot be read");
  }
  Handle handle(loaded);
  RustBytes description;
  code = hr_text_tokenizer_describe(handle.get(), &description.value, &error.value);
  if (code != kTextOk) {
    *why = "tokenizer.json: " + error.str();
    return Fail(CodeOf(code), "the tokenizer cannot be used");
  }
  const auto parsed = nlohmann::json::parse(description.str(), nullptr, false);
  HR_CHECK(parsed.is_object());
  return std::make_unique<HfTokenizer>(std::move(handle), RulesOf(parsed),
                                       parsed.at("vocab_size").get<size_t>());
}

}  // namespace headrace::text
