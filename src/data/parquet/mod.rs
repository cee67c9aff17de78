//! Parquet files into tables. `footer` says where columns are, `page` opens their pages, `values` and
//! `packed` decode them, `meaning` makes cells of them, `column` joins these.
//!
//! Nothing that a file claims is believed: lengths are compared with what is there, and a file may
//! unfold to 1032 times its length and 32 MiB, pages and cells together.

mod column;
mod footer;
mod meaning;
mod packed;
mod page;
mod thrift;
mod values;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use self::column::Builder;
use self::footer::Footer;
use self::page::Budget;
use super::dataset::Dataset;
use super::preprocessing::Preprocessing;
use super::recipe::Recipe;
use super::table::{Kind, Table, TableColumn};
use super::text::shortened;
use super::threads::in_order;
use crate::error::DataError;

/// A Parquet file about to be read. It becomes the [`Table`] that a CSV file of the same cells would:
///
/// - integers, floats and decimal numbers are numbers; a NaN is a missing cell, an infinity is refused;
/// - text is categories, without the space around it, and missing where it is empty;
/// - booleans are the categories `false` and `true`;
/// - dates and timestamps are dates, which are refused outside of the years 0 to 9999; times of a day are categories, as ISO 8601 writes them:
///   `23:59:59.5`;
/// - nulls are missing cells.
///
/// Pages may be compressed with Snappy, gzip, Zstandard or LZ4, in all encodings of the format but
/// the deprecated ones. Columns that are nested or hold other things are refused, unless they are
/// [ignored](Parquet::ignore).
///
/// ```no_run
/// use ironwarp::data::Dataset;
///
/// let (train, test) = Dataset::parquet("digits.parquet")?.target("digit")?.split(0.8, 42)?;
/// # Ok::<(), ironwarp::error::DataError>(())
/// ```
pub struct Parquet {
    source: Source,
    ignored: Vec<String>,
    /// Of columns that are known.
    kinds: HashMap<String, Kind>,
}

impl Dataset {
    /// Opens a Parquet file; [`Parquet`] says how it is read.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn parquet(path: impl AsRef<Path>) -> Result<Parquet, DataError> {
        Parquet::open(path)
    }
}

impl Parquet {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Parquet, DataError> {
        let path = path.as_ref();
        let failure = |source| DataError::Read { path: PathBuf::from(path), source };
        let file = File::open(path).map_err(failure)?;
        let length = file.metadata().map_err(failure)?.len();
        let name = path.display().to_string();
        let source = Source { bytes: Bytes::File(file), length, name };
        Ok(Parquet { source, ignored: Vec::new(), kinds: HashMap::new() })
    }

    /// Reads a file's bytes; errors call it `<memory>`.
    pub fn new(bytes: Vec<u8>) -> Parquet {
        let length = bytes.len() as u64;
        let source = Source { bytes: Bytes::Memory(bytes), length, name: "<memory>".into() };
        Parquet { source, ignored: Vec::new(), kinds: HashMap::new() }
    }

    /// Columns that are not read; the table is without them.
    pub fn ignore(mut self, columns: &[&str]) -> Self {
        self.ignored.extend(columns.iter().map(|&name| name.into()));
        self
    }

    /// Takes columns for what a fitted preprocessing takes them for, where the file leaves that open:
    /// text is read as [`Csv::types_from`](super::Csv::types_from) reads it, numbers are categories
    /// where these are expected, and a column that is all missing is of any kind. What a file types
    /// otherwise stays as it is, and is refused by the preprocessing.
    pub fn types_from(mut self, preprocessing: &Preprocessing) -> Self {
        self.kinds.extend(preprocessing.kinds().map(|(name, kind)| (name.into(), kind)));
        self
    }

    /// The names of the columns that no table can have: nested ones, and those that hold neither
    /// numbers, text, booleans nor times. Only the footer is read.
    ///
    /// # Errors
    /// If the file cannot be read, is no Parquet file, or its footer is damaged.
    pub fn unreadable(&self) -> Result<Vec<String>, DataError> {
        Footer::unreadable(&self.source)
    }

    /// [`Parquet::read`], then [`Table::target`].
    ///
    /// # Errors
    /// Those of both.
    pub fn target(self, name: &str) -> Result<Recipe, DataError> {
        self.read()?.target(name)
    }

    /// [`Parquet::read`], then [`Table::targets`].
    ///
    /// # Errors
    /// Those of both.
    pub fn targets(self, names: &[&str]) -> Result<Recipe, DataError> {
        self.read()?.targets(names)
    }

    /// Reads the whole file, its columns on several threads. A number takes 8 bytes, a word 4 and once
    /// its text; beside them there is, for each thread, a column's piece of a row group as it is
    /// stored, and one page of it.
    ///
    /// # Errors
    /// With the column and the row group, or the row: if the file cannot be read, is no Parquet file,
    /// is cut, damaged, encrypted or compressed in another way, text is not UTF-8, a number is not
    /// finite, a column is nested or holds what no table has, one to be ignored does not exist, there
    /// are no rows, a date is not of the years 0 to 9999, or the file unfolds to more than 1032 times
    /// its length and 32 MiB.
    pub fn read(self) -> Result<Table, DataError> {
        let footer = Footer::read(&self.source, &self.ignored)?;
        let (count, length) = (footer.columns.len(), self.source.length);
        let budget = Budget::new(length);
        let columns = match in_order(count, |index| self.column(&footer, index, &budget)) {
            // Which column asked for too much hung on the threads; in their order it does not.
            Err(_) if budget.is_exceeded() => {
                let budget = Budget::new(length);
                (0..count).map(|index| self.column(&footer, index, &budget)).collect()
            }
            columns => columns,
        };
        Table::from_parts(self.source.name, Vec::new(), columns?)
    }

    /// The column of an index.
    fn column(
        &self,
        footer: &Footer,
        index: usize,
        budget: &Budget,
    ) -> Result<TableColumn, DataError> {
        let (column, source) = (&footer.columns[index], &self.source);
        let mut builder = Builder::new(column, budget);
        for (number, group) in footer.groups.iter().enumerate() {
            let chunk = &group.chunks[index];
            let fault = |what| {
                let name = shortened(&column.name);
                source.fault(&format!("column `{name}`, row group {number}"), what)
            };
            // Many groups may name the same bytes.
            budget.spend(chunk.length as usize).map_err(fault)?;
            let bytes = source.read(chunk.start, chunk.length as usize)?;
            builder.chunk(&bytes, chunk.codec, group.rows).map_err(fault)?;
        }
        Ok(builder.finish(self.kinds.get(&column.name).copied()))
    }
}

/// Where a file's bytes come from.
enum Bytes {
    File(File),
    Memory(Vec<u8>),
}

/// A file whose length is known.
struct Source {
    bytes: Bytes,
    length: u64,
    /// The file, or `<memory>`.
    name: String,
}

impl Source {
    /// Bytes that are within the file's length.
    fn read(&self, at: u64, length: usize) -> Result<Vec<u8>, DataError> {
        match &self.bytes {
            Bytes::Memory(bytes) => Ok(bytes[at as usize..at as usize + length].to_vec()),
            Bytes::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, at).map_err(|source| DataError::Read {
                    path: PathBuf::from(&self.name),
                    source,
                })?;
                Ok(bytes)
            }
        }
    }

    fn fault(&self, place: &str, message: String) -> DataError {
        DataError::Malformed { file: self.name.clone(), place: place.into(), message }
    }
}
