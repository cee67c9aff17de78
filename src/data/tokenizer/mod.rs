//! Byte-pair encoding by the files of Hugging Face's `tokenizers`.

mod file;
mod lists;
mod merges;
mod pieces;

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use super::dataset::Dataset;
use super::text::shortened;
use super::vocabulary::{read_text, windows};
use crate::error::DataError;
use merges::{Merges, merge};
use pieces::{Cut, gpt2_piece};

/// Tokens of several characters, by byte-pair encoding (Sennrich et al. 2016), as a `tokenizer.json`
/// of Hugging Face's `tokenizers` tells them.
///
/// Read are models of type `BPE` with the pre-tokenizer `ByteLevel`, as GPT-2 has it, where every byte
/// of a text is a character and all is encoded, or `WhitespaceSplit`, and added tokens such as
/// `<|endoftext|>`, which stand for themselves in a text. Whatever else such a file may ask for, as
/// normalizers, other pre-tokenizers or tokens around a text, is refused by name.
///
/// ```no_run
/// use ironwarp::data::{Tokenizer, read_text};
///
/// let tokenizer = Tokenizer::read("tokenizer.json")?;
/// let data = tokenizer.windows(&read_text("book.txt")?, 128, 128)?;
/// assert_eq!(data.classes(), tokenizer.tokens().len());
/// # Ok::<(), ironwarp::error::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Tokenizer {
    tokens: Vec<String>,
    /// The tokens of one character, with which encoding begins.
    characters: HashMap<char, u32>,
    merges: Merges,
    added: [Added; 2],
    cut: Cut,
    /// The token of characters that are not in the vocabulary.
    unknown: Option<u32>,
    /// Whether such characters in a row are one token.
    fused: bool,
}

/// Tokens that are found in a text as they are.
#[derive(Clone, Debug, Default)]
struct Added {
    /// By first byte, the longest first.
    by_byte: HashMap<u8, Vec<(String, u32)>>,
}

impl Added {
    fn new(tokens: Vec<(String, u32)>) -> Added {
        let mut by_byte: HashMap<u8, Vec<(String, u32)>> = HashMap::new();
        for (content, id) in tokens {
            by_byte.entry(content.as_bytes()[0]).or_default().push((content, id));
        }
        by_byte.values_mut().for_each(|list| list.sort_by_key(|(x, _)| std::cmp::Reverse(x.len())));
        Added { by_byte }
    }

    /// The first place of a text where such a token stands, of several the longest.
    fn find(&self, text: &str) -> Option<(usize, &str, u32)> {
        if self.by_byte.is_empty() {
            return None;
        }
        text.bytes().enumerate().find_map(|(at, byte)| {
            let list = self.by_byte.get(&byte)?;
            let fits = |(content, _): &&(String, u32)| {
                text.as_bytes()[at..].starts_with(content.as_bytes())
            };
            list.iter().find(fits).map(|(content, id)| (at, content.as_str(), *id))
        })
    }
}

/// The character that stands for each byte in byte-level vocabularies: printable ones of Latin-1 for
/// themselves, the others from U+0100 on.
static CHARACTERS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut next = 256;
    std::array::from_fn(|byte| match byte {
        0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff => byte as u8 as char,
        _ => {
            next += 1;
            char::from_u32(next - 1).expect("invariant: below U+0200")
        }
    })
});

/// The bytes that characters stand for.
static BYTES: LazyLock<HashMap<char, u8>> =
    LazyLock::new(|| CHARACTERS.iter().copied().zip(0..=255).collect());

impl Tokenizer {
    /// Reads a `tokenizer.json`, which takes at most twelve times its text's length of
    /// memory.
    ///
    /// # Errors
    /// If the file cannot be read, is no such JSON (line and column are named), contradicts itself, or
    /// asks for what is not supported.
    pub fn read(path: impl AsRef<Path>) -> Result<Tokenizer, DataError> {
        let path = path.as_ref();
        file::read(path, &read_text(path)?)
    }

