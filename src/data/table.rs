//! Tables: typed columns of raw cells, before any preprocessing.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::date::{DatePart, RANGE};
use super::recipe::Recipe;
use super::text::{other_delimiter, quoted, shortened};
use crate::error::DataError;

/// Code of a missing cell in a column of categories.
pub(super) const MISSING: u32 = u32::MAX;

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Finite numbers.
    Number,
    /// Words out of a list.
    Category,
    /// Dates, perhaps with times.
    Date,
}

/// A column of raw cells, some of them perhaps missing.
#[derive(Clone, Debug)]
pub struct TableColumn {
    name: String,
    pub(super) cells: Cells,
}

#[derive(Clone, Debug)]
pub(super) enum Cells {
    /// A missing number is a NaN.
    Numbers(Vec<f64>),
    /// Seconds since the start of 1970, in UTC; a missing date is a NaN.
    Dates(Vec<f64>),
    /// `words` is sorted and unique; a missing cell's code is [`MISSING`].
    Categories { words: Vec<String>, codes: Vec<u32> },
}

impl TableColumn {
    /// A column of numbers, `None` where one is missing.
    pub fn numbers(
        name: impl Into<String>,
        cells: impl IntoIterator<Item = Option<f64>>,
    ) -> TableColumn {
        // A NaN given as a number must not pass for a missing one: Table::new refuses infinities.
        let number = |x: f64| if x.is_nan() { f64::INFINITY } else { x };
        let cells = cells.into_iter().map(|cell| cell.map_or(f64::NAN, number)).collect();
        TableColumn { name: name.into(), cells: Cells::Numbers(cells) }
    }

    /// A column of numbers, finite or, where one is missing, a NaN.
    pub(super) fn known(name: impl Into<String>, numbers: Vec<f64>) -> TableColumn {
        TableColumn { name: name.into(), cells: Cells::Numbers(numbers) }
    }

    /// A column of dates, in seconds since the start of 1970, `None` where one is missing.
    pub fn dates(
        name: impl Into<String>,
        cells: impl IntoIterator<Item = Option<f64>>,
    ) -> TableColumn {
        let TableColumn { name, cells } = TableColumn::numbers(name, cells);
        match cells {
            Cells::Numbers(seconds) => TableColumn { name, cells: Cells::Dates(seconds) },
            cells => TableColumn { name, cells },
        }
    }

    /// A column of words, `None` where one is missing.
    pub fn categories<W: AsRef<str>>(
        name: impl Into<String>,
        cells: impl IntoIterator<Item = Option<W>>,
    ) -> TableColumn {
        let cells: Vec<Option<W>> = cells.into_iter().collect();
        let mut words = HashMap::new();
        let codes = cells.iter().map(|cell| match cell {
            None => MISSING,
            Some(word) => {
                let next = words.len() as u32;
                *words.entry(word.as_ref()).or_insert(next)
            }
        });
        let codes = codes.collect();
        TableColumn::coded(name, words, codes)
    }

    /// A column of words by codes for them, [`MISSING`] where one is missing. Words without a cell
    /// are left out.
    pub(super) fn coded<W: Into<String> + Ord>(
        name: impl Into<String>,
        words: HashMap<W, u32>,
        mut codes: Vec<u32>,
    ) -> TableColumn {
        let mut places = vec![MISSING; words.len()];
        codes.iter().filter(|&&code| code != MISSING).for_each(|&code| places[code as usize] = 0);
        let mut words: Vec<(W, u32)> = words.into_iter().collect();
        words.retain(|(_, code)| places[*code as usize] == 0);
        words.sort_unstable();
        (0..).zip(&words).for_each(|(place, (_, code))| places[*code as usize] = place);
        codes
            .iter_mut()
            .filter(|code| **code != MISSING)
            .for_each(|code| *code = places[*code as usize]);
        let words = words.into_iter().map(|(word, _)| word.into()).collect();
        TableColumn { name: name.into(), cells: Cells::Categories { words, codes } }
    }

