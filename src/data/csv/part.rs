//! The rows of a block, cut into cells.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::blocks::Block;
use super::cell::{Cell, trimmed, width};
use super::number::{MARGIN, plain};

/// What is said of a row that a quote swallows.
pub(super) const UNCLOSED: &str = "a quote in this row is not closed";
/// Of the start of a [`Place`]: it is in the texts without quotes.
const UNQUOTED: u32 = 1 << 31;

/// How the rows of a file are to be cut.
#[derive(Default)]
pub(super) struct Layout {
    pub(super) delimiter: u8,
    /// By column, whether all its cells are numbers or missing, as far as was looked.
    pub(super) numbers: Vec<AtomicBool>,
    /// Words that stand for a missing cell.
    pub(super) missing: HashSet<String>,
    /// Those of them that are numbers.
    pub(super) missing_numbers: Vec<f64>,
}

/// The rows of a block, or some of them.
pub(super) struct Part {
    pub(super) block: Arc<Block>,
    /// Cells that stand in the block with quotes inside, without them.
    unquoted: Arc<str>,
    /// Which of the block's rows these are.
    pub(super) rows: Range<usize>,
    /// On which line each begins, from the block's first.
    pub(super) lines: Vec<u32>,
    pub(super) columns: Vec<Cells>,
    /// Ends of lines in the block.
    pub(super) line_ends: u64,
    /// What is wrong with the row behind the last one.
    pub(super) fault: Option<Fault>,
}

/// The cells of a column.
pub(super) enum Cells {
    /// A missing number is a NaN.
    Numbers(Vec<f64>),
    Texts(Vec<Place>),
}

/// Where the text of a cell stands: the first byte and how many.
#[derive(Clone, Copy)]
pub(super) struct Place(u32, u32);

/// A row that is no row of its table.
#[derive(Default)]
pub(super) struct Fault {
    /// On which line it begins, from the block's first.
    pub(super) line: u32,
    pub(super) column: Option<usize>,
    pub(super) message: String,
    /// So many cells, where another number was expected.
    pub(super) width: Option<usize>,
}

impl Layout {
    /// The rows of a block.
    pub(super) fn part(&self, block: Arc<Block>) -> Part {
        let mut cut = Cut::new(self, &block.text);
        if cut.turned {
            for (numbers, cells) in self.numbers.iter().zip(&cut.columns) {
                if let Cells::Texts(_) = cells {
                    numbers.store(false, Ordering::Relaxed);
                }
            }
            // Once more: the rows before have texts, too.
            cut = Cut::new(self, &block.text);
        }
        let Cut { lines, columns, unquoted, line_ends, fault, .. } = cut;
        let (rows, unquoted) = (0..lines.len(), unquoted.into());
        Part { unquoted, rows, lines, columns, line_ends, fault, block }
    }
}

impl Part {
    /// Cuts off the rows behind so many.
    pub(super) fn split_off(&mut self, rows: usize) -> Part {
        let at = self.rows.start + rows;
        let columns = self.columns.iter_mut().map(|cells| match cells {
            Cells::Numbers(numbers) => Cells::Numbers(numbers.split_off(rows)),
            Cells::Texts(places) => Cells::Texts(places.split_off(rows)),
        });
        let rest = Part {
            block: Arc::clone(&self.block),
            unquoted: Arc::clone(&self.unquoted),
            rows: at..self.rows.end,
            lines: self.lines.split_off(rows),
            columns: columns.collect(),
            line_ends: self.line_ends,
            fault: self.fault.take(),
        };
        self.rows.end = at;
        rest
    }

    /// What is kept of these rows: the texts. Columns of numbers are taken out before.
    pub(super) fn texts(self) -> Texts {
        let Part { block, unquoted, rows, columns, .. } = self;
        let (mut with_texts, mut places) = (Vec::new(), Vec::new());
        for (column, cells) in columns.into_iter().enumerate() {
            if let Cells::Texts(mut cells) = cells {
                with_texts.push(column as u32);
                places.append(&mut cells);
            }
        }
        places.shrink_to_fit();
        with_texts.shrink_to_fit();
        Texts { block, unquoted, rows, columns: with_texts, places }
    }
}

/// The texts of the rows of a part.
pub(super) struct Texts {
    pub(super) block: Arc<Block>,
    unquoted: Arc<str>,
    /// Which of the block's rows these are.
    pub(super) rows: Range<usize>,
    /// The columns that have texts, in order.
    columns: Vec<u32>,
    /// Where their cells are, column after column.
    places: Vec<Place>,
}

impl Texts {
    /// Whether there are texts of a column.
    pub(super) fn has(&self, column: usize) -> bool {
        self.columns.binary_search(&(column as u32)).is_ok()
    }

    /// The texts of a column that has some.
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = &str> + Clone {
        let place = self.columns.binary_search(&(column as u32));
        let place = place.expect("invariant: the column was cut into texts");
        let rows = self.rows.len();
        self.places[place * rows..][..rows].iter().map(|&place| self.text(place))
    }

    fn text(&self, place: Place) -> &str {
        let Place(start, length) = place;
        let range = |start: u32| start as usize..start as usize + length as usize;
        match start & UNQUOTED {
            0 => std::str::from_utf8(&self.block.text[range(start)])
                .expect("invariant: it was text when it was cut"),
            _ => &self.unquoted[range(start & !UNQUOTED)],
        }
    }
}

/// What is found in a text.
struct Cut<'a> {
    layout: &'a Layout,
    text: &'a [u8],
    lines: Vec<u32>,
    columns: Vec<Cells>,
    unquoted: String,
    line_ends: u64,
    fault: Option<Fault>,
    /// Whether a column of numbers turned out to be none.
    turned: bool,
}

