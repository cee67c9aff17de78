//! [`Stored`]: elements that stay in a file.
//!
//! They are read with positioned reads, not mapped: a mapped file that somebody cuts ends the
//! process by a signal, where a read returns an error that names the place.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::decode::Coding;
use crate::error::DataError;
use crate::tensor::DType;

/// Bytes that are read at once.
const PIECE: usize = 1 << 18;

/// What elements of a file stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Numbers,
    /// Bytes as numbers from 0 to 1: byte / 255.
    Pixels,
    Indices,
}

/// Where elements stand: a file, the byte of the first, and how many.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<File>,
    pub(super) path: String,
    pub(super) start: u64,
    pub(super) len: usize,
    /// Elements of a row.
    pub(super) per_row: usize,
    pub(super) coding: Coding,
}

/// Elements that stay in their file, row after row, and are read when they are needed. They were all
/// looked at once, when the file was opened.
#[derive(Clone, Debug)]
pub struct Stored {
    place: Place,
    meaning: Meaning,
    /// XXH3 of the elements, as 32-bit little-endian words.
    hash: u64,
    /// The largest index, and where it is first.
    largest: (u32, usize),
}

impl PartialEq for Stored {
    fn eq(&self, other: &Stored) -> bool {
        let parts = |s: &Stored| (s.place.len, s.dtype(), s.hash);
        parts(self) == parts(other)
    }
}

impl Stored {
    /// Reads all elements once, and refuses numbers that are not finite and integers that are no
    /// indices.
    pub(super) fn new(place: Place, meaning: Meaning, column: &str) -> Result<Stored, DataError> {
        let (mut hash, mut largest) = (Xxh3::new(), (0, 0));
        let row = |index: usize| index / place.per_row;
        let invalid = |index, what| {
            Err(DataError::Invalid(format!("column `{column}`, row {}: {what}", row(index))))
        };
        match meaning {
            Meaning::Indices => place.each(|first, bytes, indices: &mut [u32]| {
                if let Err((at, value)) = place.coding.indices(bytes, indices) {
                    return Err(place.no_index(column, first + at, value));
                }
                for (at, &index) in indices.iter().enumerate() {
                    if index > largest.0 {
                        largest = (index, first + at);
                    }
                }
                indices.iter().for_each(|x| hash.update(&x.to_le_bytes()));
                Ok(())
            })?,
            _ => place.each(|first, bytes, numbers: &mut [f32]| {
                place.numbers(meaning, bytes, numbers);
                if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
                    let what = "is not a finite number; impute or remove such rows first";
                    return invalid(first + at, format!("{} {what}", numbers[at]));
                }
                numbers.iter().for_each(|x| hash.update(&x.to_le_bytes()));
                Ok(())
            })?,
        }
        let hash = hash.digest();
        Ok(Stored { place, meaning, hash, largest })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.place.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the elements once they are read.
    pub fn dtype(&self) -> DType {
        match self.meaning {
            Meaning::Indices => DType::U32,
            _ => DType::F32,
        }
    }

    /// XXH3 of all elements.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The largest index, and its place.
    pub(super) fn largest(&self) -> (u32, usize) {
        self.largest
    }

    /// Reads elements from place `first` on, indices as numbers.
    ///
    /// # Errors
    /// If the file can't be read or was cut since it was opened.
    pub fn read_f32(&self, first: usize, out: &mut [f32]) -> Result<(), DataError> {
        self.place.read(first, out, |_, bytes, out| {
            self.place.numbers(self.meaning, bytes, out);
            Ok(())
        })
    }

    /// Reads indices from place `first` on.
    ///
    /// # Errors
    /// If the file can't be read, was cut since it was opened, or has other elements now: none is
    /// larger than the largest was. Or if the elements are numbers.
    pub fn read_u32(&self, first: usize, out: &mut [u32]) -> Result<(), DataError> {
        if self.meaning != Meaning::Indices {
            let text = "numbers are in the file where indices are asked for";
            return Err(self.place.fault(first, text.into()));
        }
        self.place.read(first, out, |first, bytes, out| {
            let read = self.place.coding.indices(bytes, out);
            let limit = self.largest.0;
            let larger = |out: &[u32]| out.iter().position(|&x| x > limit);
            let found = match read {
                Ok(()) => larger(out).map(|at| (at, i128::from(out[at]))),
                Err(fault) => Some(fault),
            };
            found.map_or(Ok(()), |(at, value)| {
                Err(self.place.fault(
                    first + at,
                    format!("{value}, where no index was above {limit} when the file was opened"),
                ))
            })
        })
    }
}

impl Place {
    fn numbers(&self, meaning: Meaning, bytes: &[u8], out: &mut [f32]) {
        self.coding.numbers(bytes, out);
        if meaning == Meaning::Pixels {
            out.iter_mut().for_each(|x| *x /= 255.0);
        }
    }

    /// The error for an integer that is no index.
    pub(super) fn no_index(&self, column: &str, index: usize, value: i128) -> DataError {
        let place = format!("column `{column}`, row {}", index / self.per_row);
        self.fault(index, format!("{place}: {value} is not an index from 0 to {}", u32::MAX))
    }

    fn byte(&self, index: usize) -> u64 {
        self.start + (index * self.coding.element.bytes()) as u64
    }

    fn fault(&self, index: usize, message: String) -> DataError {
        let (row, byte) = (index / self.per_row, self.byte(index));
        let place = format!("row {row}, byte {byte}");
        DataError::Malformed { file: self.path.clone(), place, message }
    }

    /// Reads all elements, a piece at a time, into memory that `take` writes.
    fn each<T: Copy + Default>(
        &self,
        mut take: impl FnMut(usize, &[u8], &mut [T]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let mut out = vec![T::default(); self.len.min(PIECE)];
        for first in (0..self.len).step_by(PIECE) {
            let count = PIECE.min(self.len - first);
            self.read(first, &mut out[..count], &mut take)?;
        }
        Ok(())
    }

    /// Reads elements from place `first` on; `decode` is given the place of a piece and its bytes.
    fn read<T>(
        &self,
        first: usize,
        out: &mut [T],
        mut decode: impl FnMut(usize, &[u8], &mut [T]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let size = self.coding.element.bytes();
        let mut buffer = vec![0; (out.len() * size).min(PIECE)];
        for (i, out) in out.chunks_mut(PIECE / size).enumerate() {
            let first = first + i * (PIECE / size);
            let bytes = &mut buffer[..out.len() * size];
            self.fill(first, bytes)?;
            decode(first, bytes, out)?;
        }
        Ok(())
    }

    fn fill(&self, first: usize, bytes: &mut [u8]) -> Result<(), DataError> {
        let at = self.byte(first);
        self.file.read_exact_at(bytes, at).map_err(|source| match source.kind() {
            ErrorKind::UnexpectedEof => {
                let length = self.file.metadata().map_or(0, |m| m.len());
                let whole = self.byte(self.len);
                let message = format!(
                    "the file has {length} bytes, it had {whole} when it was opened; it was cut"
                );
                // The row where it ends, which is in this piece.
                let ends = length.saturating_sub(self.start) / self.coding.element.bytes() as u64;
                self.fault(first.max(ends as usize), message)
            }
            _ => DataError::Read { path: PathBuf::from(&self.path), source },
        })
    }
}
