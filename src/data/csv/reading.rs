//! The rows of a CSV file as tables: all at once, or some after the others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Csv;
use super::blocks::{Block, Blocks, Stop};
use super::cell::{Cell, trimmed, width};
use super::filling::Filling;
use super::number::MARGIN;
use super::part::{Fault, Layout, Part, UNCLOSED};
use crate::data::gzip::read_error;
use crate::data::table::{Kind, Table};
use crate::data::text::{other_delimiter, shortened};
use crate::data::threads::pipeline;
use crate::error::DataError;

/// Most columns: each takes some hundred bytes, however short its name.
const MAX_COLUMNS: usize = 1 << 20;

/// A file that is being read, a table at a time.
pub(super) struct Reading<'a> {
    pub(super) blocks: Blocks<'a>,
    /// Why there are no further blocks.
    pub(super) stop: Option<Stop>,
    pub(super) layout: Arc<Layout>,
    pub(super) file: String,
    pub(super) names: Vec<String>,
    pub(super) header: bool,
    pub(super) kinds: HashMap<String, (Kind, bool)>,
    /// What follows the header in its block.
    pub(super) first: Option<Block>,
    /// Rows that were cut and are in no table yet, with the line on which their block begins.
    pub(super) ready: VecDeque<(Part, u64)>,
    /// The line on which the next block begins.
    pub(super) line: u64,
    /// Rows that are still to be read.
    pub(super) left: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(csv: Csv<'a>) -> Result<Reading<'a>, DataError> {
        let Csv { reader, file, name, header, delimiter, missing_words, kinds, head, block } = csv;
        if matches!(delimiter, b'"' | b'\n' | b'\r') {
            let message = "the delimiter can be neither a quote nor the end of a line";
            return Err(DataError::Invalid(message.into()));
        }
        let blocks = Blocks::new(reader, file, delimiter, block)
            .map_err(|(error, gzip)| read_error(error, &name, gzip, "line 1".into()))?;
        let missing_numbers = missing_words.iter().filter_map(|word| word.parse().ok()).collect();
        let missing = missing_words.into_iter().collect();
        let mut reading = Reading {
            blocks,
            stop: None,
            layout: Arc::default(),
            file: name,
            names: Vec::new(),
            header,
            kinds,
            first: None,
            ready: VecDeque::new(),
            line: 1,
            left: head,
        };
        reading.begin(delimiter)?;
        // Where a byte of numbers stands between cells, all are taken for texts first.
        let other = !matches!(delimiter, b'0'..=b'9' | b'.' | b'-');
        let numbers = reading.names.iter().map(|name| {
            let kind = reading.kinds.get(name).map(|&(kind, _)| kind);
            AtomicBool::new(other && matches!(kind, None | Some(Kind::Number)))
        });
        let numbers = numbers.collect();
        reading.layout = Arc::new(Layout { delimiter, numbers, missing, missing_numbers });
        Ok(reading)
    }

    /// Reads the header, or counts the columns of the first row.
    fn begin(&mut self, delimiter: u8) -> Result<(), DataError> {
        let (mut block, start) = loop {
            let block = match self.blocks.next() {
                Ok(block) => block,
                Err(Stop::End) if !self.header => return Ok(()),
                Err(stop) => return Err(self.stopped(stop)),
            };
            let text = &block.text[..block.text.len() - MARGIN];
            let blank = |byte: &&u8| matches!(byte, b'\n' | b'\r');
            let start = MARGIN + text[MARGIN..].iter().take_while(blank).count();
            if start < text.len() {
                break (block, start);
            }
            self.line += newlines(&text[MARGIN..]);
        };
        if self.header {
            self.line += newlines(&block.text[MARGIN..start]);
            let end = self.take_header(&block.text, start, delimiter)?;
            self.line += newlines(&block.text[start..end]);
            block.text.drain(MARGIN..end);
            block.place.start += (end - MARGIN) as u64;
        } else {
            let columns = width(&block.text, start, delimiter).ok_or_else(|| {
                let line = self.line + newlines(&block.text[MARGIN..start]);
                self.fault(&format!("line {line}"), UNCLOSED.into())
            })?;
            if columns > MAX_COLUMNS {
                let message = format!("there are more than {MAX_COLUMNS} columns");
                return Err(self.fault("line 1", message));
            }
            self.names = (0..columns).map(|index| index.to_string()).collect();
        }
        self.first = Some(block);
        Ok(())
    }

    /// Names the columns by the row at a place; gives its end.
    fn take_header(
        &mut self,
        text: &[u8],
        mut at: usize,
        delimiter: u8,
    ) -> Result<usize, DataError> {
        let place = format!("line {}", self.line);
        loop {
            let Some(cell) = Cell::new(text, at, delimiter) else {
                return Err(self.fault(&place, UNCLOSED.into()));
            };
            let bytes = cell.unquoted(text);
            let name = trimmed(&bytes).map_err(|message| {
                self.fault(&format!("{place}, column `{}`", self.names.len()), message)
            })?;
            if self.names.len() == MAX_COLUMNS {
                let message = format!("there are more than {MAX_COLUMNS} columns");
                return Err(self.fault(&place, message));
            }
            self.names.push(name.into());
            at = cell.end;
            if text[at] != delimiter {
                break;
            }
            at += 1;
        }
        if self.names.iter().all(|name| name.parse::<f64>().is_ok()) {
            let message = "the header is all numbers; if the file has none, call `no_header()`";
            return Err(self.fault(&place, message.into()));
        }
        Ok(at)
    }

    /// The next rows, until their text, with `row` bytes for each beside it, has `most` bytes; nothing
    /// at the end.
    pub(super) fn table(&mut self, most: usize, row: usize) -> Result<Option<Table>, DataError> {
        let layout = Arc::clone(&self.layout);
        let mut filling = Filling::new(self, most, row);
        pipeline(&mut filling, |block| layout.part(Arc::new(block)));
        filling.table()
    }

    /// The error of a file that stopped before its end.
    pub(super) fn stopped(&self, stop: Stop) -> DataError {
        let place = format!("line {}", self.line);
        match stop {
            Stop::End => self.fault("line 1", "the file is empty".into()),
            Stop::Endless => {
                let message = "the row is longer than 64 MiB; is a quote not closed?";
                self.fault(&place, message.into())
            }
            Stop::Failed(source) => read_error(source, &self.file, self.blocks.gzip, place),
        }
    }

    /// The error of a row in a block that begins on a line.
    pub(super) fn row_fault(&self, fault: Fault, line: u64) -> DataError {
        let line = line + u64::from(fault.line);
        let Some(width) = fault.width else {
            let column = fault.column.map(|column| shortened(&self.names[column]));
            let column = column.map_or(String::new(), |name| format!(", column `{name}`"));
            return self.fault(&format!("line {line}{column}"), fault.message);
        };
        let first = if self.header { "the header" } else { "the first row" };
        let hint = match &self.names[..] {
            [only] if self.header => other_delimiter(only),
            _ => String::new(),
        };
        let message = format!("{width} fields, but {first} has {}{hint}", self.names.len());
        self.fault(&format!("line {line}"), message)
    }

    pub(super) fn fault(&self, place: &str, message: String) -> DataError {
        DataError::Malformed { file: self.file.clone(), place: place.into(), message }
    }

    /// Refuses declarations of columns that do not exist.
    pub(super) fn check_declared(&self) -> Result<(), DataError> {
        let names: HashSet<&String> = self.names.iter().collect();
        let declared = self.kinds.iter().filter(|(_, (_, declared))| *declared);
        let absent = declared.map(|(name, _)| name).filter(|name| !names.contains(name)).min();
        absent.map_or(Ok(()), |name| {
            Err(self.fault("the header", format!("there is no column `{name}`")))
        })
    }
}

fn newlines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}
