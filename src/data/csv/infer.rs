//! Types of columns from the texts of their cells.

use std::collections::HashSet;

use crate::data::table::{Kind, TableColumn};
use crate::data::text::shortened;

/// The texts of a column, one after another.
#[derive(Default)]
pub(super) struct Cells {
    text: String,
    /// Where each cell's text ends.
    ends: Vec<usize>,
}

/// A cell that does not fit its column.
pub(super) struct Fault {
    pub(super) row: usize,
    pub(super) message: String,
}

impl Cells {
    pub(super) fn push(&mut self, cell: &str) {
        self.text.push_str(cell);
        self.ends.push(self.text.len());
    }

    fn texts(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// The typed column: of `kind`, or of the kind that the cells suggest.
    pub(super) fn typed(
        self,
        name: &str,
        kind: Option<Kind>,
        missing_words: &[String],
    ) -> Result<TableColumn, Fault> {
        let missing: HashSet<&str> = missing_words.iter().map(String::as_str).collect();
        let cells = || self.texts().map(|t| (!t.is_empty() && !missing.contains(t)).then_some(t));
        let (mut numbers, mut words, mut first_word) = (0, 0, None);
        for (row, cell) in cells().enumerate() {
            match cell.map(|text| (text, text.parse::<f64>().is_ok())) {
                None => {}
                Some((_, true)) => numbers += 1,
                Some((text, false)) => {
                    words += 1;
                    first_word.get_or_insert((row, text));
                }
            }
        }
        let doubtful = kind == Some(Kind::Number) || (kind.is_none() && numbers > words);
        match first_word {
            Some((row, text)) if doubtful => Err(not_a_number(row, text, name, kind)),
            Some(_) => Ok(TableColumn::categories(name, cells())),
            None if kind == Some(Kind::Category) => Ok(TableColumn::categories(name, cells())),
            None => finite(name, cells()),
        }
    }
}

fn not_a_number(row: usize, text: &str, name: &str, kind: Option<Kind>) -> Fault {
    let text = shortened(text);
    let message = match kind {
        Some(_) => format!(
            "`{text}` is not a number; if it means that the cell is missing, add it to \
             `missing_words`"
        ),
        None => format!(
            "`{text}` is not a number, while most cells of the column are; add it to \
             `missing_words`, or say `categories(&[\"{}\"])`",
            shortened(name)
        ),
    };
    Fault { row, message }
}

/// A column of numbers, all of them finite.
fn finite<'a>(
    name: &str,
    cells: impl Iterator<Item = Option<&'a str>>,
) -> Result<TableColumn, Fault> {
    let number = |(row, cell): (usize, Option<&str>)| {
        let Some(text) = cell else { return Ok(None) };
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(Fault {
                row,
                message: format!(
                    "`{}` is not a finite number; if it means that the cell is missing, add it \
                     to `missing_words`",
                    shortened(text)
                ),
            }),
        }
    };
    let numbers: Result<Vec<_>, _> = cells.enumerate().map(number).collect();
    Ok(TableColumn::numbers(name, numbers?))
}