impl<'a> Cut<'a> {
    /// All rows of a text with margins, up to the first that is none.
    fn new(layout: &'a Layout, text: &'a [u8]) -> Cut<'a> {
        let columns = layout.numbers.iter().map(|numbers| match numbers.load(Ordering::Relaxed) {
            true => Cells::Numbers(Vec::new()),
            false => Cells::Texts(Vec::new()),
        });
        let mut columns: Vec<Cells> = columns.collect();
        let (lines, unquoted, line_ends) = (Vec::new(), String::new(), 0);
        let (fault, turned) = (None, false);
        let mut cut =
            Cut { layout, text, lines, columns: vec![], unquoted, line_ends, fault, turned };
        cut.rows(&mut columns);
        cut.columns = columns;
        cut
    }

    fn rows(&mut self, columns: &mut [Cells]) {
        let last = self.text.len() - MARGIN;
        let mut at = MARGIN;
        loop {
            while at < last && matches!(self.text[at], b'\n' | b'\r') {
                self.line_ends += u64::from(self.text[at] == b'\n');
                at += 1;
            }
            if at >= last {
                return;
            }
            let line = u32::try_from(self.line_ends).expect("invariant: a block has 65 MiB");
            match self.row(at, columns) {
                Ok(end) => at = end,
                Err(fault) => {
                    columns.iter_mut().for_each(|cells| cells.truncate(self.lines.len()));
                    self.fault = Some(Fault { line, ..fault });
                    return;
                }
            }
            self.lines.push(line);
            if self.lines.len() == 8 {
                // The rest will need as much room as these rows.
                let rows = 8 * self.text.len() / (at - MARGIN);
                self.lines.reserve(rows);
                columns.iter_mut().for_each(|cells| cells.reserve(rows));
            }
        }
    }

    /// Takes the row at a place; gives its end.
    fn row(&mut self, start: usize, columns: &mut [Cells]) -> Result<usize, Fault> {
        let delimiter = self.layout.delimiter;
        let (mut at, mut left) = (start, columns.len());
        for cells in columns {
            left -= 1;
            at = match self.number(at, cells) {
                Some(end) => end,
                None => self.cell(at, cells).map_err(|fault| {
                    let column = self.layout.numbers.len() - 1 - left;
                    self.fault_of(start, Fault { column: Some(column), ..fault })
                })?,
            };
            let more = self.text[at] == delimiter;
            if more == (left == 0) {
                return Err(self.fault_of(start, Fault::default()));
            }
            at += usize::from(more);
        }
        Ok(at)
    }

    /// What is wrong with a row, in which this was found. One whose quotes swallow others, or that is
    /// too short or long, is so whatever its cells hold.
    #[cold]
    fn fault_of(&self, start: usize, fault: Fault) -> Fault {
        let Some(width) = width(self.text, start, self.layout.delimiter) else {
            return Fault { message: UNCLOSED.into(), ..Fault::default() };
        };
        Fault { width: (width != self.layout.numbers.len()).then_some(width), ..fault }
    }

    /// Takes the cell at a place if it is a number, plainly written; gives its end.
    #[inline(always)]
    fn number(&self, at: usize, cells: &mut Cells) -> Option<usize> {
        let Cells::Numbers(numbers) = cells else { return None };
        let (number, end) = plain(self.text, at)?;
        let behind = self.text[end];
        let whole = behind == self.layout.delimiter || matches!(behind, b'\n' | b'\r');
        if !whole || self.layout.missing_numbers.contains(&number) {
            return None;
        }
        numbers.push(number);
        Some(end)
    }

    /// Takes the cell at a place; gives its end.
    fn cell(&mut self, at: usize, cells: &mut Cells) -> Result<usize, Fault> {
        let fault = |message: String| Fault { message, ..Fault::default() };
        let cell = Cell::new(self.text, at, self.layout.delimiter);
        let cell = cell.ok_or_else(|| fault(UNCLOSED.into()))?;
        let bytes = cell.unquoted(self.text);
        let text = trimmed(&bytes).map_err(fault)?;
        if self.text[at] == b'"' {
            self.line_ends += memchr::memchr_iter(b'\n', &bytes).count() as u64;
        }
        if let Cells::Numbers(numbers) = cells {
            let number = match text.is_empty() || self.layout.missing.contains(text) {
                true => Some(f64::NAN),
                false => text.parse().ok().filter(|number: &f64| number.is_finite()),
            };
            if let Some(number) = number {
                numbers.push(number);
                return Ok(cell.end);
            }
            *cells = Cells::Texts(Vec::new());
            self.turned = true;
        }
        if let Cells::Texts(places) = cells {
            let start = match &bytes {
                Cow::Borrowed(_) => text.as_ptr().addr() - self.text.as_ptr().addr(),
                Cow::Owned(_) => self.unquoted.len() | UNQUOTED as usize,
            };
            places.push(Place(start as u32, text.len() as u32));
            if let Cow::Owned(_) = &bytes {
                self.unquoted.push_str(text);
            }
        }
        Ok(cell.end)
    }
}

impl Cells {
    fn truncate(&mut self, rows: usize) {
        match self {
            Cells::Numbers(numbers) => numbers.truncate(rows),
            Cells::Texts(places) => places.truncate(rows),
        }
    }

    fn reserve(&mut self, rows: usize) {
        match self {
            Cells::Numbers(numbers) => numbers.reserve(rows),
            Cells::Texts(places) => places.reserve(rows),
        }
    }
}