    /// The column's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its cells are.
    pub fn kind(&self) -> Kind {
        match self.cells {
            Cells::Numbers(_) => Kind::Number,
            Cells::Dates(_) => Kind::Date,
            Cells::Categories { .. } => Kind::Category,
        }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        match &self.cells {
            Cells::Numbers(numbers) | Cells::Dates(numbers) => numbers.len(),
            Cells::Categories { codes, .. } => codes.len(),
        }
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number in a row, of a date that of days since 1970-01-01; `None` if there is no such
    /// row, the cell is missing or is a word.
    pub fn number(&self, row: usize) -> Option<f64> {
        let present = |cells: &[f64]| cells.get(row).copied().filter(|x| !x.is_nan());
        match &self.cells {
            Cells::Numbers(numbers) => present(numbers),
            Cells::Dates(moments) => present(moments).map(|moment| DatePart::Days.of(moment)),
            Cells::Categories { .. } => None,
        }
    }

    /// A part of a column of dates, as a column of numbers; `None` if it is of another kind.
    pub(super) fn part(&self, part: DatePart) -> Option<TableColumn> {
        let Cells::Dates(moments) = &self.cells else { return None };
        let numbers = moments.iter().map(|&moment| match moment.is_nan() {
            true => f64::NAN,
            false => part.of(moment),
        });
        Some(TableColumn { name: self.name.clone(), cells: Cells::Numbers(numbers.collect()) })
    }

    /// The word in a row; `None` if there is no such row, the cell is missing or is a number.
    pub fn word(&self, row: usize) -> Option<&str> {
        match &self.cells {
            Cells::Numbers(_) | Cells::Dates(_) => None,
            Cells::Categories { words, codes } => {
                codes.get(row).and_then(|&code| words.get(code as usize)).map(String::as_str)
            }
        }
    }

    /// Whether the cell of a row is missing.
    pub fn is_missing(&self, row: usize) -> bool {
        self.number(row).is_none() && self.word(row).is_none()
    }

    /// Number of missing cells.
    pub fn missing(&self) -> usize {
        (0..self.len()).filter(|&row| self.is_missing(row)).count()
    }

    /// How many cells hold each of the words; none for numbers.
    pub(super) fn word_counts(&self) -> Vec<usize> {
        let Cells::Categories { words, codes } = &self.cells else { return Vec::new() };
        let mut counts = vec![0; words.len()];
        codes.iter().filter(|&&code| code != MISSING).for_each(|&code| counts[code as usize] += 1);
        counts
    }

    fn select(&self, rows: &[usize]) -> TableColumn {
        let of = |numbers: &[f64]| rows.iter().map(|&row| numbers[row]).collect();
        let cells = match &self.cells {
            Cells::Numbers(numbers) => Cells::Numbers(of(numbers)),
            Cells::Dates(moments) => Cells::Dates(of(moments)),
            Cells::Categories { words, codes } => Cells::Categories {
                words: words.clone(),
                codes: rows.iter().map(|&r| codes[r]).collect(),
            },
        };
        TableColumn { name: self.name.clone(), cells }
    }
}

/// Named columns of raw cells, of equal length. Read one with [`Csv`](super::Csv), or make one
/// from columns.
#[derive(Clone, Debug)]
pub struct Table {
    /// The file, or `<memory>`.
    source: String,
    /// Line of each row; empty if the table came from no file.
    lines: Vec<u64>,
    columns: Vec<TableColumn>,
    /// Places of the columns by name.
    places: Arc<HashMap<String, usize>>,
    rows: usize,
}

impl Table {
    /// A table of these columns.
    ///
    /// # Errors
    /// If there is no column or no row, a name is empty or taken twice, row counts differ, or a
    /// number is not finite.
    pub fn new(columns: Vec<TableColumn>) -> Result<Table, DataError> {
        Table::from_parts("<memory>".into(), Vec::new(), columns)
    }

