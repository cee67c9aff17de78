//! Data larger than memory: which of its rows are read together, and reading them ahead.

use std::ops::Range;
use std::sync::{Arc, Mutex};

use super::column::{Column, Values};
use super::dataset::{ColumnId, Dataset, Selection};
use crate::error::DataError;
use crate::tensor::DType;

/// Chunks of a window.
const CHUNKS: usize = 64;

/// Rows that one thread reads at a time have about so many bytes.
const TASK: usize = 4 << 20;

/// How rows are read in an epoch: chunks of rows that follow each other, and so many of them
/// together, which is a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Rows of a chunk; the last of the data may have fewer.
    pub chunk: usize,
    /// Chunks of a window.
    pub chunks: usize,
}

impl Dataset {
    /// How many bytes training may hold of rows that stay in files; 1 GiB unless this is called. It
    /// says nothing of data in memory.
    ///
    /// Data that fits is read once, when training begins. Of larger data, two windows are held: one
    /// that rows are taken from, and the next, which threads read meanwhile. A window is 64 chunks of
    /// rows that follow each other, in an order of chunks that is new in every epoch, and rows are
    /// shuffled within their window. So this number changes which rows meet in a batch.
    ///
    /// Keep such data whole or take ranges of it ([`Dataset::rows`]): rows that
    /// [`Dataset::split`] has scattered are read one by one, and their list takes 8 bytes a row.
    #[must_use]
    pub fn with_memory(self, bytes: usize) -> Dataset {
        Dataset { memory: bytes, ..self }
    }

    /// Whether rows stay in files.
    pub fn is_streamed(&self) -> bool {
        self.columns().any(|(_, column)| matches!(*column.values, Values::Stored(_)))
    }

    /// How rows are read in an epoch; none where they are in memory, or fit into what may be held.
    pub fn windows(&self) -> Option<Windows> {
        let row: usize = self.columns().map(|(_, column)| 4 * column.row_elements()).sum();
        if !self.is_streamed() || self.len.saturating_mul(row) <= self.memory {
            return None;
        }
        let rows = (self.memory / 2 / row.max(1)).max(1);
        let chunk = (rows / CHUNKS).max(1);
        Some(Windows { chunk, chunks: rows.min(CHUNKS) })
    }

    /// The number of a row in the data, which stays its own when it is read with others.
    pub(crate) fn number(&self, row: usize) -> u32 {
        self.numbers.as_ref().map_or(row as u32, |numbers| numbers[row])
    }

    /// The rows of these ranges, one range after the other, in memory; so many threads read them.
    ///
    /// # Errors
    /// If a row does not exist or a file can't be read any more.
    pub fn load(&self, ranges: &[Range<usize>], threads: usize) -> Result<Dataset, DataError> {
        self.check_rows(&ranges.iter().filter_map(|r| r.clone().last()).collect::<Vec<_>>())?;
        let mut held = Held::new(self, ranges.iter().map(Range::len).sum());
        let mut tasks = Vec::new();
        for (id, width, values) in &mut held.columns {
            let mut target = Target::of(values);
            for range in ranges {
                let step = (TASK / (4 * *width).max(1)).max(1);
                for first in range.clone().step_by(step) {
                    let rows = first..range.end.min(first + step);
                    let piece = target.split(rows.len() * *width);
                    tasks.push((*id, rows, piece));
                }
            }
        }
        let threads = threads.clamp(1, tasks.len().max(1));
        let (tasks, failed) = (Mutex::new(tasks.into_iter()), Mutex::new(None));
        let run = || {
            let mut indices = Vec::new();
            loop {
                let task = tasks.lock().expect("invariant: no reader panics").next();
                let Some((id, rows, target)) = task else { return };
                indices.clear();
                indices.extend(rows);
                if let Err(error) = self.gather_into(id, &indices, target) {
                    let mut failed = failed.lock().expect("invariant: no reader panics");
                    failed.get_or_insert(error);
                    return;
                }
            }
        };
        std::thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(run)));
            run();
        });
        match failed.into_inner().expect("invariant: no reader panics") {
            Some(error) => Err(error),
            None => {
                let rows = ranges.iter().cloned().flatten();
                held.weights.extend(self.weights.iter().flat_map(|w| rows.clone().map(|r| w[r])));
                held.numbers.extend(rows.map(|row| self.number(row)));
                Ok(held.into_dataset())
            }
        }
    }

    fn gather_into(
        &self,
        id: ColumnId,
        rows: &[usize],
        target: Target<'_>,
    ) -> Result<(), DataError> {
        match target {
            Target::F32(out) => self.gather_f32(id, rows, out),
            Target::U32(out) => self.gather_u32(id, rows, out),
        }
    }
}

/// Rows that are being copied into memory.
pub(crate) struct Held {
    like: Dataset,
    /// With the elements of a row.
    columns: Vec<(ColumnId, usize, Values)>,
    weights: Vec<f32>,
    numbers: Vec<u32>,
}

impl Held {
    /// Room for so many rows of the kind of a dataset's.
    pub(crate) fn new(like: &Dataset, rows: usize) -> Held {
        let columns = like.columns().map(|(id, column)| {
            let count = rows * column.row_elements();
            let values = match column.dtype() {
                DType::U32 => Values::U32(vec![0; count]),
                _ => Values::F32(vec![0.0; count]),
            };
            (id, column.row_elements(), values)
        });
        let columns = columns.collect();
        Held {
            like: Dataset { len: rows, ..like.clone() },
            columns,
            weights: vec![],
            numbers: vec![],
        }
    }

    /// Copies rows of a dataset of the same columns to place `at` and behind. Its places are to be
    /// filled in their order.
    ///
    /// # Errors
    /// If a row does not exist or can't be read.
    pub(crate) fn fill(
        &mut self,
        at: usize,
        from: &Dataset,
        rows: &[usize],
    ) -> Result<(), DataError> {
        for (id, width, values) in &mut self.columns {
            let mut target = Target::of(values);
            target.split(at * *width);
            from.gather_into(*id, rows, target.split(rows.len() * *width))?;
        }
        self.weights.extend(from.weights.iter().flat_map(|w| rows.iter().map(|&r| w[r])));
        self.numbers.extend(rows.iter().map(|&row| from.number(row)));
        Ok(())
    }

    /// The dataset of these rows.
    pub(crate) fn into_dataset(self) -> Dataset {
        let Held { mut like, columns, weights, numbers } = self;
        for (id, _, values) in columns {
            let column: &mut Column = match id {
                ColumnId::Input(i) => &mut like.inputs[i],
                ColumnId::Target(i) => &mut like.targets[i],
            };
            column.values = Arc::new(values);
        }
        let weights = like.weights.as_ref().map(|_| weights.into());
        let numbers = Some(numbers.into());
        Dataset { rows: Selection::From(0), weights, numbers, ..like }
    }
}

/// Where elements are copied to.
enum Target<'a> {
    F32(&'a mut [f32]),
    U32(&'a mut [u32]),
}

impl<'a> Target<'a> {
    fn of(values: &'a mut Values) -> Target<'a> {
        match values {
            Values::F32(values) => Target::F32(values),
            Values::U32(values) => Target::U32(values),
            Values::Stored(_) => unreachable!("invariant: these were made in memory"),
        }
    }

    /// Takes off the first so many elements.
    fn split(&mut self, count: usize) -> Target<'a> {
        match self {
            Target::F32(left) => Target::F32(left.split_off_mut(..count).unwrap_or_default()),
            Target::U32(left) => Target::U32(left.split_off_mut(..count).unwrap_or_default()),
        }
    }
}
