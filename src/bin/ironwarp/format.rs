//! Tables from files, for every command that reads one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use clap::{Args, Command, FromArgMatches};
use ironwarp::Error;
use ironwarp::data::{Csv, Preprocessing, Table};
use ironwarp::error::DataError;
use serde::{Deserialize, Serialize};

use super::AskedWrongly;

/// What a CSV file does not say of itself.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(next_help_heading = "CSV files")]
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
    /// Reads the first rows alone, so many
    #[arg(long, value_name = "ROWS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) head: Option<usize>,
}

impl Default for Format {
    /// What the flags say when none is given.
    fn default() -> Self {
        let flags = Format::augment_args(Command::new("format")).get_matches_from(["format"]);
        Format::from_arg_matches(&flags).expect("invariant: no flag is required")
    }
}

impl Format {
    /// Reads a table: a Parquet file, which its name or its first bytes tell, or a CSV file of this
    /// format, whose columns are then understood as those of a model are. Columns of a Parquet file that
    /// no table can have are left out where `leave` says so of their names, which are returned.
    pub(crate) fn read(
        &self,
        path: &Path,
        like: Option<&Preprocessing>,
        leave: &dyn Fn(&str) -> bool,
    ) -> anyhow::Result<(Table, Vec<String>)> {
        if is_parquet(path).map_err(Error::from)? {
            let text = "--no-header, --delimiter, --missing-words, --categories, --dates and --head \
                        are of CSV files, and this is a Parquet file";
            anyhow::ensure!(*self == Format::default(), AskedWrongly(text.into()));
            return read_parquet(path, like, leave);
        }
        Ok((self.csv(path, like)?.read().map_err(Error::from)?, vec![]))
    }

    /// A CSV file of this format.
    pub(crate) fn csv(
        &self,
        path: &Path,
        like: Option<&Preprocessing>,
    ) -> anyhow::Result<Csv<'static>> {
        let [words, categories, dates] = [&self.missing_words, &self.categories, &self.dates]
            .map(|words| words.iter().map(String::as_str).collect::<Vec<_>>());
        let delimiter = self.delimiter_byte()?;
        let csv = Csv::open(path).map_err(Error::from)?;
        let csv = csv.delimiter(delimiter).missing_words(&words);
        let csv = csv.categories(&categories).dates(&dates);
        let csv = if self.no_header { csv.no_header() } else { csv };
        let csv = self.head.into_iter().fold(csv, Csv::head);
        Ok(like.into_iter().fold(csv, Csv::types_from))
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

/// Whether a file is called Parquet, or begins as such.
fn is_parquet(path: &Path) -> Result<bool, DataError> {
    if path.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet")) {
        return Ok(true);
    }
    // What comes from a pipe can be read but once.
    if !path.metadata().is_ok_and(|of| of.is_file()) {
        return Ok(false);
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut head));
    read.map_err(|source| DataError::Read { path: path.into(), source })?;
    Ok(head == b"PAR1")
}

#[cfg(feature = "parquet")]
fn read_parquet(
    path: &Path,
    like: Option<&Preprocessing>,
    leave: &dyn Fn(&str) -> bool,
) -> anyhow::Result<(Table, Vec<String>)> {
    let parquet = ironwarp::data::Parquet::open(path).map_err(Error::from)?;
    let mut left = parquet.unreadable().map_err(Error::from)?;
    left.retain(|name| leave(name));
    let names: Vec<&str> = left.iter().map(String::as_str).collect();
    let parquet =
        like.into_iter().fold(parquet.ignore(&names), ironwarp::data::Parquet::types_from);
    Ok((parquet.read().map_err(Error::from)?, left))
}

#[cfg(not(feature = "parquet"))]
fn read_parquet(
    path: &Path,
    _: Option<&Preprocessing>,
    _: &dyn Fn(&str) -> bool,
) -> anyhow::Result<(Table, Vec<String>)> {
    let path = path.display();
    anyhow::bail!(AskedWrongly(format!(
        "{path} is a Parquet file, which this program was built without; build it again with \
         `cargo install ironwarp --features parquet`"
    )))
}