    pub(super) fn from_parts(
        source: String,
        lines: Vec<u64>,
        columns: Vec<TableColumn>,
    ) -> Result<Table, DataError> {
        let rows = columns.first().map_or(0, TableColumn::len);
        let names = columns.iter().enumerate().map(|(place, c)| (c.name.clone(), place));
        let places: Arc<HashMap<_, _>> = Arc::new(names.collect());
        let table = Table { source, lines, columns, places, rows };
        let fault = |message| Err(table.fault("the table", message));
        if rows == 0 {
            return fault("there are no rows".into());
        }
        for (place, column) in table.columns.iter().enumerate() {
            if column.name.is_empty() {
                return fault("a column has no name".into());
            }
            if table.places[&column.name] != place {
                return fault(format!("two columns are named `{}`", shortened(&column.name)));
            }
            if column.len() != rows {
                return fault(format!(
                    "column `{}` has {} rows, column `{}` has {rows}",
                    column.name,
                    column.len(),
                    table.columns[0].name
                ));
            }
            // All at once is faster than one after another, and there is hardly ever one.
            if let Cells::Numbers(numbers) = &column.cells
                && numbers.iter().fold(false, |any, x| any | x.is_infinite())
                && let Some(row) = numbers.iter().position(|x| x.is_infinite())
            {
                return Err(table.cell_fault(row, column.name(), "the number is not finite"));
            }
            let outside = |moment: &f64| *moment < RANGE.0 || *moment >= RANGE.1;
            if let Cells::Dates(moments) = &column.cells
                && let Some(row) = moments.iter().position(outside)
            {
                let message = "the date is not of the years 0 to 9999; if it means that the cell is \
                               missing, leave the cell empty";
                return Err(table.cell_fault(row, column.name(), message));
            }
        }
        Ok(table)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows; never so.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The file, or `<memory>`.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// The columns, in order.
    pub fn columns(&self) -> &[TableColumn] {
        &self.columns
    }

    /// The column of a name.
    pub fn column(&self, name: &str) -> Option<&TableColumn> {
        self.places.get(name).map(|&place| &self.columns[place])
    }

    /// The table without some columns; names of none are passed over.
    ///
    /// # Errors
    /// If no column is left.
    pub fn without<N: AsRef<str>>(mut self, names: &[N]) -> Result<Table, DataError> {
        self.columns.retain(|column| !names.iter().any(|name| name.as_ref() == column.name));
        Table::from_parts(self.source, self.lines, self.columns)
    }

    /// The rows of these indices, in this order.
    ///
    /// # Errors
    /// If the list is empty or an index is not a row's.
    pub fn select(&self, rows: &[usize]) -> Result<Table, DataError> {
        match rows.iter().find(|&&row| row >= self.rows) {
            Some(row) => Err(self.fault(
                "the table",
                format!("there is no row {row}, the table has {} rows", self.rows),
            )),
            None if rows.is_empty() => {
                Err(self.fault("the table", "there are no rows left".into()))
            }
            None => Ok(self.subset(rows)),
        }
    }

    /// [`Table::select`] of at least one row, all known to exist.
    pub(super) fn subset(&self, rows: &[usize]) -> Table {
        let lines = match self.lines.is_empty() {
            true => Vec::new(),
            false => rows.iter().map(|&row| self.lines[row]).collect(),
        };
        let columns = self.columns.iter().map(|column| column.select(rows)).collect();
        let places = Arc::clone(&self.places);
        Table { source: self.source.clone(), lines, columns, places, rows: rows.len() }
    }

    /// Names the column to predict; all others become inputs. See [`Recipe`].
    ///
    /// # Errors
    /// If there is no such column.
    pub fn target(self, name: &str) -> Result<Recipe, DataError> {
        self.targets(&[name])
    }

    /// As [`Table::target`], for several columns of numbers to predict at once.
    ///
    /// # Errors
    /// If one of the columns does not exist or is named twice, or none is named.
    pub fn targets(self, names: &[&str]) -> Result<Recipe, DataError> {
        Recipe::new(self, names)
    }

    /// An error about the table.
    pub(super) fn fault(&self, place: &str, message: String) -> DataError {
        DataError::Malformed { file: self.source.clone(), place: place.into(), message }
    }

    /// An error about a column.
    pub(super) fn column_fault(&self, column: &str, message: String) -> DataError {
        self.fault(&format!("column `{}`", shortened(column)), message)
    }

    /// An error about a cell.
    pub(super) fn cell_fault(&self, row: usize, column: &str, message: &str) -> DataError {
        let column = shortened(column);
        let place = match self.lines.get(row) {
            Some(line) => format!("line {line}, column `{column}`"),
            None => format!("row {row}, column `{column}`"),
        };
        self.fault(&place, message.into())
    }

    /// The error for a column that is not there.
    pub(super) fn no_column(&self, name: &str) -> DataError {
        let names = quoted(self.columns.iter().map(TableColumn::name));
        let hint = match &self.columns[..] {
            [only] => other_delimiter(only.name()),
            _ => String::new(),
        };
        let message = format!("there is no column `{name}`; the columns are {names}{hint}");
        self.fault("the table", message)
    }
}
