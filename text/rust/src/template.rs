//! Chat templates as transformers renders them: Jinja with trimmed blocks, loop controls, and
//! transformers' own filter tojson and functions raise_exception and strftime_now.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

use crate::python::{self, JsonStyle};
use crate::{continuation, generation, methods};

const NAME: &str = "chat template";
const NOW: &str = "headrace now_s";
/// Instructions of one rendering: a hundred times those of a long chat, about a second.
const FUEL: u64 = 20_000_000;

pub struct Template {
    environment: Environment<'static>,
    source: String,
    variables: Value,
}

pub struct Request<'a> {
    pub messages: &'a [u8],
    pub tools: &'a [u8],
    pub documents: &'a [u8],
    pub variables: &'a [u8],
    pub continued: &'a [u8],
    pub now_s: i64,
    pub add_generation_prompt: bool,
}

fn indent_of(value: Option<Value>) -> Option<String> {
    let value = value.filter(|x| !x.is_none())?;
    match value.as_str() {
        Some(text) => Some(text.to_string()),
        None => Some(" ".repeat(usize::try_from(value).unwrap_or(0).min(64))),
    }
}

fn json_style(
    ensure_ascii: Option<Value>,
    indent: Option<Value>,
    kwargs: &Kwargs,
) -> Result<JsonStyle, Error> {
    let option = |name| kwargs.get::<Option<Value>>(name);
    let ensure_ascii = ensure_ascii.or(option("ensure_ascii")?);
    let indent = indent_of(indent.or(option("indent")?));
    let separators = option("separators")?.filter(|x| !x.is_none());
    let sort_keys = option("sort_keys")?;
    kwargs.assert_all_used()?;
    let (item, key) = match separators {
        Some(pair) => {
            (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string())
        }
        None => (if indent.is_some() { "," } else { ", " }.to_string(), ": ".to_string()),
    };
    Ok(JsonStyle {
        ensure_ascii: ensure_ascii.is_some_and(|x| x.is_true()),
        indent,
        item_separator: item,
        key_separator: key,
        sort_keys: sort_keys.is_some_and(|x| x.is_true()),
    })
}

fn tojson(
    value: Value,
    ensure_ascii: Option<Value>,
    indent: Option<Value>,
    kwargs: Kwargs,
) -> Result<String, Error> {
    json_style(ensure_ascii, indent, &kwargs)?.dumps(&value)
}

fn join(value: Value, separator: Option<Value>, attribute: Option<Value>) -> Result<String, Error> {
    let separator = separator.map_or_else(String::new, |x| python::str(&x));
    let mut parts = vec![];
    for item in value.try_iter()? {
        parts.push(match &attribute {
            Some(name) => python::str(&item.get_item(name)?),
            None => python::str(&item),
        });
    }
    Ok(parts.join(&separator))
}

fn trim(text: String, set: Option<String>) -> String {
    let drop = |x: char| set.as_ref().map_or_else(|| python::is_space(x), |set| set.contains(x));
    text.trim_matches(drop).to_string()
}

/// What has a length and can be indexed: in Python strings and dictionaries too.
fn is_sequence(value: Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String)
}

/// A truth value is a number in Python.
fn is_number(value: Value) -> bool {
    matches!(value.kind(), ValueKind::Number | ValueKind::Bool)
}

/// Nothing is no list in Python.
fn is_iterable(value: Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

fn raise_exception(message: Value) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, python::str(&message)))
}

/// The C library's strftime, as Python's; what Python itself replaces, of a time without a zone.
fn strftime(format: &str, now_s: i64) -> Result<String, Error> {
    let refused = |what: &str| Error::new(ErrorKind::InvalidOperation, what.to_string());
    let format = expand_python_fields(format);
    let format = std::ffi::CString::new(format).map_err(|_| refused("strftime_now: NUL"))?;
    let mut parts: libc::tm = unsafe { std::mem::zeroed() };
    if unsafe { libc::gmtime_r(&now_s, &mut parts) }.is_null() {
        return Err(refused("strftime_now: the time is out of range"));
    }
    parts.tm_isdst = -1;
    let mut buffer = vec![0u8; 64 * format.as_bytes().len() + 64];
    let size = unsafe {
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), format.as_ptr(), &parts)
    };
    buffer.truncate(size);
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

fn expand_python_fields(format: &str) -> String {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        match letters.next() {
            Some('f') => out.push_str("000000"),
            Some('z' | 'Z') => {}
            Some(other) => {
                out.push('%');
                out.push(other);
            }
            None => out.push('%'),
        }
    }
    out
}

