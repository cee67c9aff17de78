//! Which rows of the data some steps of an epoch take.

use std::ops::Range;
use std::sync::Arc;

use super::draws::{Draws, Shares};
use super::options::Fit;
use crate::data::{self, Dataset};
use crate::error::TrainError;
use crate::random::Permutation;

/// Stream of the keyed permutation of rows.
const SHUFFLE: u32 = 0;
/// Stream of the order of chunks.
const CHUNKS: u32 = 0x6368_6e6b;
/// Stream of the orders within windows.
const WINDOWS: u32 = 0x7769_6e64;

/// The order of an epoch.
#[derive(Clone)]
pub(super) enum Order {
    /// The data's own.
    Own,
    /// Of all rows at once.
    Shuffled(Permutation),
    /// Window by window.
    Windows(Arc<Windows>),
    /// Drawn with replacement.
    Drawn(Draws),
}

/// The orders of a run's epochs.
#[derive(Clone)]
pub(super) struct Orders<'data> {
    data: &'data Dataset,
    seed: u64,
    shuffle: bool,
    /// Where rows are drawn with replacement.
    shares: Option<Shares>,
}

impl<'data> Orders<'data> {
    /// # Errors
    /// If the data can't be drawn from as the options ask for.
    pub(super) fn new(data: &'data Dataset, fit: &Fit<'_>, seed: u64) -> Result<Self, TrainError> {
        let shares = fit.sampling.as_ref().map(|sampling| Shares::new(sampling, data));
        let shares = shares.transpose().map_err(TrainError::Options)?;
        Ok(Orders { data, seed, shuffle: fit.shuffle, shares })
    }

    /// The data whose rows these are.
    pub(super) fn data(&self) -> &'data Dataset {
        self.data
    }

    /// The order of an epoch of the trainer's.
    pub(super) fn epoch(&self, epoch: u64) -> Order {
        if let Some(shares) = &self.shares {
            return Order::Drawn(shares.draws(self.seed, epoch));
        }
        let rows = self.data.len();
        match self.data.windows() {
            Some(sizes) => {
                let key = self.shuffle.then_some((self.seed, epoch));
                Order::Windows(Arc::new(Windows::new(rows, sizes, key)))
            }
            None if self.shuffle => {
                Order::Shuffled(Permutation::new(self.seed, SHUFFLE, epoch, rows as u64))
            }
            None => Order::Own,
        }
    }

    /// Whether a device that has all rows can find those of a place.
    pub(super) fn on_device(&self) -> bool {
        self.shares.is_none() && self.data.windows().is_none()
    }
}

impl Order {
    /// The order of all rows at once, which a device can compute.
    pub(super) fn permutation(&self) -> Option<&Permutation> {
        match self {
            Order::Shuffled(order) => Some(order),
            _ => None,
        }
    }
}

/// An order of rows of which a window is held at a time. Chunks come in the order of a permutation;
/// a window is some that follow each other in it; within a window rows are permuted. All of it is
/// computed from seed and epoch, so a place of an epoch is a row, and a row a byte of its file.
pub(super) struct Windows {
    rows: usize,
    sizes: data::Windows,
    /// In the order of their windows, and in the file's within one.
    chunks: Vec<usize>,
    /// The first place of each window.
    starts: Vec<usize>,
    /// Seed and epoch, where rows are shuffled.
    key: Option<(u64, u64)>,
}

impl Windows {
    fn new(rows: usize, sizes: data::Windows, key: Option<(u64, u64)>) -> Windows {
        let mut chunks: Vec<usize> = (0..rows.div_ceil(sizes.chunk)).collect();
        if let Some((seed, epoch)) = key {
            let order = Permutation::new(seed, CHUNKS, epoch, chunks.len() as u64);
            order.fill(0, &mut chunks);
        }
        let (mut starts, mut place) = (vec![], 0);
        for window in chunks.chunks_mut(sizes.chunks) {
            starts.push(place);
            window.sort_unstable();
            let whole = window.len() * sizes.chunk;
            let last = window[window.len() - 1];
            // Only the data's last chunk may be short.
            place += whole - ((last + 1) * sizes.chunk).saturating_sub(rows);
        }
        Windows { rows, sizes, chunks, starts, key }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.starts.len()
    }

    /// The window of a place.
    pub(super) fn at(&self, place: usize) -> usize {
        self.starts.partition_point(|&start| start <= place) - 1
    }

    /// The places of a window.
    pub(super) fn places(&self, window: usize) -> Range<usize> {
        let end = self.starts.get(window + 1).copied();
        self.starts[window]..end.unwrap_or(self.rows)
    }

    /// The rows of the data that a window is made of, in the order in which they are held.
    pub(super) fn ranges(&self, window: usize) -> Vec<Range<usize>> {
        let range = |&chunk: &usize| {
            let first = chunk * self.sizes.chunk;
            first..self.rows.min(first + self.sizes.chunk)
        };
        self.of(window).iter().map(range).collect()
    }

    fn of(&self, window: usize) -> &[usize] {
        let first = window * self.sizes.chunks;
        &self.chunks[first..self.chunks.len().min(first + self.sizes.chunks)]
    }

    /// Which of a window's held rows stand at some of its places.
    pub(super) fn write(&self, window: usize, places: Range<usize>, rows: &mut Vec<usize>) {
        let all = self.places(window);
        let first = places.start - all.start;
        rows.clear();
        rows.extend(first..first + places.len());
        if let Some((seed, epoch)) = self.key {
            let step = epoch << 24 | window as u64;
            Permutation::new(seed, WINDOWS, step, all.len() as u64).fill(first as u64, rows);
        }
    }

