/* The C ABI of text/rust: Hugging Face tokenizers and chat templates by handle. Handles are
 * immutable and serve any thread. A call returns 0, or a code and a text in `error`, which the
 * caller frees like every other result. No panic leaves the library. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { kTextOk = 0, kTextInvalid = 1, kTextPanicked = 2 };

typedef struct HrTokenizer HrTokenizer;
typedef struct HrTemplate HrTemplate;

/* The caller's bytes; null only with size 0. */
typedef struct {
  const uint8_t* data;
  size_t size;
} HrView;

/* The library's bytes, until hr_text_bytes_free. */
typedef struct {
  uint8_t* data;
  size_t size;
} HrBytes;

/* `offsets` holds a begin and an end a token, in bytes, or is null. */
typedef struct {
  uint32_t* ids;
  uint32_t* offsets;
  size_t count;
} HrTokens;

typedef struct {
  const uint32_t* data;
  size_t count;
} HrIds;

typedef struct {
  HrView messages;  /* JSON, a list */
  HrView tools;     /* JSON, a list; empty: none */
  HrView documents; /* JSON, a list; empty: none */
  HrView variables; /* JSON, an object; empty: none */
  HrView continued; /* field of the last message that is to be continued; empty: none */
  int64_t now_s;    /* the local wall clock as seconds since 1970 */
  bool add_generation_prompt;
} HrRender;

/* For the process: a panic, which is an error of its call, is no longer printed as well. */
void hr_text_quiet_panics(void);

void hr_text_bytes_free(HrBytes bytes);
void hr_text_tokens_free(HrTokens tokens);

int32_t hr_text_tokenizer_load(HrView json, HrTokenizer** out, HrBytes* error);
void hr_text_tokenizer_free(HrTokenizer* tokenizer);
/* JSON: {"vocab_size": number, "cut_in_text": bool, "anchors": [text], "head": [id], "tail": [id]}
 */
int32_t hr_text_tokenizer_describe(const HrTokenizer* tokenizer, HrBytes* out, HrBytes* error);
int32_t hr_text_tokenizer_encode(const HrTokenizer* tokenizer, HrView text, bool add_special,
                                 HrTokens* out, HrBytes* error);
int32_t hr_text_tokenizer_encode_offsets(const HrTokenizer* tokenizer, HrView text,
                                         bool add_special, HrTokens* out, HrBytes* error);
int32_t hr_text_tokenizer_decode(const HrTokenizer* tokenizer, HrIds ids, bool skip_special,
                                 HrBytes* out, HrBytes* error);

/* `variables` is a JSON object of what every rendering sees; empty: nothing. */
int32_t hr_text_template_compile(HrView source, HrView variables, HrTemplate** out, HrBytes* error);
void hr_text_template_free(HrTemplate* compiled);
int32_t hr_text_template_render(const HrTemplate* compiled, const HrRender* request, HrBytes* out,
                                HrBytes* error);

#ifdef __cplusplus
}
#endif
