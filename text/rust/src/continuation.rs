//! continue_final_message of transformers: the rendered text ends where the last message does, so
//! that a model goes on writing it. The message is marked, and what follows the mark is cut off.

use serde_json::Value;

use crate::python::is_space;

const MARK: &str = "CONTINUE_FINAL_MESSAGE_TAG ";

fn text_block(blocks: &mut [Value]) -> Option<&mut String> {
    let block = blocks.iter_mut().rev().find(|x| x.get("text").is_some())?;
    match block.get_mut("text") {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Marks the field of the last message; returns what stood there.
pub fn mark(messages: &mut Value, field: &str) -> Result<String, String> {
    let last = messages.as_array_mut().and_then(|x| x.last_mut());
    let text = match last.and_then(|x| x.get_mut(field)) {
        Some(Value::String(text)) => Some(text),
        Some(Value::Array(blocks)) => text_block(blocks),
        _ => None,
    };
    let text = text.ok_or_else(|| format!("the last message has no text in \"{field}\""))?;
    let before = text.clone();
    text.push_str(MARK);
    Ok(before)
}

/// `rendered` up to the end of the marked message.
pub fn cut(rendered: &str, before: &str) -> Result<String, String> {
    let place = rendered.rfind(MARK.trim_end());
    let place = place.filter(|_| rendered.contains(before.trim_matches(is_space)));
    let place = place.ok_or("the template leaves out a part of the message to be continued")?;
    if rendered[place..].starts_with(MARK) {
        return Ok(rendered[..place].to_string());
    }
    // The template trims messages.
    Ok(rendered[..place].trim_end_matches(is_space).to_string())
}