    /// The places of a stretch of the epoch, window by window.
    pub(super) fn split(
        &self,
        places: Range<usize>,
    ) -> impl Iterator<Item = (usize, Range<usize>)> {
        let mut left = places;
        std::iter::from_fn(move || {
            let window = (!left.is_empty()).then(|| self.at(left.start))?;
            let end = left.end.min(self.places(window).end);
            let stretch = left.start..end;
            left.start = end;
            Some((window, stretch))
        })
    }
}

/// The rows at some places of an epoch.
pub(super) struct Rows {
    order: Order,
    places: Range<usize>,
}

impl Rows {
    pub(super) fn new(order: Order, places: Range<usize>) -> Rows {
        Rows { order, places }
    }

    pub(super) fn places(&self) -> Range<usize> {
        self.places.clone()
    }

    pub(super) fn order(&self) -> &Order {
        &self.order
    }

    /// Where these rows stand in a dataset, which has them under these numbers.
    pub(super) fn taken<'a>(&self, rows: &'a [usize]) -> Taken<'a> {
        match self.order {
            Order::Drawn(_) => Taken { rows, drawn: Some(self.places.start) },
            _ => Taken::once(rows),
        }
    }

    /// All of them, in place of what `rows` held.
    pub(super) fn write(&self, rows: &mut Vec<usize>) {
        rows.clear();
        match &self.order {
            Order::Own => rows.extend(self.places.clone()),
            Order::Shuffled(order) => {
                rows.extend(self.places.clone());
                order.fill(self.places.start as u64, rows);
            }
            Order::Drawn(draws) => rows.extend(self.places.clone().map(|place| draws.row(place))),
            Order::Windows(windows) => {
                let (mut held, size) = (vec![], windows.sizes.chunk);
                for (window, places) in windows.split(self.places.clone()) {
                    windows.write(window, places, &mut held);
                    let chunks = windows.of(window);
                    rows.extend(held.iter().map(|at| chunks[at / size] * size + at % size));
                }
            }
        }
    }
}

/// Rows of a dataset that are taken one after the other.
#[derive(Clone, Copy)]
pub(super) struct Taken<'a> {
    pub(super) rows: &'a [usize],
    /// The first one's place in the epoch, where a row may come several times.
    drawn: Option<usize>,
}

impl<'a> Taken<'a> {
    /// Rows that come once.
    pub(super) fn once(rows: &'a [usize]) -> Taken<'a> {
        Taken { rows, drawn: None }
    }

    /// So many at a time.
    pub(super) fn chunks(self, size: usize) -> impl Iterator<Item = Taken<'a>> {
        (0..)
            .step_by(size)
            .zip(self.rows.chunks(size))
            .map(move |(at, rows)| Taken { rows, drawn: self.drawn.map(|first| first + at) })
    }

    /// What augmentation draws by for each, beside seed and epoch: the row's number in the data, or
    /// where a row may come several times its place in the epoch.
    pub(super) fn keys(self, data: &Dataset) -> impl Iterator<Item = u32> {
        (0..).zip(self.rows).map(move |(at, &row)| match self.drawn {
            Some(first) => (first + at) as u32,
            None => data.number(row),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(rows: usize, chunk: usize, chunks: usize, epoch: Option<u64>) -> Windows {
        Windows::new(rows, data::Windows { chunk, chunks }, epoch.map(|epoch| (7, epoch)))
    }

    fn rows(windows: Windows, places: Range<usize>) -> Vec<usize> {
        let mut rows = vec![7];
        Rows::new(Order::Windows(Arc::new(windows)), places).write(&mut rows);
        rows
    }

    #[test]
    fn each_row_comes_once_in_windows_too() {
        for (all, chunk, chunks) in [(1, 1, 1), (103, 4, 3), (103, 1, 7), (96, 4, 8), (103, 50, 1)]
        {
            for epoch in 0..9 {
                let order = rows(windows(all, chunk, chunks, Some(epoch)), 0..all);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..all).collect::<Vec<_>>(), "{all} {chunk} {chunks}");
                // What is at a place does not depend on where one begins.
                let middle = all / 3..all / 2 + 1;
                let again = rows(windows(all, chunk, chunks, Some(epoch)), middle.clone());
                assert_eq!(again, order[middle]);
            }
            assert_eq!(
                rows(windows(all, chunk, chunks, None), 0..all),
                (0..all).collect::<Vec<_>>()
            );
        }
        let of = |epoch| rows(windows(103, 4, 3, Some(epoch)), 0..103);
        assert_ne!(of(0), of(1));
    }

    #[test]
    fn a_window_is_what_its_ranges_hold() {
        let windows = windows(103, 4, 3, Some(5));
        assert_eq!(windows.count(), 9);
        let mut begin = 0;
        for window in 0..9 {
            let places = windows.places(window);
            assert_eq!(places.start, begin);
            begin = places.end;
            let held: Vec<usize> = windows.ranges(window).into_iter().flatten().collect();
            assert_eq!(held.len(), places.len());
            let mut local = vec![];
            windows.write(window, places.clone(), &mut local);
            let order = rows(super::Windows::new(103, windows.sizes, windows.key), places.clone());
            assert_eq!(local.iter().map(|&at| held[at]).collect::<Vec<_>>(), order);
            assert!(places.into_iter().all(|place| windows.at(place) == window));
        }
        assert_eq!(begin, 103);
    }
}
