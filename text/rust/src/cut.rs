//! Where a text may be cut so that the ids of both parts together are the ids of the whole,
//! whatever stands behind the cut. Two kinds of places are proved from tokenizer.json:
//!
//! In text, between an ASCII letter and the space behind it. A split by a pattern is stateless: it
//! looks for the next match from where the last one ended. So nothing but the text up to and with
//! that space decides how the left part is split when
//!   (a) no way through the pattern, finished or not, takes a letter and then a space, and it looks
//!       at most at one character that it does not take, which may as well be missing as be a
//!       space (the one look-ahead known here is that of "\s+(?!\S)", which holds for both);
//! and each such place is a border of pieces when for one of the splits
//!   (b) the pattern takes any single letter, and never nothing: the letter is in a match then, not
//!       between two, and by (a) that match ends at the space.
//! The model sees one piece at a time, so ids follow pieces. The normalizer must not change
//! letters or spaces, nor look across a space; added tokens must not hold one inside.
//!
//! At an anchor, the first byte of an added token that is found in the text as it was given: the
//! search is from left to right, the longest first, so only a token that contains the anchor could
//! take its place, and there must be none.

use regex_syntax::hir::{Class, Hir, HirKind};
use serde_json::Value;

/// What an atom of the pattern may be.
#[derive(Clone, Copy)]
struct Atom {
    letters: u64, // a bit for each of a-z and A-Z
    space: bool,
}

const EVERY_LETTER: u64 = (1 << 52) - 1;

/// A pattern as an automaton of Glushkov: which atoms may begin and end it, which may follow.
struct Part {
    nullable: bool,
    first: Vec<usize>,
    last: Vec<usize>,
}

#[derive(Default)]
struct Automaton {
    atoms: Vec<Atom>,
    follow: Vec<(usize, usize)>,
}

const MAX_ATOMS: usize = 512; // of a pattern; a larger one is not looked into

impl Automaton {
    fn atom(&mut self, holds: impl Fn(char) -> bool) -> Option<Part> {
        if self.atoms.len() == MAX_ATOMS {
            return None;
        }
        let letters = ('a'..='z').chain('A'..='Z').enumerate();
        let letters = letters.fold(0, |all, (at, x)| all | u64::from(holds(x)) << at);
        self.atoms.push(Atom { letters, space: holds(' ') });
        let at = self.atoms.len() - 1;
        Some(Part { nullable: false, first: vec![at], last: vec![at] })
    }

    fn join(&mut self, left: Part, right: Part) -> Part {
        self.connect(&left.last, &right.first);
        let mut first = left.first;
        let mut last = right.last;
        if left.nullable {
            first.extend(&right.first);
        }
        if right.nullable {
            last.extend(&left.last);
        }
        Part { nullable: left.nullable && right.nullable, first, last }
    }

    fn connect(&mut self, from: &[usize], to: &[usize]) {
        self.follow.extend(from.iter().flat_map(|x| to.iter().map(move |y| (*x, *y))));
    }

    /// None: there is something in it that is not understood.
    fn part(&mut self, hir: &Hir) -> Option<Part> {
        let nothing = Part { nullable: true, first: vec![], last: vec![] };
        match hir.kind() {
            HirKind::Empty => Some(nothing),
            HirKind::Look(_) => None,
            HirKind::Capture(capture) => self.part(&capture.sub),
            HirKind::Class(Class::Unicode(class)) => self.atom(|letter| {
                class.ranges().iter().any(|x| x.start() <= letter && letter <= x.end())
            }),
            HirKind::Class(Class::Bytes(_)) => None,
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).ok()?;
                text.chars().try_fold(nothing, |all, one| {
                    let part = self.atom(|x| x == one)?;
                    Some(self.join(all, part))
                })
            }
            HirKind::Concat(parts) => parts.iter().try_fold(nothing, |all, one| {
                let part = self.part(one)?;
                Some(self.join(all, part))
            }),
            HirKind::Alternation(parts) => {
                let none = Part { nullable: false, first: vec![], last: vec![] };
                parts.iter().try_fold(none, |mut all, one| {
                    let part = self.part(one)?;
                    all.first.extend(part.first);
                    all.last.extend(part.last);
                    all.nullable |= part.nullable;
                    Some(all)
                })
            }
            HirKind::Repetition(repetition) => {
                let mut part = self.part(&repetition.sub)?;
                if repetition.min > 1 {
                    // Two or more are more than one; how many more does not matter here.
                    let next = self.part(&repetition.sub)?;
                    self.connect(&next.last, &next.first);
                    return Some(self.join(part, next));
                }
                if repetition.max != Some(1) {
                    let (last, first) = (part.last.clone(), part.first.clone());
                    self.connect(&last, &first);
                }
                part.nullable |= repetition.min == 0;
                Some(part)
            }
        }
    }
}

