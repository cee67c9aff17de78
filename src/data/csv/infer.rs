//! Types of columns from the texts of their cells.

use crate::data::date::{Style, Written};
use crate::data::table::{Kind, TableColumn};
use crate::data::text::shortened;

/// A cell that does not fit its column.
pub(in crate::data) struct Fault {
    pub(super) row: usize,
    pub(super) message: String,
}

/// The column of the texts of its cells: of `kind`, or of the kind that they suggest. A missing cell
/// is `None`.
pub(super) fn typed<'a>(
    cells: impl Iterator<Item = Option<&'a str>> + Clone,
    name: &str,
    kind: Option<Kind>,
) -> Result<TableColumn, Fault> {
    if kind == Some(Kind::Category) {
        return Ok(TableColumn::categories(name, cells));
    }
    if kind == Some(Kind::Date) {
        let dates = dates(cells, name, true)?;
        return Ok(dates.expect("invariant: a declared column is dates or refused"));
    }
    let (mut words, mut first_word, mut first_endless) = (0, None, None);
    let mut numbers = Vec::new();
    let mut count = 0;
    for (row, text) in cells.clone().enumerate() {
        let Some(text) = text else {
            numbers.push(None);
            continue;
        };
        match text.parse::<f64>() {
            Ok(number) => {
                count += 1;
                if !number.is_finite() {
                    first_endless.get_or_insert((row, text));
                }
                numbers.push(Some(number));
            }
            Err(_) => {
                words += 1;
                first_word.get_or_insert((row, text));
            }
        }
    }
    let doubtful = kind.is_some() || count > words;
    match (first_word, first_endless) {
        (Some((row, text)), _) if doubtful => Err(not_a_number(row, text, name, kind)),
        (None, Some((row, text))) => Err(not_finite(row, text)),
        (None, None) => Ok(TableColumn::numbers(name, numbers)),
        _ => {
            let dates = dates(cells.clone(), name, false)?;
            Ok(dates.unwrap_or_else(|| TableColumn::categories(name, cells)))
        }
    }
}

/// Words ahead of the dates with which a column is words, whatever follows.
const LEAD: usize = 1000;

/// The column of cells that are dates written alike; `None` if it is none, which it can't be if
/// it was `declared`. Where most cells are dates the others are mistakes.
pub(in crate::data) fn dates<'a>(
    cells: impl Iterator<Item = Option<&'a str>>,
    name: &str,
    declared: bool,
) -> Result<Option<TableColumn>, Fault> {
    let (mut style, mut certain) = (None, declared);
    let (mut dates, mut others, mut first_other) = (0, 0, None);
    let mut moments = Vec::new();
    for (row, text) in cells.enumerate() {
        let written = text.and_then(Written::read);
        let written = written.filter(|it| *style.get_or_insert(it.style) == it.style);
        if let Some(written) = written {
            dates += 1;
            certain |= written.certain || written.style != Style::Dots;
        } else if let Some(text) = text {
            others += 1;
            first_other.get_or_insert((row, text));
        }
        if !declared && others > dates + LEAD {
            return Ok(None);
        }
        moments.push(written.map(|written| written.seconds));
    }
    match first_other {
        _ if !declared && (dates <= others || !certain) => Ok(None),
        None => Ok(Some(TableColumn::dates(name, moments))),
        Some((row, text)) => Err(not_a_date(row, text, name, declared)),
    }
}

fn not_a_date(row: usize, text: &str, name: &str, declared: bool) -> Fault {
    let text = shortened(text);
    let message = match declared {
        true => format!(
            "`{text}` is not a date, or not written as the first one; if it means that the cell is \
             missing, add it to `missing_words`"
        ),
        false => format!(
            "`{text}` is not a date, or not written as the first one, while most cells of the \
             column are; add it to `missing_words`, or say `categories(&[\"{}\"])`",
            shortened(name)
        ),
    };
    Fault { row, message }
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
