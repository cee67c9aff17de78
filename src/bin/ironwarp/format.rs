//! How a CSV file is written, for every command that reads one.

use std::path::Path;

use clap::{Args, Command, FromArgMatches};
use ironwarp::data::Csv;
use serde::{Deserialize, Serialize};

/// What a CSV file does not say of itself.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Format {
    /// The first line is data, and columns are named 0, 1, ...
    #[arg(long)]
    pub(crate) no_header: bool,
    /// What stands between fields: a character, or `tab`
    #[arg(long, value_name = "CHARACTER", default_value = ",")]
    pub(crate) delimiter: String,
    /// Words that stand for a missing cell, beside the empty one
    #[arg(long, value_name = "WORDS", value_delimiter = ',')]
    pub(crate) missing_words: Vec<String>,
    /// Columns of words, though they look like numbers or dates
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) categories: Vec<String>,
    /// Columns of dates, with the day first in 1.2.2024 [default: those that are dates for sure]
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub(crate) dates: Vec<String>,
}

impl Default for Format {
    /// What the flags say when none is given.
    fn default() -> Self {
        let flags = Format::augment_args(Command::new("format")).get_matches_from(["format"]);
        Format::from_arg_matches(&flags).expect("invariant: no flag is required")
    }
}

impl Format {
    /// Opens a file of this format.
    pub(crate) fn open(&self, path: &Path) -> anyhow::Result<Csv<'static>> {
        let [words, categories, dates] = [&self.missing_words, &self.categories, &self.dates]
            .map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
        let delimiter = self.delimiter_byte()?;
        let csv = Csv::open(path).map_err(ironwarp::Error::from)?;
        let csv = csv.delimiter(delimiter).missing_words(&words);
        let csv = csv.categories(&categories).dates(&dates);
        Ok(if self.no_header { csv.no_header() } else { csv })
    }

    fn delimiter_byte(&self) -> anyhow::Result<u8> {
        match self.delimiter.as_bytes() {
            b"tab" => Ok(b'\t'),
            [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Ok(*byte),
            _ => anyhow::bail!(
                "the delimiter is one character that is no letter or digit, or `tab`, not `{}`",
                self.delimiter
            ),
        }
    }
}