/// Whether a repetition has a "+" behind it, outside of classes.
fn is_possessive(pattern: &str) -> bool {
    let bytes = pattern.as_bytes();
    let mut depth = 0; // of classes
    let mut at = 0;
    while at < bytes.len() {
        let next = bytes.get(at + 1);
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => {
                depth += 1;
                // A bracket that closes at once is a letter of the class.
                at += usize::from(next == Some(&b'^'));
                at += usize::from(bytes.get(at + 1) == Some(&b']'));
            }
            b']' if depth > 0 => depth -= 1,
            b'?' | b'*' | b'+' if depth == 0 && next == Some(&b'+') => return true,
            _ => {}
        }
        at += 1;
    }
    false
}

/// (a), and whether (b) holds as well; None where (a) is not proved.
fn pattern_forces_cut(pattern: &str) -> Option<bool> {
    // What a possessive repetition refuses to give back, the automaton would.
    if is_possessive(pattern) {
        return None;
    }
    let plain = pattern.replace(r"\s+(?!\S)", r"\s+");
    let hir = regex_syntax::parse(&plain).ok()?;
    let mut automaton = Automaton::default();
    let whole = automaton.part(&hir)?;
    let crosses = |&(from, to): &(usize, usize)| {
        automaton.atoms[from].letters != 0 && automaton.atoms[to].space
    };
    if whole.nullable || automaton.follow.iter().any(crosses) {
        return None;
    }
    let alone = whole.first.iter().filter(|x| whole.last.contains(x));
    let taken = alone.fold(0, |all, x| all | automaton.atoms[*x].letters);
    Some(taken == EVERY_LETTER)
}

const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

fn flag(value: &Value, name: &str) -> bool {
    value[name].as_bool() == Some(true)
}

/// As pattern_forces_cut, for one step of a pre-tokenizer.
fn step_forces_cut(step: &Value) -> Option<bool> {
    match step["type"].as_str()? {
        "ByteLevel" if step["use_regex"].as_bool() == Some(false) => Some(false),
        "ByteLevel" => pattern_forces_cut(GPT2),
        "Digits" => Some(false),
        "Split" => {
            // The other behaviours join matches with what is beside them.
            if !matches!(step["behavior"].as_str()?, "Isolated" | "Removed") {
                return None;
            }
            pattern_forces_cut(step["pattern"]["Regex"].as_str()?)
        }
        _ => None,
    }
}

/// None: not proved. ByteLevel writes a space as a letter, so that nothing may look for spaces
/// behind it; the space that it may put before a piece is the same on both sides of a cut.
fn pre_tokenizer_forces_cut(whole: &Value) -> Option<bool> {
    let alone = std::slice::from_ref(whole);
    let steps = whole["pretokenizers"].as_array().map_or(alone, Vec::as_slice);
    let mut forced = false;
    for (at, step) in steps.iter().enumerate() {
        if step["type"] == "ByteLevel" && at + 1 < steps.len() {
            return None;
        }
        forced |= step_forces_cut(step)?;
    }
    Some(forced)
}

fn normalizer_is_local(step: &Value) -> bool {
    match step["type"].as_str() {
        None => step.is_null(),
        Some("NFC" | "NFD") => true,
        Some("Sequence") => step["normalizers"]
            .as_array()
            .is_some_and(|steps| steps.iter().all(normalizer_is_local)),
        Some(_) => false,
    }
}

fn added_tokens(definition: &Value) -> &[Value] {
    definition["added_tokens"].as_array().map_or(&[], Vec::as_slice)
}

fn content(token: &Value) -> &str {
    token["content"].as_str().unwrap_or("")
}

/// Random merges have no cut at all.
fn is_deterministic(definition: &Value) -> bool {
    definition["model"]["dropout"].as_f64().unwrap_or(0.0) == 0.0
}

pub fn in_text(definition: &Value) -> bool {
    let keeps_cuts = |token: &Value| {
        let holds_space = content(token).trim_start_matches(' ').contains(' ');
        !holds_space && !flag(token, "rstrip") && !flag(token, "single_word")
    };
    is_deterministic(definition)
        && definition["model"]["type"].as_str() == Some("BPE")
        && normalizer_is_local(&definition["normalizer"])
        && added_tokens(definition).iter().all(keeps_cuts)
        && pre_tokenizer_forces_cut(&definition["pre_tokenizer"]) == Some(true)
}

pub fn anchors(definition: &Value) -> Vec<&str> {
    if !is_deterministic(definition) {
        return vec![];
    }
    let tokens = added_tokens(definition);
    let is_plain = |token: &&Value| {
        !["lstrip", "rstrip", "single_word", "normalized"].iter().any(|x| flag(token, x))
    };
    let stands_alone = |token: &&Value| {
        let own = content(token);
        !own.is_empty() && tokens.iter().filter(|x| content(x).contains(own)).count() == 1
    };
    tokens.iter().filter(is_plain).filter(stands_alone).map(content).collect()
}
