//! A number that tells datasets apart.

use xxhash_rust::xxh3::Xxh3;

use super::column::{Column, Values};
use super::dataset::{ColumnId, Dataset};
use crate::error::DataError;
use crate::tensor::DType;

impl Dataset {
    /// xxh3 of everything a run sees, in order: names, sizes, classes, rows and weights. Two
    /// datasets of the same content have the same fingerprint however they were made. Some rows of a
    /// file are read for it; of all of them it is known.
    ///
    /// # Errors
    /// If rows stay in a file that can't be read any more.
    pub fn fingerprint(&self) -> Result<u64, DataError> {
        let mut hash = Xxh3::new();
        number(&mut hash, self.len());
        for columns in [self.inputs(), self.targets()] {
            number(&mut hash, columns.len());
        }
        for (id, column) in self.columns() {
            describe(&mut hash, column);
            hash.update(&self.content_hash(id, column)?.to_le_bytes());
        }
        let weights = self.weights().unwrap_or_default();
        number(&mut hash, weights.len());
        weights.iter().for_each(|weight| hash.update(&weight.to_le_bytes()));
        Ok(hash.digest())
    }

    /// xxh3 of the elements of a column's rows, as 32-bit little-endian words.
    fn content_hash(&self, id: ColumnId, column: &Column) -> Result<u64, DataError> {
        if let (Values::Stored(stored), true) = (&*column.values, self.is_whole()) {
            return Ok(stored.hash());
        }
        let per_row = column.row_elements();
        let piece = (PIECE / per_row).max(1);
        let (mut hash, mut rows) = (Xxh3::new(), Vec::new());
        let (mut numbers, mut indices) = (Vec::new(), Vec::new());
        for first in (0..self.len()).step_by(piece) {
            rows.clear();
            rows.extend(first..self.len().min(first + piece));
            if column.dtype() == DType::U32 {
                indices.resize(rows.len() * per_row, 0);
                self.gather_u32(id, &rows, &mut indices)?;
                indices.iter().for_each(|x| hash.update(&x.to_le_bytes()));
            } else {
                numbers.resize(rows.len() * per_row, 0.0);
                self.gather_f32(id, &rows, &mut numbers)?;
                numbers.iter().for_each(|x| hash.update(&x.to_le_bytes()));
            }
        }
        Ok(hash.digest())
    }
}

fn describe(hash: &mut Xxh3, column: &Column) {
    text(hash, &column.name);
    text(hash, &column.dtype().to_string());
    number(hash, column.row_shape.len());
    column.row_shape.iter().for_each(|&size| number(hash, size));
    number(hash, column.categories.len());
    column.categories.iter().for_each(|name| text(hash, name));
}

/// Elements that are hashed at a time.
const PIECE: usize = 16 * 1024;

/// Length first, so that no two lists of texts look alike.
fn text(hash: &mut Xxh3, text: &str) {
    number(hash, text.len());
    hash.update(text.as_bytes());
}

fn number(hash: &mut Xxh3, n: usize) {
    hash.update(&(n as u64).to_le_bytes());
}
