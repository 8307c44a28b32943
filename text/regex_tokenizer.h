// Words and punctuation as tokens, for models whose tokenizer is not at hand.
#pragma once

#include <cstddef>
#include <memory>

#include "text/tokenizer.h"

namespace headrace::text {

// What Decode can give back: so many pieces, none longer than this. Those that are encoded later
// take the places of others.
inline constexpr size_t kMaxKnownPieces = 65536;
inline constexpr size_t kMaxKnownPieceBytes = 256;

// A token is a word (letters, digits, underscores and all that is not ASCII, in one run) or another
// character that is no white space, each with the white space behind it; white space that begins
// the text is a token of its own. So the tokens joined are the text. The id of a token is the
// FNV-1a-32 of its bytes. Adds nothing around a text.
//
// Decode gives U+FFFD for what this object has not encoded before, or has forgotten, and the older
// of two pieces of one id. Any thread; threads meet only over a piece that is new to both.
std::unique_ptr<Tokenizer> MakeRegexTokenizer();

}  // namespace headrace::text
