//! CSV files into tables: reading, limits, places of errors. Types are inferred in `infer`.

mod blocks;
mod cell;
mod filling;
mod infer;
mod number;
mod part;
mod reading;
mod spill;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use self::blocks::BLOCK;
#[cfg(feature = "parquet")]
pub(super) use self::infer::dates;
use self::reading::Reading;
use super::dataset::Dataset;
use super::preprocessing::Preprocessing;
use super::recipe::Recipe;
use super::table::{Kind, Table};
use crate::error::DataError;

/// A CSV file, plain or gzip, about to be read: how its text is to be understood.
///
/// By default fields are separated by commas and may be quoted with `"`, the first line names
/// the columns, and an empty cell is a missing one. Space around a cell does not count, blank
/// lines are skipped, and a byte order mark, CRLF and an absent final newline are accepted.
///
/// A column holds numbers if all its cells that are not missing are numbers, dates if all are dates
/// written alike, and categories otherwise; but if most of them are numbers (or dates) the others
/// are taken for mistakes and refused, as are `nan`, `inf` and numbers beyond the range of `f64`.
///
/// A date is `2024-03-01`, `2024/3/1` or, if a day above 12 shows that the day comes first,
/// `1.3.2024`, and may have a time behind it, as in `2024-03-01T12:30`, `2024-03-01 12:30:15.5Z` or
/// `2024-03-01T12:30+02:00`, which counts in UTC.
///
/// ```
/// use ironwarp::data::{Csv, Kind};
///
/// let text = "age,city\n31,Bonn\n?,Ulm\n";
/// let table = Csv::new(text.as_bytes()).missing_words(&["?"]).read()?;
/// assert_eq!(table.columns()[0].kind(), Kind::Number);
/// assert_eq!(table.columns()[0].number(1), None);
/// assert_eq!(table.columns()[1].word(1), Some("Ulm"));
/// # Ok::<(), ironwarp::error::DataError>(())
/// ```
pub struct Csv<'a> {
    reader: Box<dyn Read + 'a>,
    /// What the reader reads, if it can be read twice.
    file: Option<File>,
    /// The file, or `<memory>`.
    name: String,
    header: bool,
    delimiter: u8,
    missing_words: Vec<String>,
    /// Kinds of columns by name, and whether the column must exist.
    kinds: HashMap<String, (Kind, bool)>,
    /// Rows that are read at most.
    head: usize,
    /// Bytes that are read at once.
    block: usize,
}

impl Dataset {
    /// Opens a CSV file; [`Csv`] says how it is read.
    ///
    /// ```no_run
    /// use ironwarp::data::Dataset;
    ///
    /// let (train, test) =
    ///     Dataset::csv("digits.csv")?.target("digit")?.standardize().split(0.8, 42)?;
    /// # Ok::<(), ironwarp::error::DataError>(())
    /// ```
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn csv(path: impl AsRef<Path>) -> Result<Csv<'static>, DataError> {
        Csv::open(path)
    }
}

impl Csv<'static> {
    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: impl AsRef<Path>) -> Result<Csv<'static>, DataError> {
        let path = path.as_ref();
        let open = || {
            let file = File::open(path)?;
            let again = if file.metadata()?.is_file() { Some(file.try_clone()?) } else { None };
            Ok((file, again))
        };
        let opened: io::Result<_> = open();
        let (reader, file) =
            opened.map_err(|source| DataError::Read { path: PathBuf::from(path), source })?;
        Ok(Csv { name: path.display().to_string(), file, ..Csv::new(reader) })
    }
}

impl<'a> Csv<'a> {
    /// Reads from anything; errors call it `<memory>`.
    pub fn new(reader: impl Read + 'a) -> Csv<'a> {
        Csv {
            reader: Box::new(reader),
            file: None,
            name: "<memory>".into(),
            header: true,
            delimiter: b',',
            missing_words: Vec::new(),
            kinds: HashMap::new(),
            head: usize::MAX,
            block: BLOCK,
        }
    }

    /// The first line is data; the columns are named "0", "1", ...
    pub fn no_header(mut self) -> Self {
        self.header = false;
        self
    }

    /// The byte between fields, such as `b';'` or `b'\t'`. Default: a comma.
    pub fn delimiter(mut self, delimiter: u8) -> Self {
        self.delimiter = delimiter;
        self
    }

    /// Words that stand for a missing cell beside the empty one, exactly as written.
    pub fn missing_words(mut self, words: &[&str]) -> Self {
        self.missing_words = words.iter().map(|&word| word.into()).collect();
        self
    }

    /// Columns whose cells must all be numbers.
    pub fn numbers(self, columns: &[&str]) -> Self {
        self.declare(columns, Kind::Number)
    }

    /// Columns of categories even if their cells look like numbers.
    pub fn categories(self, columns: &[&str]) -> Self {
        self.declare(columns, Kind::Category)
    }

    /// Columns whose cells must all be dates; of `1.2.2024` the day comes first.
    pub fn dates(self, columns: &[&str]) -> Self {
        self.declare(columns, Kind::Date)
    }

    /// Takes numbers for numbers, dates for dates and categories for categories as a fitted preprocessing does, so
    /// that a short file is understood like the one it was fitted on.
    pub fn types_from(mut self, preprocessing: &Preprocessing) -> Self {
        let kinds = preprocessing.kinds().map(|(name, kind)| (name.into(), (kind, false)));
        self.kinds.extend(kinds);
        self
    }

    /// Reads the first rows alone, so many: to fit a recipe on rows of a file that is larger than
    /// memory. See [`Csv::spill`]. Half a MiB of the text is read at once, also of a pipe.
    pub fn head(self, rows: usize) -> Self {
        Csv { head: rows, ..self }
    }

    /// Reads so many bytes at once, which changes nothing.
    #[cfg(test)]
    pub(super) fn in_blocks(self, block: usize) -> Self {
        Csv { block, ..self }
    }

    fn declare(mut self, columns: &[&str], kind: Kind) -> Self {
        self.kinds.extend(columns.iter().map(|&name| (name.into(), (kind, true))));
        self
    }

    /// [`Csv::read`], then [`Table::target`].
    ///
    /// # Errors
    /// Those of both.
    pub fn target(self, name: &str) -> Result<Recipe, DataError> {
        self.read()?.target(name)
    }

    /// [`Csv::read`], then [`Table::targets`].
    ///
    /// # Errors
    /// Those of both.
    pub fn targets(self, names: &[&str]) -> Result<Recipe, DataError> {
        self.read()?.targets(names)
    }

    /// Reads the whole file. A field may be up to 1 MiB long and a row up to 64 MiB, and
    /// there may be 1,048,576 columns.
    ///
    /// # Errors
    /// With the line, the column and up to 40 bytes of the cell where there is one: if the file
    /// cannot be read, its gzip data is damaged, it has no rows, a row is longer or shorter than
    /// the header, text is not UTF-8, a quote is never closed, a limit is passed, a column has no
    /// name or that of another, a declared column does not exist, or a cell is not of its
    /// column's kind.
    pub fn read(self) -> Result<Table, DataError> {
        let mut reading = Reading::new(self)?;
        match reading.table(usize::MAX, 0)? {
            Some(table) => Ok(table),
            None => {
                let with = "there are no rows after the header";
                let what = if reading.header { with } else { "the file is empty" };
                Err(reading.fault("line 1", what.into()))
            }
        }
    }
}
