//! Data in memory: named columns of equal row count, and where they come from.
//!
//! A [`Dataset`] holds what a model reads (inputs) and what it should say (targets), as 32-bit
//! floats and indices, ready to be gathered into batches. It is made from arrays
//! ([`Dataset::from_arrays`]) or from any columns ([`Dataset::new`]).
//!
//! Rows count from 0 everywhere, lines of a file from 1.

mod arrays;
mod dataset;
mod fingerprint;
mod weights;

pub use arrays::{Element, IntoColumn};
pub use dataset::{Column, ColumnId, Dataset, Task, Values};