fn strftime_now(state: &State, format: &str) -> Result<String, Error> {
    let now = state.lookup(NOW).and_then(|x| i64::try_from(x).ok()).unwrap_or(0);
    strftime(format, now)
}

fn environment() -> Environment<'static> {
    let mut made = Environment::new();
    made.set_trim_blocks(true);
    made.set_lstrip_blocks(true);
    made.set_fuel(Some(FUEL));
    made.set_auto_escape_callback(|_| AutoEscape::None);
    made.set_unknown_method_callback(methods::call);
    made.set_formatter(|out, _, value| {
        let written = match value.as_str() {
            Some(text) => out.write_str(text),
            None => out.write_str(&python::str(value)),
        };
        written.map_err(|_| Error::new(ErrorKind::WriteFailure, "no room"))
    });
    made.add_filter("tojson", tojson);
    made.add_filter("join", join);
    made.add_filter("trim", trim);
    made.add_filter("string", |value: Value| python::str(&value));
    made.add_test("iterable", is_iterable);
    made.add_test("number", is_number);
    made.add_test("sequence", is_sequence);
    made.add_function("raise_exception", raise_exception);
    made.add_function("strftime_now", strftime_now);
    made
}

/// What raise_exception said, as it was said; anything else with its place in the template.
fn text_of(error: Error) -> String {
    match error.detail() {
        Some(detail) if error.kind() == ErrorKind::InvalidOperation => detail.to_string(),
        _ => error.to_string(),
    }
}

fn utf8<'a>(bytes: &'a [u8], what: &str) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|_| format!("{what}: not UTF-8"))
}

fn tree(bytes: &[u8], what: &str) -> Result<serde_json::Value, String> {
    serde_json::from_slice(bytes).map_err(|x| format!("{what}: {x}"))
}

/// `bytes` as a value of `kind`; nothing at all is None.
fn parse(bytes: &[u8], what: &str, kind: ValueKind) -> Result<Value, String> {
    if bytes.is_empty() {
        return Ok(Value::from(()));
    }
    let value = Value::from_serialize(tree(bytes, what)?);
    match value.kind() {
        x if x == kind || x == ValueKind::None => Ok(value),
        x => Err(format!("{what}: JSON of a {kind} is expected, not of a {x}")),
    }
}

impl Template {
    pub fn compile(source: &[u8], variables: &[u8]) -> Result<Self, String> {
        let source = utf8(source, "template")?;
        let variables = parse(variables, "variables", ValueKind::Map)?;
        let mut environment = environment();
        let renamed = generation::rename(source);
        environment.add_template_owned(NAME, renamed).map_err(text_of)?;
        Ok(Self { environment, source: source.to_string(), variables })
    }

    /// The messages, and what was marked in them.
    fn messages(&self, request: &Request) -> Result<(Value, Option<String>), String> {
        let what = "messages";
        if request.continued.is_empty() {
            let messages = parse(request.messages, what, ValueKind::Seq)?;
            return match messages.is_none() {
                true => Err("messages: missing".into()),
                false => Ok((messages, None)),
            };
        }
        let field = utf8(request.continued, "continue_final_message")?;
        if !self.source.contains(field) {
            return Err(format!("the template does not write the field \"{field}\""));
        }
        let mut marked = tree(request.messages, what)?;
        let before = continuation::mark(&mut marked, field)?;
        Ok((Value::from_serialize(&marked), Some(before)))
    }

    pub fn render(&self, request: &Request) -> Result<String, String> {
        let (messages, before) = self.messages(request)?;
        let own = parse(request.variables, "chat_template_kwargs", ValueKind::Map)?;
        let mut context = python::pairs(&self.variables);
        context.extend(python::pairs(&own));
        // As transformers passes them: there, but None, when the request has none.
        let tools = parse(request.tools, "tools", ValueKind::Seq)?;
        let documents = parse(request.documents, "documents", ValueKind::Seq)?;
        context.extend([
            (Value::from("messages"), messages),
            (Value::from("tools"), tools),
            (Value::from("documents"), documents),
            (Value::from("add_generation_prompt"), Value::from(request.add_generation_prompt)),
            (Value::from(NOW), Value::from(request.now_s)),
        ]);
        let context: Value = context.into_iter().collect::<Value>();
        let template = self.environment.get_template(NAME).map_err(text_of)?;
        let rendered = template.render(context).map_err(text_of)?;
        match before {
            Some(before) => continuation::cut(&rendered, &before),
            None => Ok(rendered),
        }
    }
}
