//! Tests of the module through its public interface.

#[cfg(feature = "audio")]
mod audio;
mod combinations;
mod csv;
mod dataset;
mod dates;
mod encoding;
mod hostile;
mod idx;
#[cfg(feature = "images")]
mod images;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod preprocessing;
mod recipe;
mod report;
mod spill;
mod split;
mod transforms;
mod vocabulary;

use crate::error::DataError;

use super::{ColumnId, Dataset};

/// The text of an error.
fn message<T>(result: Result<T, DataError>) -> String {
    match result {
        Ok(_) => panic!("this should have failed"),
        Err(error) => error.to_string(),
    }
}

/// All rows of an input or target as floats.
fn floats(data: &Dataset, column: ColumnId) -> Vec<f32> {
    let per_row = match column {
        ColumnId::Input(index) => data.inputs()[index].row_elements(),
        ColumnId::Target(index) => data.targets()[index].row_elements(),
    };
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut out = vec![f32::NAN; data.len() * per_row];
    data.gather_f32(column, &rows, &mut out).expect("the column exists");
    out
}

/// The first input of all rows.
fn features(data: &Dataset) -> Vec<f32> {
    floats(data, ColumnId::Input(0))
}

/// The first target of all rows.
fn targets(data: &Dataset) -> Vec<f32> {
    floats(data, ColumnId::Target(0))
}
