//! What a table holds, column by column, and what looks wrong with it.

mod column;
mod suspicion;
mod text;

use serde::{Deserialize, Serialize};

use super::table::{Kind, Table};
use crate::error::DataError;

/// What is in a table, by [`Table::report`]. Its `Display` is a table for people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableReport {
    /// The file, or `<memory>`.
    pub source: String,
    /// Number of rows.
    pub rows: usize,
    /// Rows that are equal to an earlier one; see [`Table::duplicates`].
    pub duplicates: usize,
    /// The column to predict, if it was named.
    pub target: Option<String>,
    /// The columns, in order.
    pub columns: Vec<ColumnReport>,
}

/// One line of a [`TableReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColumnReport {
    /// The column's name.
    pub name: String,
    /// What its cells are.
    pub kind: Kind,
    /// Missing cells.
    pub missing: usize,
    /// Different values, a missing cell being none.
    pub distinct: usize,
    /// Smallest number, of dates in days since 1970-01-01; absent for categories and where all cells are missing.
    pub min: Option<f64>,
    /// Mean of the numbers that are there.
    pub mean: Option<f64>,
    /// Largest number.
    pub max: Option<f64>,
    /// The word that most cells hold, of several the first in sorted order; absent for numbers.
    pub most_frequent: Option<WordCount>,
    /// What looks wrong.
    pub suspicions: Vec<Suspicion>,
}

/// A word, and how many cells hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WordCount {
    /// The word.
    pub word: String,
    /// Cells that hold it.
    pub count: usize,
}

/// Why a column should be looked at before a model learns from it. Identifiers and leaks are
/// looked for from 20 rows on: in fewer, chance looks the same.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Suspicion {
    /// All cells are missing.
    Empty,
    /// All cells that are there hold the same value.
    Constant,
    /// Every cell holds another value: words, or whole numbers that fill at least half of their
    /// range, as numbers of rows do. The target is never taken for one.
    Identifier,
    /// The numbers and the target's have this correlation (Pearson's), whose size is at least
    /// 0.999: the target may be known from this column alone.
    Correlated(f64),
    /// Each value comes with one value of the target, in every row where it occurs, and there are
    /// few: at most the square root of the rows, "missing" counting as a value.
    Determines,
}

impl Table {
    /// Counts and statistics of every column, and what is suspicious about it; leaks are looked
    /// for if the column to predict is named. Takes a sort per column.
    ///
    /// ```
    /// use ironwarp::data::{Csv, Suspicion};
    ///
    /// let table = Csv::new("age,city,country\n31,Bonn,DE\n,Ulm,DE\n".as_bytes()).read()?;
    /// let report = table.report(None)?;
    /// assert_eq!((report.columns[0].missing, report.columns[0].mean), (1, Some(31.0)));
    /// assert_eq!(report.columns[2].suspicions, [Suspicion::Constant]);
    /// println!("{report}");
    /// # Ok::<(), ironwarp::error::DataError>(())
    /// ```
    ///
    /// # Errors
    /// If there is no column of the target's name.
    pub fn report(&self, target: Option<&str>) -> Result<TableReport, DataError> {
        let column = |name| self.column(name).ok_or_else(|| self.no_column(name));
        let leaks = target.map(column).transpose()?.map(suspicion::Leaks::new);
        let columns = self.columns().iter().map(|column| {
            let mut report = column::report(column);
            match &leaks {
                Some(leaks) if leaks.target(column) => report.not_an_identifier(),
                Some(leaks) => report.suspicions.extend(leaks.of(column)),
                None => {}
            }
            report
        });
        Ok(TableReport {
            source: self.source().into(),
            rows: self.len(),
            duplicates: self.duplicates().len(),
            target: target.map(String::from),
            columns: columns.collect(),
        })
    }
}

impl ColumnReport {
    /// A target may have as many values as there are rows, and so may dates.
    fn not_an_identifier(&mut self) {
        self.suspicions.retain(|what| *what != Suspicion::Identifier);
    }
}
