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
        &self,
        name: &str,
        kind: Option<Kind>,
        missing_words: &[String],
    ) -> Result<TableColumn, Fault> {
        let missing: HashSet<&str> = missing_words.iter().map(String::as_str).collect();
        let is_missing =
            |text: &str| text.is_empty() || (!missing.is_empty() && missing.contains(text));
        let (mut words, mut first_word, mut first_endless) = (0, None, None);
        // A missing number is a NaN.
        let mut numbers = Vec::with_capacity(self.ends.len());
        let mut count = 0;
        for (row, text) in self.texts().enumerate() {
            if is_missing(text) {
                numbers.push(f64::NAN);
                continue;
            }
            match text.parse::<f64>() {
                Ok(number) => {
                    count += 1;
                    if !number.is_finite() {
                        first_endless.get_or_insert((row, text));
                    }
                    numbers.push(number);
                }
                Err(_) => {
                    words += 1;
                    first_word.get_or_insert((row, text));
                }
            }
        }
        let doubtful = kind == Some(Kind::Number) || (kind.is_none() && count > words);
        match (first_word, first_endless) {
            (Some((row, text)), _) if doubtful => Err(not_a_number(row, text, name, kind)),
            (None, Some((row, text))) if kind != Some(Kind::Category) => Err(not_finite(row, text)),
            (None, None) if kind != Some(Kind::Category) => {
                let cells = numbers.into_iter().map(|x| (!x.is_nan()).then_some(x));
                Ok(TableColumn::numbers(name, cells))
            }
            _ => {
                let cells = self.texts().map(|text| (!is_missing(text)).then_some(text));
                Ok(TableColumn::categories(name, cells))
            }
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

fn not_finite(row: usize, text: &str) -> Fault {
    let message = format!(
        "`{}` is not a finite number; if it means that the cell is missing, add it to \
         `missing_words`",
        shortened(text)
    );
    Fault { row, message }
}
