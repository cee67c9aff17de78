//! The rows of a CSV file as tables: all at once, or some after the others.

use std::collections::{HashMap, HashSet};

use super::infer::Cells;
use super::{Csv, Rows};
use crate::data::table::{Kind, Table};
use crate::data::text::shortened;
use crate::data::threads::in_order;
use crate::error::DataError;

/// A file that is being read, a table at a time.
pub(super) struct Reading<'a> {
    pub(super) rows: Rows<'a>,
    names: Vec<String>,
    pub(super) header: bool,
    /// Rows that are still to be read.
    left: usize,
    missing_words: Vec<String>,
    pub(super) kinds: HashMap<String, (Kind, bool)>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(csv: Csv<'a>) -> Result<Reading<'a>, DataError> {
        let Csv { reader, name, header, delimiter, missing_words, kinds, head } = csv;
        let mut rows = Rows::new(reader, name, delimiter)?;
        let names = if header { rows.header()? } else { Vec::new() };
        Ok(Reading { rows, names, header, left: head, missing_words, kinds })
    }

    /// The next rows, until their text, with `row` bytes for each beside it, has `most` bytes; nothing
    /// at the end.
    pub(super) fn table(&mut self, most: usize, row: usize) -> Result<Option<Table>, DataError> {
        let (mut columns, mut lines, mut bytes) = (Vec::new(), Vec::new(), 0);
        while self.left > 0 && bytes < most {
            if !self.rows.advance()? {
                self.rows.check_quotes()?;
                self.left = 0;
                break;
            }
            if self.names.is_empty() {
                self.names = (0..self.rows.record.len()).map(|index| index.to_string()).collect();
            }
            columns.resize_with(self.names.len(), Cells::default);
            self.rows.check_width(&self.names, self.header)?;
            for (index, column) in columns.iter_mut().enumerate() {
                column.push(self.rows.field(index, &self.names)?);
            }
            // Of a cell also where it ends, and its number.
            let cells = 16 * columns.len();
            bytes = bytes.saturating_add(self.rows.record.as_slice().len() + cells + row);
            lines.push(self.rows.line);
            self.left -= 1;
        }
        if lines.is_empty() {
            return Ok(None);
        }
        let (names, kinds, rows) = (&self.names, &self.kinds, &self.rows);
        check_declared(kinds, names).map_err(|what| rows.fault("the header", what))?;
        let file = &rows.name;
        let typed = in_order(columns.len(), |index| {
            let name = &names[index];
            let kind = kinds.get(name).map(|&(kind, _)| kind);
            columns[index].typed(name, kind, &self.missing_words).map_err(|fault| {
                let place = format!("line {}, column `{}`", lines[fault.row], shortened(name));
                DataError::Malformed { file: file.clone(), place, message: fault.message }
            })
        })?;
        Table::from_parts(file.clone(), lines, typed).map(Some)
    }
}

/// Refuses declarations of columns that do not exist.
fn check_declared(kinds: &HashMap<String, (Kind, bool)>, names: &[String]) -> Result<(), String> {
    let names: HashSet<&String> = names.iter().collect();
    let absent = kinds.iter().filter(|(name, (_, declared))| *declared && !names.contains(name));
    match absent.map(|(name, _)| name).min() {
        None => Ok(()),
        Some(name) => Err(format!("there is no column `{name}`")),
    }
}