    /// The text of each token, by its number; in byte-level vocabularies with a character for each
    /// byte, such as `Ġ` for a space.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The tokens of a text. Nothing is put around it.
    ///
    /// # Errors
    /// If a character is not in the vocabulary, which has no token for such ones (its line is named).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let mut result = vec![];
        self.split(&self.added, text, 0, &mut result).map_err(|(at, symbol)| {
            let line = 1 + text[..at].matches('\n').count();
            DataError::Invalid(format!(
                "text, line {line}: `{}` is not in the vocabulary of {} tokens",
                shortened(&symbol.to_string()),
                self.tokens.len()
            ))
        })?;
        Ok(result)
    }

    /// The text of tokens: of byte-level ones their bytes, with U+FFFD in place of what is not UTF-8;
    /// of others the tokens with spaces between them, whether a word is one token or several.
    ///
    /// # Errors
    /// If a token is not one of the vocabulary's.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, DataError> {
        let text = |(place, &token): (usize, &u32)| {
            self.tokens.get(token as usize).ok_or_else(|| {
                let count = self.tokens.len();
                DataError::Invalid(format!(
                    "token {token} at {place} is not in the vocabulary of {count} tokens"
                ))
            })
        };
        let texts: Vec<&String> =
            tokens.iter().enumerate().map(text).collect::<Result<_, DataError>>()?;
        if self.cut == Cut::Whitespace {
            return Ok(texts.iter().map(|text| text.as_str()).collect::<Vec<_>>().join(" "));
        }
        let mut all = vec![];
        for text in texts {
            let bytes: Option<Vec<u8>> = text.chars().map(|c| BYTES.get(&c).copied()).collect();
            all.extend(bytes.unwrap_or_else(|| text.as_bytes().to_vec()));
        }
        Ok(String::from_utf8_lossy(&all).into_owned())
    }

    /// Rows of successive tokens of a text, as [`Vocabulary::windows`](super::Vocabulary::windows)
    /// makes them.
    ///
    /// # Errors
    /// As there, and as [`Tokenizer::encode`].
    pub fn windows(&self, text: &str, length: usize, stride: usize) -> Result<Dataset, DataError> {
        windows(&self.encode(text)?, &self.tokens, length, stride)
    }

    /// Splits at added tokens, and encodes what is between. The text begins at byte `at` of the whole;
    /// an error is a symbol that is not known, and where its piece begins.
    fn split(
        &self,
        groups: &[Added],
        mut text: &str,
        mut at: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), (usize, char)> {
        let Some((group, others)) = groups.split_first() else { return self.pieces(text, at, out) };
        while let Some((place, content, id)) = group.find(text) {
            self.split(others, &text[..place], at, out)?;
            out.push(id);
            let end = place + content.len();
            (text, at) = (&text[end..], at + end);
        }
        self.split(others, text, at, out)
    }

    /// Encodes a text without added tokens, piece by piece.
    fn pieces(&self, text: &str, mut at: usize, out: &mut Vec<u32>) -> Result<(), (usize, char)> {
        let (Cut::Gpt2 { prefix } | Cut::Whole { prefix }) = self.cut else {
            for word in text.split_inclusive(char::is_whitespace) {
                self.word(word.trim_end_matches(char::is_whitespace).chars(), at, out)?;
                at += word.len();
            }
            return Ok(());
        };
        let spaced =
            (prefix && !text.is_empty() && !text.starts_with(' ')).then(|| format!(" {text}"));
        let mut rest = spaced.as_deref().unwrap_or(text);
        while !rest.is_empty() {
            let piece = if matches!(self.cut, Cut::Gpt2 { .. }) { gpt2_piece(rest) } else { rest };
            let begin = at + text.len().saturating_sub(rest.len());
            self.word(piece.bytes().map(|byte| CHARACTERS[usize::from(byte)]), begin, out)?;
            rest = &rest[piece.len()..];
        }
        Ok(())
    }

    /// Encodes a piece that begins at byte `at`.
    fn word(
        &self,
        symbols: impl Iterator<Item = char>,
        at: usize,
        out: &mut Vec<u32>,
    ) -> Result<(), (usize, char)> {
        let (mut tokens, mut was_unknown) = (vec![], false);
        for symbol in symbols {
            let known = self.characters.get(&symbol).copied();
            let token = known.or(self.unknown).ok_or((at, symbol))?;
            if known.is_some() || !(self.fused && was_unknown) {
                tokens.push(token);
            }
            was_unknown = known.is_none();
        }
        out.extend(merge(tokens, &self.merges));
        Ok(())
    }
}
