//! Values as Python writes them: str(), repr() and json.dumps().

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// What Python's str.strip() and str.isspace() take for white space.
pub fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// The shortest digits that read back as the same number, in Python's choice of notation.
pub fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{number:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

fn is_printable(letter: char) -> bool {
    // The letter before it keeps a combining mark from being escaped.
    let mut escaped = String::from('a');
    escaped.push(letter);
    letter == ' ' || escaped.escape_debug().count() == 2
}

fn string_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\'' | '"' if letter != quote => out.push(letter),
            '\'' | '"' => {
                out.push('\\');
                out.push(letter);
            }
            _ if is_printable(letter) => out.push(letter),
            _ if (letter as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", letter as u32)),
            _ if (letter as u32) < 0x10000 => out.push_str(&format!("\\u{:04x}", letter as u32)),
            _ => out.push_str(&format!("\\U{:08x}", letter as u32)),
        }
    }
    out.push(quote);
    out
}

pub fn float_of(value: &Value) -> Option<f64> {
    if value.kind() != ValueKind::Number || value.is_integer() {
        return None;
    }
    f64::try_from(value.clone()).ok()
}

pub fn pairs(value: &Value) -> Vec<(Value, Value)> {
    value
        .as_object()
        .and_then(|x| x.try_iter_pairs().map(Iterator::collect))
        .unwrap_or_default()
}

fn items(value: &Value) -> Vec<Value> {
    value.try_iter().map(Iterator::collect).unwrap_or_default()
}

fn joined(parts: impl Iterator<Item = String>, open: &str, close: &str) -> String {
    format!("{open}{}{close}", parts.collect::<Vec<_>>().join(", "))
}

pub fn repr(value: &Value) -> String {
    match value.kind() {
        ValueKind::String => string_repr(value.as_str().unwrap_or("")),
        ValueKind::Undefined => "Undefined".into(),
        _ => str(value),
    }
}

pub fn str(value: &Value) -> String {
    match value.kind() {
        ValueKind::Number => float_of(value).map_or_else(|| value.to_string(), float_repr),
        ValueKind::Seq => joined(items(value).iter().map(repr), "[", "]"),
        ValueKind::Map => {
            let parts = pairs(value);
            let text = |(k, v): &(Value, Value)| format!("{}: {}", repr(k), repr(v));
            joined(parts.iter().map(text), "{", "}")
        }
        _ => value.to_string(),
    }
}

/// How json.dumps is asked to write.
pub struct JsonStyle {
    pub ensure_ascii: bool,
    pub indent: Option<String>, // of one level
    pub item_separator: String,
    pub key_separator: String,
    pub sort_keys: bool,
}

fn json_string(text: &str, ensure_ascii: bool, out: &mut String) {
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if (letter as u32) < 0x20 => out.push_str(&format!("\\u{:04x}", letter as u32)),
            _ if ensure_ascii && (letter as u32) > 0x7e => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
            _ => out.push(letter),
        }
    }
    out.push('"');
}

fn not_json(what: ValueKind) -> Error {
    let text = format!("Object of type {what} is not JSON serializable");
    Error::new(ErrorKind::BadSerialization, text)
}

fn json_scalar(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::None => Some("null".into()),
        ValueKind::Bool => Some(if value.is_true() { "true" } else { "false" }.into()),
        ValueKind::Number => Some(match float_of(value) {
            Some(x) if x.is_nan() => "NaN".into(),
            Some(x) if x.is_infinite() => if x > 0.0 { "Infinity" } else { "-Infinity" }.into(),
            _ => str(value),
        }),
        _ => None,
    }
}

impl JsonStyle {
    fn line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            (0..depth).for_each(|_| out.push_str(indent));
        }
    }

    /// Writes `parts` between brackets, each by `one`.
    fn list<T>(
        &self,
        parts: &[T],
        brackets: [char; 2],
        out: &mut String,
        depth: usize,
        one: impl Fn(&T, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(brackets[0]);
        for (at, part) in parts.iter().enumerate() {
            if at > 0 {
                out.push_str(&self.item_separator);
            }
            self.line(depth + 1, out);
            one(part, out)?;
        }
        if !parts.is_empty() {
            self.line(depth, out);
        }
        out.push(brackets[1]);
        Ok(())
    }

    fn key(&self, key: &Value) -> Result<String, Error> {
        match key.as_str() {
            Some(text) => Ok(text.into()),
            None => json_scalar(key).ok_or_else(|| not_json(key.kind())),
        }
    }

    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        match value.kind() {
            ValueKind::String => {
                json_string(value.as_str().unwrap_or(""), self.ensure_ascii, out);
                Ok(())
            }
            ValueKind::Seq | ValueKind::Iterable => {
                self.list(&items(value), ['[', ']'], out, depth, |x, out| {
                    self.write(x, depth + 1, out)
                })
            }
            ValueKind::Map => {
                let mut parts = Vec::new();
                for (key, inner) in pairs(value) {
                    parts.push((self.key(&key)?, inner));
                }
                if self.sort_keys {
                    parts.sort_by(|x, y| x.0.cmp(&y.0));
                }
                self.list(&parts, ['{', '}'], out, depth, |(key, inner), out| {
                    json_string(key, self.ensure_ascii, out);
                    out.push_str(&self.key_separator);
                    self.write(inner, depth + 1, out)
                })
            }
            kind => {
                out.push_str(&json_scalar(value).ok_or_else(|| not_json(kind))?);
                Ok(())
            }
        }
    }

    pub fn dumps(&self, value: &Value) -> Result<String, Error> {
        let mut out = String::new();
        self.write(value, 0, &mut out)?;
        Ok(out)
    }
}
