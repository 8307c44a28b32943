//! The tag "generation" of transformers marks what an assistant said; rendering does not change by
//! it but for a scope of its own, which "with" has too. So each such tag is renamed before the
//! template is parsed, but not inside comments, raw blocks and strings.

/// The next tag from `from` on: where it begins, and where its end stands.
fn next_tag(source: &str, from: usize) -> Option<(usize, &'static str)> {
    let place = source[from..].find("{").map(|x| x + from)?;
    match source.as_bytes().get(place + 1) {
        Some(b'{') => Some((place, "}}")),
        Some(b'%') => Some((place, "%}")),
        Some(b'#') => Some((place, "#}")),
        _ => next_tag_after(source, place + 1),
    }
}

fn next_tag_after(source: &str, mut from: usize) -> Option<(usize, &'static str)> {
    while let Some(place) = source[from..].find("{").map(|x| x + from) {
        match source.as_bytes().get(place + 1) {
            Some(b'{' | b'%' | b'#') => return next_tag(source, place),
            _ => from = place + 1,
        }
    }
    None
}

/// Behind the end of the tag at `begin`; strings may hold what looks like its end.
fn end_of_tag(source: &str, begin: usize, close: &str) -> usize {
    let bytes = source.as_bytes();
    let mut at = begin + 2;
    let mut quote = None;
    while at < bytes.len() {
        let byte = bytes[at];
        if quote.is_some() && byte == b'\\' {
            at += 1;
        } else if quote == Some(byte) {
            quote = None;
        } else if quote.is_none() && close != "#}" && matches!(byte, b'"' | b'\'') {
            quote = Some(byte);
        } else if quote.is_none() && bytes[at..].starts_with(close.as_bytes()) {
            return at + 2;
        }
        at += 1;
    }
    bytes.len()
}

/// The tag's only word, without the marks that trim white space.
fn word(tag: &str) -> &str {
    let inner = tag.strip_prefix("{%").and_then(|x| x.strip_suffix("%}")).unwrap_or("");
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    inner.strip_suffix(['-', '+']).unwrap_or(inner).trim()
}

/// Behind the raw block whose opening tag ends at `from`.
fn end_of_raw(source: &str, mut from: usize) -> usize {
    while let Some(begin) = source[from..].find("{%").map(|x| x + from) {
        let end = source[begin..].find("%}").map_or(source.len(), |x| begin + x + 2);
        if word(&source[begin..end]) == "endraw" {
            return end;
        }
        from = begin + 2;
    }
    source.len()
}

pub fn rename(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut done = 0;
    while let Some((begin, close)) = next_tag(source, done) {
        let mut end = end_of_tag(source, begin, close);
        out.push_str(&source[done..begin]);
        let tag = &source[begin..end];
        match word(tag) {
            "generation" => out.push_str(&tag.replacen("generation", "with", 1)),
            "endgeneration" => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            "raw" => {
                end = end_of_raw(source, end);
                out.push_str(&source[begin..end]);
            }
            _ => out.push_str(tag),
        }
        done = end;
    }
    out.push_str(&source[done..]);
    out
}
