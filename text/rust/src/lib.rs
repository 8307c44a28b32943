//! The C ABI (headrace_text.h): tokenizers and chat templates by handle, results as buffers that
//! the caller frees, errors as text. A panic becomes an error; it never reaches the caller.
//! Any thread: handles are immutable once made.

mod continuation;
mod cut;
mod generation;
mod methods;
mod python;
mod template;
mod tokenize;

use std::panic::{catch_unwind, AssertUnwindSafe};

use template::Template;
use tokenize::Tokenizer;

const OK: i32 = 0;
const INVALID: i32 = 1;
const PANICKED: i32 = 2;

/// Bytes lent by the caller; null only with size 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct HrView {
    data: *const u8,
    size: usize,
}

/// Bytes owned by this library until hr_text_bytes_free.
#[repr(C)]
pub struct HrBytes {
    data: *mut u8,
    size: usize,
}

/// Token ids and, where asked for, as many pairs (begin, end) of byte offsets.
#[repr(C)]
pub struct HrTokens {
    ids: *mut u32,
    offsets: *mut u32,
    count: usize,
}

/// Ids lent by the caller; null only with count 0.
#[repr(C)]
pub struct HrIds {
    data: *const u32,
    count: usize,
}

#[repr(C)]
pub struct HrRender {
    messages: HrView,  // JSON, a list
    tools: HrView,     // JSON, a list; empty: none
    documents: HrView, // JSON, a list; empty: none
    variables: HrView, // JSON, an object; empty: none
    continued: HrView, // the field of the last message that is to be continued; empty: none
    now_s: i64,        // the local wall clock as seconds since 1970
    add_generation_prompt: bool,
}

impl HrView {
    /// REQUIRES: the caller's bytes outlive the call.
    unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.size == 0 {
            return &[];
        }
        std::slice::from_raw_parts(self.data, self.size)
    }
}

fn give<T>(values: Vec<T>) -> *mut T {
    Box::into_raw(values.into_boxed_slice()) as *mut T
}

unsafe fn take<T>(values: *mut T, count: usize) {
    if !values.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(values, count)));
    }
}

fn give_bytes(bytes: Vec<u8>) -> HrBytes {
    let size = bytes.len();
    HrBytes { data: give(bytes), size }
}

/// Runs `body`, and tells the caller how it ended; `error` is written only on a failure.
unsafe fn guard(error: *mut HrBytes, body: impl FnOnce() -> Result<(), String>) -> i32 {
    let (code, text) = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return OK,
        Ok(Err(text)) => (INVALID, text),
        Err(cause) => {
            let text = cause
                .downcast_ref::<&str>()
                .map(|x| x.to_string())
                .or_else(|| cause.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| "panicked".to_string());
            (PANICKED, text)
        }
    };
    *error = give_bytes(text.into_bytes());
    code
}

/// A panic is reported as an error of the call, so its own line on standard error is too much.
#[no_mangle]
pub extern "C" fn hr_text_quiet_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_bytes_free(bytes: HrBytes) {
    take(bytes.data, bytes.size);
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_tokens_free(tokens: HrTokens) {
    take(tokens.ids, tokens.count);
    take(tokens.offsets, 2 * tokens.count);
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_tokenizer_load(
    json: HrView,
    out: *mut *mut Tokenizer,
    error: *mut HrBytes,
) -> i32 {
    guard(error, || {
        let tokenizer = Tokenizer::load(json.bytes())?;
        *out = Box::into_raw(Box::new(tokenizer));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_tokenizer_free(tokenizer: *mut Tokenizer) {
    if !tokenizer.is_null() {
        drop(Box::from_raw(tokenizer));
    }
}

/// JSON: vocab_size, cut_in_text, anchors, head, tail (see tokenize.rs).
#[no_mangle]
pub unsafe extern "C" fn hr_text_tokenizer_describe(
    tokenizer: *const Tokenizer,
    out: *mut HrBytes,
    error: *mut HrBytes,
) -> i32 {
    guard(error, || {
        *out = give_bytes((*tokenizer).describe()?.into_bytes());
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: HrView,
    add_special: bool,
    out: *mut HrTokens,
    error: *mut HrBytes,
) -> i32 {
    guard(error, || {
        let ids = (*tokenizer).encode(text.bytes(), add_special)?;
        let count = ids.len();
        *out = HrTokens { ids: give(ids), offsets: std::ptr::null_mut(), count };
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_tokenizer_encode_offsets(
    tokenizer: *const Tokenizer,
    text: HrView,
    add_special: bool,
    out: *mut HrTokens,
    error: *mut HrBytes,
) -> i32 {
    guard(error, || {
        let (ids, offsets) = (*tokenizer).encode_offsets(text.bytes(), add_special)?;
        let count = ids.len();
        *out = HrTokens { ids: give(ids), offsets: give(offsets), count };
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_tokenizer_decode(
    tokenizer: *const Tokenizer,
    ids: HrIds,
    skip_special: bool,
    out: *mut HrBytes,
    error: *mut HrBytes,
) -> i32 {
    guard(error, || {
        let ids = match ids.count {
            0 => &[],
            count => std::slice::from_raw_parts(ids.data, count),
        };
        *out = give_bytes((*tokenizer).decode(ids, skip_special)?.into_bytes());
        Ok(())
    })
}

/// `variables` is a JSON object of what each rendering sees, such as bos_token; empty: none.
#[no_mangle]
pub unsafe extern "C" fn hr_text_template_compile(
    source: HrView,
    variables: HrView,
    out: *mut *mut Template,
    error: *mut HrBytes,
) -> i32 {
    guard(error, || {
        let template = Template::compile(source.bytes(), variables.bytes())?;
        *out = Box::into_raw(Box::new(template));
        Ok(())
    })
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_template_free(template: *mut Template) {
    if !template.is_null() {
        drop(Box::from_raw(template));
    }
}

#[no_mangle]
pub unsafe extern "C" fn hr_text_template_render(
    template: *const Template,
    request: *const HrRender,
    out: *mut HrBytes,
    error: *mut HrBytes,
) -> i32 {
    guard(error, || {
        let request = &*request;
        let text = (*template).render(&template::Request {
            messages: request.messages.bytes(),
            tools: request.tools.bytes(),
            documents: request.documents.bytes(),
            variables: request.variables.bytes(),
            continued: request.continued.bytes(),
            now_s: request.now_s,
            add_generation_prompt: request.add_generation_prompt,
        })?;
        *out = give_bytes(text.into_bytes());
        Ok(())
    })
}
