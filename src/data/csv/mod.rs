//! CSV files into tables: reading, limits, places of errors. Types are inferred in `infer`.

mod infer;
mod meter;
mod reading;
mod spill;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ::csv::{ByteRecord, ErrorKind, ReaderBuilder};

#[cfg(feature = "parquet")]
pub(super) use self::infer::dates;
use self::meter::Meter;
use self::reading::Reading;
use super::dataset::Dataset;
use super::gzip::{Source, peek, read_error};
use super::preprocessing::Preprocessing;
use super::recipe::Recipe;
use super::table::{Kind, Table};
use super::text::{other_delimiter, shortened};
use crate::error::DataError;

/// Longest field, in bytes.
const MAX_FIELD: usize = 1 << 20;

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
    /// The file, or `<memory>`.
    name: String,
    header: bool,
    delimiter: u8,
    missing_words: Vec<String>,
    /// Kinds of columns by name, and whether the column must exist.
    kinds: HashMap<String, (Kind, bool)>,
    /// Rows that are read at most.
    head: usize,
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
        let file = File::open(path)
            .map_err(|source| DataError::Read { path: PathBuf::from(path), source })?;
        Ok(Csv { name: path.display().to_string(), ..Csv::new(file) })
    }
}

impl<'a> Csv<'a> {
    /// Reads from anything; errors call it `<memory>`.
    pub fn new(reader: impl Read + 'a) -> Csv<'a> {
        Csv {
            reader: Box::new(reader),
            name: "<memory>".into(),
            header: true,
            delimiter: b',',
            missing_words: Vec::new(),
            kinds: HashMap::new(),
            head: usize::MAX,
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
    /// memory. See [`Csv::spill`].
    pub fn head(self, rows: usize) -> Self {
        Csv { head: rows, ..self }
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

    /// Reads the whole file. A field may be up to 1 MiB long and a row up to 64 MiB.
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
                Err(reading.rows.fault("line 1", what.into()))
            }
        }
    }
}

/// The records of a file, and where they stand.
struct Rows<'a> {
    reader: ::csv::Reader<Meter<Box<dyn Read + 'a>>>,
    record: ByteRecord,
    name: String,
    gzip: bool,
    /// Line on which the record begins.
    line: u64,
    /// Whether it ends on another.
    several_lines: bool,
    /// 1 if it ends with a newline, else 0.
    newline: u64,
}

impl<'a> Rows<'a> {
    fn new(reader: impl Read + 'a, name: String, delimiter: u8) -> Result<Rows<'a>, DataError> {
        let start = |gzip| {
            let name = &name;
            move |error| read_error(error, name, gzip, "line 1".into())
        };
        let Source { reader, gzip } = Source::new(reader).map_err(start(false))?;
        let text = without_mark(reader).map_err(start(gzip))?;
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(Meter::new(text));
        let record = ByteRecord::new();
        Ok(Rows { reader, record, name, gzip, line: 1, several_lines: false, newline: 0 })
    }

    /// Reads the next record, `false` at the end.
    fn advance(&mut self) -> Result<bool, DataError> {
        let begun = self.reader.position().byte();
        self.reader.get_mut().begin_record(begun);
        let more = self.reader.read_byte_record(&mut self.record).map_err(|error| {
            let line = self.reader.position().line();
            let place = format!("line {line}");
            if self.reader.get_ref().overrun() {
                let message = "the row is longer than 64 MiB; is a quote not closed?";
                return self.fault(&place, message.into());
            }
            match error.into_kind() {
                ErrorKind::Io(source) => read_error(source, &self.name, self.gzip, place),
                _ => self.fault(&place, "the row is malformed".into()),
            }
        })?;
        if more {
            // The reader's own line is that of the record's end, with the newline only if it is
            // the last byte (of CRLF it takes the CR first); blank lines before count too.
            let end = self.reader.position();
            let inside =
                self.record.as_slice().iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.newline = u64::from(self.reader.get_ref().byte_before(end.byte()) == Some(b'\n'));
            self.line = end.line().saturating_sub(inside + self.newline);
            self.several_lines = inside > 0;
        }
        Ok(more)
    }

    fn header(&mut self) -> Result<Vec<String>, DataError> {
        if !self.advance()? {
            return Err(self.fault("line 1", "the file is empty".into()));
        }
        let count = self.record.len();
        let places: Vec<String> = (0..count).map(|index| index.to_string()).collect();
        let mut names = Vec::with_capacity(count);
        for index in 0..count {
            names.push(self.field(index, &places)?.to_string());
        }
        if names.iter().all(|name| name.parse::<f64>().is_ok()) {
            let message = "the header is all numbers; if the file has none, call `no_header()`";
            return Err(self.fault(&format!("line {}", self.line), message.into()));
        }
        Ok(names)
    }

    fn check_width(&self, names: &[String], header: bool) -> Result<(), DataError> {
        let (found, expected) = (self.record.len(), names.len());
        if found == expected {
            return Ok(());
        }
        let first = if header { "the header" } else { "the first row" };
        let hint = match names {
            [only] if header => other_delimiter(only),
            _ => String::new(),
        };
        let message = format!("{found} fields, but {first} has {expected}{hint}");
        Err(self.fault(&format!("line {}", self.line), message))
    }

    /// The text of a field without the space around it.
    fn field(&self, index: usize, names: &[String]) -> Result<&str, DataError> {
        let place = || format!("line {}, column `{}`", self.line, shortened(&names[index]));
        let bytes = &self.record[index];
        if bytes.len() > MAX_FIELD {
            let message = format!("the field is {} bytes long, more than 1 MiB", bytes.len());
            return Err(self.fault(&place(), message));
        }
        match std::str::from_utf8(bytes) {
            // Most cells have no space around them, which their first and last byte tell.
            Ok(text) => match bytes {
                [b'!'..=b'~', .., b'!'..=b'~'] | [b'!'..=b'~'] | [] => Ok(text),
                _ => Ok(text.trim()),
            },
            Err(_) => {
                let text = shortened(&String::from_utf8_lossy(bytes));
                Err(self.fault(&place(), format!("`{text}` is not UTF-8 text")))
            }
        }
    }

    /// A quote that is never closed swallows the rows after it; the count of quotes tells.
    fn check_quotes(&self) -> Result<(), DataError> {
        match self.reader.get_ref().odd_quotes() && self.several_lines {
            false => Ok(()),
            true => {
                let message = "a quote in this row is not closed";
                // The last newline is inside the field, and was taken for the end of the row too.
                let line = self.line + self.newline;
                Err(self.fault(&format!("line {line}"), message.into()))
            }
        }
    }

    fn fault(&self, place: &str, message: String) -> DataError {
        DataError::Malformed { file: self.name.clone(), place: place.into(), message }
    }
}

/// The text behind a byte order mark, if there is one.
fn without_mark<'a>(reader: impl Read + 'a) -> std::io::Result<Box<dyn Read + 'a>> {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    let (head, mut reader) = peek::<3>(reader)?;
    if head == MARK {
        reader.by_ref().take(MARK.len() as u64).read_to_end(&mut Vec::new())?;
    }
    Ok(Box::new(reader))
}
