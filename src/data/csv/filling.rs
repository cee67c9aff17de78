//! A table on its way: blocks of rows are cut on several threads and come together in order.

use std::fs::File;
use std::io;
use std::sync::Arc;

use super::blocks::{Block, Stop};
use super::infer::typed;
use super::part::{Cells, Layout, Part, Texts};
use super::reading::Reading;
use crate::data::table::{Table, TableColumn};
use crate::data::text::shortened;
use crate::data::threads::{Stages, in_order};
use crate::error::DataError;

/// A table that is being filled.
pub(super) struct Filling<'r, 'a> {
    reading: &'r mut Reading<'a>,
    /// The texts of the rows.
    parts: Vec<Texts>,
    /// The numbers of each column, as long as it holds nothing else.
    numbers: Vec<Option<Vec<f64>>>,
    /// On which line each row begins.
    lines: Vec<u64>,
    /// Bytes that are still to be filled, and how many a row takes beside its text.
    room: usize,
    row: usize,
    full: bool,
    fault: Option<DataError>,
}

impl<'r, 'a> Filling<'r, 'a> {
    /// A table of a reading's next rows.
    pub(super) fn new(reading: &'r mut Reading<'a>, room: usize, row: usize) -> Self {
        let numbers = reading.names.iter().map(|_| Some(Vec::new())).collect();
        let full = reading.left == 0;
        // Of a cell also where it is, or its number, and a number that comes from it.
        let row = row.saturating_add(16 * reading.names.len());
        let (parts, lines) = (Vec::new(), Vec::new());
        let mut filling = Filling { reading, parts, numbers, lines, room, row, full, fault: None };
        filling.take_ready();
        filling
    }

    /// Takes rows that were cut, as many as there is room for.
    fn take_ready(&mut self) {
        while !self.full
            && let Some((mut part, line)) = self.reading.ready.pop_front()
        {
            let bytes = (part.block.place.end - part.block.place.start) as usize;
            let per_row = self.row.saturating_add(bytes / part.rows.end.max(1));
            let fitting = self.room.div_ceil(per_row).min(self.reading.left);
            if fitting < part.rows.len() {
                let rest = part.split_off(fitting);
                self.reading.ready.push_front((rest, line));
            }
            self.room = self.room.saturating_sub(per_row.saturating_mul(part.rows.len()));
            self.reading.left -= part.rows.len();
            self.full = self.room == 0 || self.reading.left == 0;
            if let Some(fault) = part.fault.take().filter(|_| self.reading.left > 0) {
                self.fault = Some(self.reading.row_fault(fault, line));
                self.full = true;
            }
            self.add(part, line);
        }
    }

    /// Makes room for the numbers of a whole file as far as the first part tells how many they are, at
    /// most twice as much as the file takes. It is a guess: what cannot be had is not missed.
    fn reserve(&mut self, part: &Part) {
        let block = &*part.block;
        let Some(ahead) = self.reading.blocks.ahead(block) else { return };
        let bytes = (block.place.end - block.place.start) as usize / part.rows.len().max(1) + 1;
        let rows = ahead / bytes + ahead / bytes / 64;
        let most = (ahead / 4 / self.numbers.len()).min(self.room / (self.row + bytes) + 1);
        let rows = rows.min(most).min(self.reading.left);
        let _ = self.lines.try_reserve(rows);
        for numbers in self.numbers.iter_mut().flatten() {
            let _ = numbers.try_reserve(rows);
        }
    }

    fn add(&mut self, mut part: Part, line: u64) {
        if self.parts.is_empty() {
            self.reserve(&part);
        }
        let lines = std::mem::take(&mut part.lines);
        self.lines.extend(lines.into_iter().map(|from| line + u64::from(from)));
        let mut all_numbers = true;
        for (all, cells) in self.numbers.iter_mut().zip(&mut part.columns) {
            match cells {
                Cells::Texts(_) => (*all, all_numbers) = (None, false),
                Cells::Numbers(numbers) => {
                    let numbers = std::mem::take(numbers);
                    all.iter_mut().for_each(|all| all.extend_from_slice(&numbers));
                }
            }
        }
        if all_numbers && let Some(block) = Arc::get_mut(&mut part.block) {
            self.reading.blocks.leave(block);
        }
        self.parts.push(part.texts());
    }

