//! A tokenizer.json of Hugging Face, as the tokenizers package reads it.

use serde_json::{json, Value};

use crate::cut;

pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    definition: Value, // without the vocabulary
}

fn text_of(error: tokenizers::Error) -> String {
    error.to_string()
}

/// Where `inner` stands in `outer`, when it stands there once.
fn only_place(outer: &[u32], inner: &[u32]) -> Option<usize> {
    let mut places = outer.windows(inner.len()).enumerate().filter(|(_, x)| *x == inner);
    let first = places.next()?.0;
    places.next().is_none().then_some(first)
}

impl Tokenizer {
    /// Truncation and padding of the file are left out, as transformers leaves them out: a prompt
    /// is tokenized whole.
    pub fn load(json: &[u8]) -> Result<Self, String> {
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(text_of)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(text_of)?;
        let mut definition: Value = serde_json::from_slice(json).map_err(|x| x.to_string())?;
        if let Some(model) = definition.get_mut("model").and_then(Value::as_object_mut) {
            model.retain(|name, _| name == "type" || name == "dropout");
        }
        Ok(Self { inner, definition })
    }

    pub fn encode(&self, text: &[u8], add_special: bool) -> Result<Vec<u32>, String> {
        let text = String::from_utf8_lossy(text);
        let encoding = self.inner.encode_fast(text.as_ref(), add_special).map_err(text_of)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The offsets are of bytes of the text after bytes that are not UTF-8 were replaced.
    pub fn encode_offsets(
        &self,
        text: &[u8],
        add_special: bool,
    ) -> Result<(Vec<u32>, Vec<u32>), String> {
        let text = String::from_utf8_lossy(text);
        let encoding = self.inner.encode(text.as_ref(), add_special).map_err(text_of)?;
        let offsets =
            encoding.get_offsets().iter().flat_map(|x| [x.0 as u32, x.1 as u32]).collect();
        Ok((encoding.get_ids().to_vec(), offsets))
    }

    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, String> {
        self.inner.decode(ids, skip_special).map_err(text_of)
    }

    /// vocab_size: with added tokens. cut_in_text, anchors: where a text may be cut (cut.rs).
    /// head, tail: what add_special puts around any text; null when that cannot be told.
    pub fn describe(&self) -> Result<String, String> {
        let probe = b"cut here";
        let bare = self.encode(probe, false)?;
        let whole = self.encode(probe, true)?;
        let place = if bare.is_empty() { None } else { only_place(&whole, &bare) };
        Ok(json!({
            "vocab_size": self.inner.get_vocab_size(true),
            "cut_in_text": cut::in_text(&self.definition),
            "anchors": cut::anchors(&self.definition),
            "head": place.map(|x| &whole[..x]),
            "tail": place.map(|x| &whole[x + bare.len()..]),
        })
        .to_string())
    }
}
