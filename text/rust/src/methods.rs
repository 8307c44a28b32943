//! Methods of strings where minijinja's own differ from Python's or are missing; the rest are
//! minijinja-contrib's.

use minijinja::value::{from_args, Value};
use minijinja::{Error, State};

use crate::python::is_space;

fn strip(text: &str, args: &[Value], left: bool, right: bool) -> Result<Value, Error> {
    let (set,): (Option<&str>,) = from_args(args)?;
    let drop = |x: char| set.map_or_else(|| is_space(x), |set| set.contains(x));
    let text = if left { text.trim_start_matches(drop) } else { text };
    Ok(Value::from(if right { text.trim_end_matches(drop) } else { text }))
}

/// In characters, as Python counts, or -1.
fn place(text: &str, byte: Option<usize>) -> Value {
    Value::from(byte.map_or(-1, |x| text[..x].chars().count() as i64))
}

/// Python's line ends: more than minijinja's "\n" and "\r\n".
fn split_lines(text: &str, keep_ends: bool) -> Vec<Value> {
    let mut lines = vec![];
    let mut begin = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        let ends = "\n\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}";
        if !ends.contains(letter) {
            continue;
        }
        let mut end = at + letter.len_utf8();
        if letter == '\r' && letters.peek().is_some_and(|x| x.1 == '\n') {
            letters.next();
            end += 1;
        }
        lines.push(Value::from(&text[begin..if keep_ends { end } else { at }]));
        begin = end;
    }
    if begin < text.len() {
        lines.push(Value::from(&text[begin..]));
    }
    lines
}

fn is_all(text: &str, args: &[Value], test: impl Fn(char) -> bool) -> Result<Value, Error> {
    let () = from_args(args)?;
    Ok(Value::from(!text.is_empty() && text.chars().all(test)))
}

/// Lower-case letters, and no other case, or the other way round; letters without case are ignored.
fn is_cased(text: &str, want: fn(char) -> bool, other: fn(char) -> bool) -> Value {
    Value::from(text.chars().any(want) && !text.chars().any(other))
}

fn own(text: &str, method: &str, args: &[Value]) -> Option<Result<Value, Error>> {
    let affix = || from_args::<(&str,)>(args).map(|x| x.0);
    Some(match method {
        "strip" => strip(text, args, true, true),
        "lstrip" => strip(text, args, true, false),
        "rstrip" => strip(text, args, false, true),
        "find" => affix().map(|x| place(text, text.find(x))),
        "rfind" => affix().map(|x| place(text, text.rfind(x))),
        "removeprefix" => affix().map(|x| Value::from(text.strip_prefix(x).unwrap_or(text))),
        "removesuffix" => affix().map(|x| Value::from(text.strip_suffix(x).unwrap_or(text))),
        "splitlines" => {
            from_args::<(Option<bool>,)>(args).map(|x| split_lines(text, x.0 == Some(true)).into())
        }
        "isspace" => is_all(text, args, is_space),
        "isalpha" => is_all(text, args, char::is_alphabetic),
        "isalnum" => is_all(text, args, char::is_alphanumeric),
        "isdigit" | "isnumeric" | "isdecimal" => is_all(text, args, char::is_numeric),
        "islower" => Ok(is_cased(text, char::is_lowercase, char::is_uppercase)),
        "isupper" => Ok(is_cased(text, char::is_uppercase, char::is_lowercase)),
        _ => return None,
    })
}

pub fn call(state: &State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(result) = value.as_str().and_then(|text| own(text, method, args)) {
        return result;
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
}
