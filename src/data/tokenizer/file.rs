//! `tokenizer.json`, the file of Hugging Face's `tokenizers`: what is read of it, and what is refused.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::lists::{Pairs, Vocabulary};
use super::merges::Merges;
use super::pieces::Cut;
use super::{Added, Tokenizer};
use crate::data::text::shortened;
use crate::error::DataError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct Content<'a> {
    #[serde(default)]
    version: Option<String>,
    #[serde(borrow, default)]
    truncation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    padding: Option<&'a RawValue>,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    #[serde(borrow, default)]
    normalizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pre_tokenizer: Option<&'a RawValue>,
    #[serde(borrow, default)]
    post_processor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    decoder: Option<&'a RawValue>,
    model: Model,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddedToken {
    id: u32,
    content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    normalized: bool,
    #[serde(rename = "special")]
    _special: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    #[serde(rename = "type", default)]
    _type: Option<String>,
    #[serde(default)]
    dropout: Option<f64>,
    #[serde(default)]
    unk_token: Option<String>,
    #[serde(default)]
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    vocab: Vocabulary,
    merges: Pairs,
}

/// A part of the file that is told apart by its type.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Typed {
    #[serde(rename = "type", default)]
    name: Option<String>,
}

/// The model's type alone: other models have other fields.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Head {
    model: Typed,
}

/// The settings of a byte-level part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ByteLevel {
    #[serde(rename = "type")]
    _type: String,
    add_prefix_space: bool,
    #[serde(rename = "trim_offsets", default)]
    _trim_offsets: bool,
    #[serde(default = "yes")]
    use_regex: bool,
}

fn yes() -> bool {
    true
}

/// The type of a part, empty where it has none.
fn type_of(part: &RawValue) -> String {
    let typed = serde_json::from_str::<Typed>(part.get()).ok();
    typed.and_then(|typed| typed.name).unwrap_or_default()
}

/// What is said of a part that is not supported.
fn unsupported(part: &RawValue) -> String {
    match &*type_of(part) {
        "" => "it is not supported".into(),
        name => format!("`{}` is not supported", shortened(name)),
    }
}

/// Where in the file something is wrong, and what.
type Fault = (&'static str, String);

/// Reads the text of a file of this name.
pub(super) fn read(path: &Path, text: &str) -> Result<Tokenizer, DataError> {
    let malformed = |place: String, message: String| DataError::Malformed {
        file: path.display().to_string(),
        place,
        message,
    };
    let json = |error: serde_json::Error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        malformed(place, shortened_message(&without_place(&error)))
    };
    let head: Head = serde_json::from_str(text).map_err(json)?;
    if let Some(name) = head.model.name.filter(|name| name != "BPE") {
        let message = format!("`{}` is not read, only BPE is", shortened(&name));
        return Err(malformed("the model".into(), message));
    }
    let content: Content<'_> = serde_json::from_str(text).map_err(json)?;
    tokenizer(content).map_err(|(place, message)| malformed(place.into(), message))
}

/// What the JSON reader says, without where.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.rsplit_once(" at line ").map_or(message.clone(), |(text, _)| text.into())
}

/// A message of the JSON reader, which may quote the file.
fn shortened_message(message: &str) -> String {
    let clean: String = message.chars().filter(|c| !c.is_control()).take(200).collect();
    if clean.len() < message.len() { clean + "..." } else { clean }
}

fn tokenizer(content: Content<'_>) -> Result<Tokenizer, Fault> {
    if let Some(version) = content.version.filter(|version| version != "1.0") {
        return Err(("the version", format!("`{}`, expected 1.0", shortened(&version))));
    }
    let parts = [
        ("truncation", &content.truncation),
        ("padding", &content.padding),
        ("the normalizer", &content.normalizer),
    ];
    for (name, part) in parts {
        if let Some(part) = part {
            return Err((name, unsupported(part)));
        }
    }
    let cut = cut(content.pre_tokenizer)?;
    let bytes = !matches!(cut, Cut::Whitespace);
    if let Some(part) = &content.post_processor
        && !(bytes && type_of(part) == "ByteLevel")
    {
        return Err(("the post-processor", unsupported(part)));
    }
    match (content.decoder.map(type_of).as_deref(), bytes) {
        (None, false) | (Some("ByteLevel"), true) => {}
        (other, _) => {
            let other = other.map_or("none".into(), |name| format!("`{}`", shortened(name)));
            let wanted = if bytes { "`ByteLevel`" } else { "none" };
            return Err((
                "the decoder",
                format!("{other}, expected {wanted} for this pre-tokenizer"),
            ));
        }
    }
    let Model { vocab: vocabulary, merges: pairs, .. } = &content.model;
    let mut listed = Vec::with_capacity(vocabulary.len() + content.added_tokens.len());
    listed.extend(vocabulary.iter());
    listed.sort_unstable();
    if let Some(pair) = listed.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let [a, b] = [0, 1].map(|place| shortened(pair[place].1));
        return Err(("the vocabulary", format!("`{a}` and `{b}` are both {}", pair[0].0)));
    }
    let (added, others) = added(content.added_tokens, vocabulary, &listed)?;
    listed.extend(others.iter().map(|(id, token)| (*id, token.as_str())));
    listed.sort_unstable();
    if let Some((place, (id, _))) = (0..).zip(&listed).find(|(place, (id, _))| place != id) {
        return Err(("the vocabulary", format!("no token is {place}, but one is {id}")));
    }
    if listed.is_empty() {
        return Err(("the vocabulary", "it is empty".into()));
    }
    let unknown = unknown(&content.model)?;
    let merges = merges(vocabulary, pairs)?;
    Ok(Tokenizer {
        tokens: listed.iter().map(|(_, token)| (*token).into()).collect(),
        characters: characters(vocabulary),
        merges,
        added,
        cut,
        unknown,
        fused: content.model.fuse_unk,
    })
}

