//! A number that tells datasets apart.

use xxhash_rust::xxh3::Xxh3;

use super::column::{Column, Values};
use super::dataset::Dataset;

impl Dataset {
    /// xxh3 of everything a run sees, in order: names, sizes, classes, rows and weights. Two
    /// datasets of the same content have the same fingerprint however they were made.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        number(&mut hash, self.len());
        for columns in [self.inputs(), self.targets()] {
            number(&mut hash, columns.len());
            columns.iter().for_each(|column| self.hash_column(&mut hash, column));
        }
        let weights = self.weights().unwrap_or_default();
        number(&mut hash, weights.len());
        weights.iter().for_each(|weight| hash.update(&weight.to_le_bytes()));
        hash.digest()
    }

    fn hash_column(&self, hash: &mut Xxh3, column: &Column) {
        text(hash, &column.name);
        text(hash, &column.dtype().to_string());
        number(hash, column.row_shape.len());
        column.row_shape.iter().for_each(|&size| number(hash, size));
        number(hash, column.categories.len());
        column.categories.iter().for_each(|name| text(hash, name));
        let per_row = column.row_elements();
        let mut bytes = Vec::with_capacity(4 * per_row);
        for row in 0..self.len() {
            let elements = self.base_row(row) * per_row..(self.base_row(row) + 1) * per_row;
            bytes.clear();
            match &*column.values {
                Values::F32(v) => bytes.extend(v[elements].iter().flat_map(|x| x.to_le_bytes())),
                Values::U32(v) => bytes.extend(v[elements].iter().flat_map(|x| x.to_le_bytes())),
            }
            hash.update(&bytes);
        }
    }
}

/// Length first, so that no two lists of texts look alike.
fn text(hash: &mut Xxh3, text: &str) {
    number(hash, text.len());
    hash.update(text.as_bytes());
}

fn number(hash: &mut Xxh3, n: usize) {
    hash.update(&(n as u64).to_le_bytes());
}
