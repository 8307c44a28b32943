// Text to token ids and back: the tokenizers of Hugging Face in process, or plain bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace headrace::text {

// Longer texts are refused (kLimit): a prompt of a million tokens is a tenth of it.
inline constexpr size_t kMaxTextBytes = 64u << 20;

// Whether the tokens that the tokenizer puts around every text (such as <s>) are added. Special
// tokens written in the text are found in both cases.
enum class Special : uint8_t { kNone, kAdd };

struct ByteSpan {
  uint32_t begin = 0;
  uint32_t end = 0;
  friend bool operator==(const ByteSpan&, const ByteSpan&) = default;
};

struct Encoding {
  std::vector<uint32_t> ids;
  std::vector<ByteSpan> offsets;  // one a token, in the text with ToUtf8 applied
};

// Where a text may be cut so that the ids of its parts, one after the other, are the ids of the
// whole, whatever follows (text/rust/src/cut.rs has the proof).
struct CutRules {
  bool in_text = false;              // between an ASCII letter and a space
  std::vector<std::string> anchors;  // before each of these that became a token of its own
  bool affixes_known = false;        // else Special::kAdd cannot be told from the text
  std::vector<uint32_t> head;        // what Special::kAdd puts before any text
  std::vector<uint32_t> tail;        // and behind it
};

// Any thread; immutable once made.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Bytes that are not UTF-8 become U+FFFD first (ToUtf8).
  virtual Result<std::vector<uint32_t>> Encode(std::string_view text, Special special) const = 0;
  virtual Result<Encoding> EncodeWithOffsets(std::string_view text, Special special) const = 0;
  virtual Result<std::string> Decode(std::span<const uint32_t> ids, bool skip_special) const = 0;
  virtual const CutRules& cut_rules() const = 0;
  virtual size_t vocab_size() const = 0;  // with added tokens
};

// False where the build has no Rust; LoadTokenizer and ParseTokenizer fail with kUnsupported then.
bool HasTokenizers();

// Of a tokenizer.json, or of a folder that holds one. `why` says what is wrong with it.
Result<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& path, std::string* why);
Result<std::unique_ptr<Tokenizer>> ParseTokenizer(std::string_view json, std::string* why);

// A byte is a token and its id; always there. Takes bytes as they are, adds nothing.
std::unique_ptr<Tokenizer> MakeByteTokenizer();

}  // namespace headrace::text