    /// The table, if there are rows.
    pub(super) fn table(mut self) -> Result<Option<Table>, DataError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        if !self.full && !matches!(self.reading.stop, None | Some(Stop::End)) {
            let stop = self.reading.stop.take();
            return Err(self.reading.stopped(stop.expect("invariant: it was just seen")));
        }
        if self.lines.is_empty() {
            return Ok(None);
        }
        self.reading.check_declared()?;
        self.cut_again()?;
        let Filling { reading, parts, numbers, lines, .. } = self;
        let words: Vec<usize> =
            (0..numbers.len()).filter(|&column| numbers[column].is_none()).collect();
        let (names, kinds, layout) = (&reading.names, &reading.kinds, &*reading.layout);
        let file = &reading.file;
        let typed = in_order(words.len(), |index| {
            let name = &names[words[index]];
            let kind = kinds.get(name).map(|&(kind, _)| kind);
            typed(texts(&parts, words[index], layout), name, kind).map_err(|fault| {
                let place = format!("line {}, column `{}`", lines[fault.row], shortened(name));
                DataError::Malformed { file: file.clone(), place, message: fault.message }
            })
        })?;
        let mut typed = typed.into_iter();
        let columns = numbers.into_iter().zip(names).map(|(numbers, name)| match numbers {
            Some(numbers) => TableColumn::known(name, numbers),
            None => typed.next().expect("invariant: a column of texts was typed"),
        });
        let columns = columns.collect();
        Table::from_parts(file.clone(), lines, columns).map(Some)
    }

    /// Cuts blocks again whose cells of a column were taken for numbers, where others are not.
    fn cut_again(&mut self) -> Result<(), DataError> {
        let numbers = &self.numbers;
        let words: Vec<usize> = (0..numbers.len()).filter(|&c| numbers[c].is_none()).collect();
        let lacks = |part: &Texts| words.iter().any(|&column| !part.has(column));
        let lacking: Vec<usize> =
            (0..self.parts.len()).filter(|&index| lacks(&self.parts[index])).collect();
        let (parts, layout) = (&self.parts, &*self.reading.layout);
        let (file, name) = (self.reading.blocks.file.as_ref(), &self.reading.file);
        let fresh = in_order(lacking.len(), |index| {
            again(&parts[lacking[index]], file, layout).map_err(|source| {
                let source = source.unwrap_or_else(|| io::Error::other("it changed meanwhile"));
                DataError::Read { path: name.into(), source }
            })
        })?;
        for (index, part) in lacking.into_iter().zip(fresh) {
            self.parts[index] = part;
        }
        Ok(())
    }
}

/// A part once more; an error without a cause if the file has other rows now.
fn again(part: &Texts, file: Option<&File>, layout: &Layout) -> Result<Texts, Option<io::Error>> {
    let block = match file.filter(|_| part.block.text.is_empty()) {
        Some(file) => Arc::new(part.block.again(file)?),
        None => Arc::clone(&part.block),
    };
    let mut fresh = layout.part(block);
    if fresh.rows.end < part.rows.end {
        return Err(None);
    }
    fresh.split_off(part.rows.end);
    Ok(fresh.split_off(part.rows.start).texts())
}

/// The texts of a column, `None` where one is missing.
fn texts<'p>(
    parts: &'p [Texts],
    column: usize,
    layout: &'p Layout,
) -> impl Iterator<Item = Option<&'p str>> + Clone {
    let texts = parts.iter().flat_map(move |part| part.column(column));
    texts.map(|text| (!text.is_empty() && !layout.missing.contains(text)).then_some(text))
}

impl Stages for Filling<'_, '_> {
    type Item = Block;
    type Result = Part;

    fn next(&mut self) -> Option<Block> {
        if self.full || self.reading.stop.is_some() {
            return None;
        }
        let first = self.reading.first.take();
        match first.map_or_else(|| self.reading.blocks.next(), Ok) {
            Ok(block) => Some(block),
            Err(stop) => {
                self.reading.stop = Some(stop);
                None
            }
        }
    }

    fn take(&mut self, part: Part) {
        let line = self.reading.line;
        self.reading.line += part.line_ends;
        self.reading.ready.push_back((part, line));
        self.take_ready();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Csv;

    #[test]
    fn a_file_that_changes_while_it_is_read_is_refused() {
        let text = "a\n".to_string() + &"1\n".repeat(100) + &"x\n".repeat(200);
        let mut file = tempfile::tempfile().unwrap();
        let read = |file: &File| {
            let file = Some(file.try_clone().unwrap());
            let csv = Csv { file, ..Csv::new(text.as_bytes()).in_blocks(50) };
            csv.read()
        };
        io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let table = read(&file).unwrap();
        assert_eq!((table.len(), table.columns()[0].word(99)), (300, Some("1")));
        let fewer = text.replacen("1\n1\n", "111\n", 1);
        file.set_len(0).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        io::Write::write_all(&mut file, fewer.as_bytes()).unwrap();
        let error = read(&file).unwrap_err();
        assert!(format!("{error:?}").contains("it changed meanwhile"), "{error:?}");
        file.set_len(60).unwrap();
        assert!(matches!(read(&file), Err(DataError::Read { .. })));
    }
}
