//! Which cells and rows are equal.

use std::cmp::Ordering;

use super::table::{Cells, Table, TableColumn};

impl Table {
    /// The rows whose cells all equal those of an earlier row, in order. Missing cells are equal
    /// to each other, and so are 0 and -0.
    pub fn duplicates(&self) -> Vec<usize> {
        self.duplicates_in(|_| true)
    }

    /// As [`Table::duplicates`], by the cells of some columns alone.
    pub(super) fn duplicates_in(&self, counts: impl Fn(&TableColumn) -> bool) -> Vec<usize> {
        let columns: Vec<&TableColumn> =
            self.columns().iter().filter(|column| counts(column)).collect();
        let mut hashes = vec![0u64; self.len()];
        for column in &columns {
            match &column.cells {
                Cells::Numbers(numbers) | Cells::Dates(numbers) => {
                    mix(&mut hashes, numbers.iter().map(|&x| key(x)))
                }
                Cells::Categories { codes, .. } => {
                    mix(&mut hashes, codes.iter().map(|&code| code.into()));
                }
            }
        }
        let equal = |a: usize, b: usize| {
            columns.iter().map(|column| compare(column, a, b)).find(|order| order.is_ne())
        };
        // Hashes bring equal rows together; the cells decide. So colliding hashes cost time alone.
        let order = |a: usize, b: usize| {
            hashes[a].cmp(&hashes[b]).then_with(|| equal(a, b).unwrap_or(Ordering::Equal))
        };
        let mut rows: Vec<usize> = (0..self.len()).collect();
        rows.sort_unstable_by(|&a, &b| order(a, b).then(a.cmp(&b)));
        let later = rows.windows(2).filter(|pair| order(pair[0], pair[1]).is_eq());
        let mut duplicates: Vec<usize> = later.map(|pair| pair[1]).collect();
        duplicates.sort_unstable();
        duplicates
    }
}

impl TableColumn {
    /// Numbers the different values of a column, "missing" among them, and says how many there are.
    pub(super) fn value_numbers(&self) -> (Vec<u32>, usize) {
        match &self.cells {
            Cells::Numbers(numbers) | Cells::Dates(numbers) => {
                let mut sorted: Vec<f64> = numbers.iter().map(|x| x + 0.0).collect();
                sorted.sort_unstable_by(f64::total_cmp);
                sorted.dedup_by(|a, b| a.total_cmp(b).is_eq());
                let place = |x: &f64| sorted.partition_point(|y| y.total_cmp(&(x + 0.0)).is_lt());
                (numbers.iter().map(|x| place(x) as u32).collect(), sorted.len())
            }
            Cells::Categories { words, codes } => {
                // The code of a missing cell is beyond all words.
                let code = |code: u32| (code as usize).min(words.len());
                let mut places = vec![u32::MAX; words.len() + 1];
                let mut distinct = 0;
                let mut number = |cell: u32| {
                    let place = &mut places[code(cell)];
                    if *place == u32::MAX {
                        *place = distinct;
                        distinct += 1;
                    }
                    *place
                };
                let values = codes.iter().map(|&cell| number(cell)).collect();
                (values, distinct as usize)
            }
        }
    }
}

/// A number's bits, 0 and -0 being one number, and all missing ones being one.
fn key(number: f64) -> u64 {
    if number.is_nan() { u64::MAX } else { (number + 0.0).to_bits() }
}

fn compare(column: &TableColumn, a: usize, b: usize) -> Ordering {
    match &column.cells {
        Cells::Numbers(numbers) | Cells::Dates(numbers) => key(numbers[a]).cmp(&key(numbers[b])),
        Cells::Categories { codes, .. } => codes[a].cmp(&codes[b]),
    }
}

/// Takes one more cell of each row into its hash, by the finaliser of SplitMix64.
fn mix(hashes: &mut [u64], cells: impl Iterator<Item = u64>) {
    for (hash, cell) in hashes.iter_mut().zip(cells) {
        let mut z = (*hash ^ cell).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        *hash = z ^ (z >> 31);
    }
}