/// The tokens of one character.
fn characters(vocabulary: &Vocabulary) -> HashMap<char, u32> {
    let single = |(id, token): (u32, &str)| {
        let mut characters = token.chars();
        Some((characters.next()?, id)).filter(|_| characters.next().is_none())
    };
    vocabulary.iter().filter_map(single).collect()
}

fn cut(part: Option<&RawValue>) -> Result<Cut, Fault> {
    const PLACE: &str = "the pre-tokenizer";
    let Some(part) = part else {
        return Err((PLACE, "none, expected `ByteLevel` or `WhitespaceSplit`".into()));
    };
    match &*type_of(part) {
        "WhitespaceSplit" => Ok(Cut::Whitespace),
        "ByteLevel" => {
            let settings: ByteLevel = serde_json::from_str(part.get())
                .map_err(|error| (PLACE, shortened_message(&without_place(&error))))?;
            let prefix = settings.add_prefix_space;
            Ok(if settings.use_regex { Cut::Gpt2 { prefix } } else { Cut::Whole { prefix } })
        }
        other => {
            let other = shortened(other);
            Err((
                PLACE,
                format!("`{other}` is not supported, only `ByteLevel` and `WhitespaceSplit` are"),
            ))
        }
    }
}

/// The token of what is not in the vocabulary; everything else that the model may ask for is refused.
fn unknown(model: &Model) -> Result<Option<u32>, Fault> {
    let not_empty = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let unsupported = [
        ("dropout", model.dropout.is_some_and(|dropout| dropout != 0.0)),
        ("continuing_subword_prefix", not_empty(&model.continuing_subword_prefix)),
        ("end_of_word_suffix", not_empty(&model.end_of_word_suffix)),
        ("byte_fallback", model.byte_fallback),
        ("ignore_merges", model.ignore_merges),
    ];
    if let Some((name, _)) = unsupported.into_iter().find(|(_, asked)| *asked) {
        return Err(("the model", format!("`{name}` is not supported")));
    }
    let Some(token) = &model.unk_token else { return Ok(None) };
    let found = model.vocab.get(token);
    let missing = || ("the model", format!("`unk_token`: `{}` is no token", shortened(token)));
    found.map(Some).ok_or_else(missing)
}

fn merges(vocabulary: &Vocabulary, pairs: &Pairs) -> Result<Merges, Fault> {
    let mut merges = Merges::new();
    for ((a, b), rank) in pairs.iter().zip(0..) {
        let id = |token: &str| {
            let missing = || {
                let token = shortened(token);
                ("the merges", format!("number {rank}: `{token}` is not in the vocabulary"))
            };
            vocabulary.get(token).ok_or_else(missing)
        };
        merges.insert((id(a)?, id(b)?), (rank, id(&format!("{a}{b}"))?));
    }
    match pairs.broken {
        true => Err(("the merges", format!("number {} is no pair", pairs.len()))),
        false => Ok(merges),
    }
}

/// Tokens that are looked for before text is cut, those of unnormalised text first, and those of them
/// that are not in the vocabulary. `by_id` is that, sorted.
fn added(
    listed: Vec<AddedToken>,
    vocabulary: &Vocabulary,
    by_id: &[(u32, &str)],
) -> Result<([Added; 2], BTreeMap<u32, String>), Fault> {
    const PLACE: &str = "the added tokens";
    let (mut groups, mut others) = ([vec![], vec![]], BTreeMap::<u32, String>::new());
    for AddedToken { id, content, single_word, lstrip, rstrip, normalized, .. } in listed {
        let name = shortened(&content);
        let flags = [("single_word", single_word), ("lstrip", lstrip), ("rstrip", rstrip)];
        if let Some((flag, _)) = flags.into_iter().find(|(_, set)| *set) {
            return Err((PLACE, format!("`{flag}` of `{name}` is not supported")));
        }
        if content.is_empty() {
            return Err((PLACE, format!("token {id} is empty")));
        }
        let known = vocabulary.get(&content);
        let place = by_id.binary_search_by_key(&id, |(id, _)| *id).ok();
        let other = place.map(|place| by_id[place].1).or(others.get(&id).map(String::as_str));
        if known.is_some_and(|known| known != id) || other.is_some_and(|other| other != content) {
            return Err((PLACE, format!("`{name}` is {id}, which the vocabulary gives otherwise")));
        }
        if other.is_none() {
            others.insert(id, content.clone());
        }
        groups[usize::from(normalized)].push((content, id));
    }
    Ok((groups.map(Added::new), others))
}
