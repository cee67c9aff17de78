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
        match &*column.values {
            Values::F32(values) => self.hash_rows(hash, values, column, f32::to_le_bytes),
            Values::U32(values) => self.hash_rows(hash, values, column, u32::to_le_bytes),
        }
    }

    fn hash_rows<T: Copy>(
        &self,
        hash: &mut Xxh3,
        values: &[T],
        column: &Column,
        bytes: impl Fn(T) -> [u8; 4],
    ) {
        let per_row = column.row_elements();
        let mut buffer = Vec::with_capacity(PIECE.max(per_row));
        let mut take = |elements: &[T]| {
            if buffer.len() + elements.len() > buffer.capacity() {
                hash.update(buffer.as_flattened());
                buffer.clear();
            }
            buffer.extend(elements.iter().map(|x| bytes(*x)));
        };
        match self.base_rows() {
            None => values.chunks(PIECE).for_each(take),
            Some(rows) => rows.iter().for_each(|row| take(&values[row * per_row..][..per_row])),
        }
        hash.update(buffer.as_flattened());
    }
}

/// Elements that are hashed at a time.
const PIECE: usize = 1024;

/// Length first, so that no two lists of texts look alike.
fn text(hash: &mut Xxh3, text: &str) {
    number(hash, text.len());
    hash.update(text.as_bytes());
}

fn number(hash: &mut Xxh3, n: usize) {
    hash.update(&(n as u64).to_le_bytes());
}
