//! Plain text as rows of tokens, for models that say what comes next.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::column::{Column, Values};
use super::dataset::Dataset;
use super::gzip::{Source, read_error};
use super::text::shortened;
use crate::error::DataError;

/// Reads a text file, gzip or not. A byte order mark at its start is left out.
///
/// # Errors
/// If the file cannot be read, its gzip data is damaged, or it is not UTF-8 (the line and the
/// byte are named).
pub fn read_text(path: impl AsRef<Path>) -> Result<String, DataError> {
    let path = path.as_ref();
    let file = path.display().to_string();
    let failure = |source| DataError::Read { path: path.into(), source };
    let source = Source::new(File::open(path).map_err(failure)?);
    let Source { mut reader, gzip } = source.map_err(failure)?;
    let mut bytes = Vec::new();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| read_error(error, &file, gzip, "the text".into()))?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|&&byte| byte == b'\n').count();
        let place = format!("line {line}, byte {}", valid.len());
        let message = format!("{:#04x} is not UTF-8 text", error.as_bytes()[valid.len()]);
        DataError::Malformed { file: file.clone(), place, message }
    })?;
    if text.starts_with('\u{feff}') {
        text.drain(..'\u{feff}'.len_utf8());
    }
    Ok(text)
}

/// The characters of a text, numbered in their sorted order: the tokens of a language model.
///
/// ```
/// use ironwarp::data::Vocabulary;
///
/// let text = "to be or not to be";
/// let vocabulary = Vocabulary::of_characters(text)?;
/// assert_eq!(vocabulary.characters().iter().collect::<String>(), " benort");
/// assert_eq!(vocabulary.encode("bee")?, [1, 2, 2]);
/// assert_eq!(vocabulary.decode(&[6, 4])?, "to");
///
/// let data = vocabulary.windows(text, 8, 4)?;
/// assert_eq!((data.len(), data.features(), data.classes()), (3, 8, 7));
/// # Ok::<(), ironwarp::error::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// Sorted, without repetition.
    characters: Vec<char>,
}

impl Vocabulary {
    /// The characters that come in a text. The text of a vocabulary's own characters gives the
    /// same vocabulary again.
    ///
    /// # Errors
    /// If the text is empty.
    pub fn of_characters(text: &str) -> Result<Vocabulary, DataError> {
        let characters: std::collections::BTreeSet<char> = text.chars().collect();
        match characters.is_empty() {
            true => Err(DataError::Invalid("a vocabulary of an empty text has no tokens".into())),
            false => Ok(Vocabulary { characters: characters.into_iter().collect() }),
        }
    }

    /// The character of each token.
    pub fn characters(&self) -> &[char] {
        &self.characters
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// If a character is not in the vocabulary (its line is named).
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        let mut line = 1;
        let token = |character| {
            let token = self.characters.binary_search(&character).map_err(|_| {
                DataError::Invalid(format!(
                    "text, line {line}: `{}` is not in the vocabulary of {} characters; make it \
                     of all texts",
                    shortened(&character.to_string()),
                    self.characters.len()
                ))
            })?;
            line += usize::from(character == '\n');
            Ok(token as u32)
        };
        text.chars().map(token).collect()
    }

    /// The text of tokens.
    ///
    /// # Errors
    /// If a token is not one of the vocabulary's.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, DataError> {
        let character = |(place, &token): (usize, &u32)| {
            self.characters.get(token as usize).copied().ok_or_else(|| {
                let count = self.characters.len();
                DataError::Invalid(format!(
                    "token {token} at {place} is not in the vocabulary of {count} characters"
                ))
            })
        };
        tokens.iter().enumerate().map(character).collect()
    }

    /// Rows of `length` successive tokens of a text, one beginning every `stride` tokens, as long
    /// as there are whole ones. The input `tokens` and the target `next` have rows of sizes
    /// `[length]` of indices; element i of the target is the token after element i of the input.
    ///
    /// With a stride of `length` each token is the input of one row at most; with a shorter one
    /// rows overlap, and memory grows by length / stride. Rows that overlap do not belong on both
    /// sides of a split: split the text, and make windows of each part.
    ///
    /// # Errors
    /// If `length` or `stride` is 0, the text has fewer than `length` + 1 tokens, or as
    /// [`Vocabulary::encode`].
    pub fn windows(&self, text: &str, length: usize, stride: usize) -> Result<Dataset, DataError> {
        let names: Vec<String> = self.characters.iter().map(char::to_string).collect();
        windows(&self.encode(text)?, &names, length, stride)
    }
}

/// Rows of successive tokens, which have these names.
pub(super) fn windows(
    tokens: &[u32],
    names: &[String],
    length: usize,
    stride: usize,
) -> Result<Dataset, DataError> {
    if length == 0 || stride == 0 {
        return Err(DataError::Invalid(format!(
            "windows of length {length} and stride {stride}: both must be above 0"
        )));
    }
    if tokens.len() <= length {
        return Err(DataError::Invalid(format!(
            "windows of length {length} need {length} tokens and the one after them, the text has {}",
            tokens.len()
        )));
    }
    let rows = |tokens: &[u32]| -> Vec<u32> {
        tokens.windows(length).step_by(stride).flatten().copied().collect()
    };
    let (input, next) = (rows(&tokens[..tokens.len() - 1]), rows(&tokens[1..]));
    let column = |name: &str, values| {
        Column::new(name.into(), vec![length], Values::U32(values), names.into())
    };
    Dataset::new(vec![column("tokens", input)], vec![column("next", next)])
}
