//! Data in memory: named columns of equal row count, and where they come from.
//!
//! A [`Dataset`] holds what a model reads (inputs) and what it should say (targets), as 32-bit
//! floats and indices, ready to be gathered into batches. It is made from arrays
//! ([`Dataset::from_arrays`]), from a CSV file ([`Dataset::csv`]), from IDX files
//! ([`Dataset::idx`]), from NumPy's arrays ([`Dataset::npy`]), from text ([`Vocabulary`],
//! [`Tokenizer`]) or from any columns ([`Dataset::new`]); with the feature `parquet` also from Parquet
//! files (`Parquet`), with `images` and `audio` from folders of images (`ImageFolder`) and of sounds
//! (`WavFolder`).
//!
//! Files of rows take three steps: a [`Table`] of raw cells; a [`Recipe`] that says what is to be
//! done to its columns; a [`Preprocessing`], which is the recipe fitted on the training rows. The
//! last travels with the model and turns raw rows into inputs wherever the model is used.
//!
//! Rows count from 0 everywhere, lines of a file from 1.

mod arrays;
mod column;
mod csv;
mod dataset;
mod date;
mod decode;
mod duplicates;
mod fingerprint;
#[cfg(any(feature = "images", feature = "audio"))]
mod folder;
mod grouping;
mod gzip;
pub mod idx;
mod log_mel;
mod media;
pub mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod preprocessing;
mod recipe;
mod report;
mod split;
mod stored;
mod streaming;
mod table;
mod text;
mod threads;
mod tokenizer;
mod vocabulary;
mod weights;

pub use arrays::{Element, IntoColumn};
pub use column::{Column, Values};
pub use csv::Csv;
pub use dataset::{ColumnId, Dataset, Task};
pub use date::{Cycle, DatePart};
#[cfg(feature = "audio")]
pub use folder::audio::WavFolder;
#[cfg(feature = "images")]
pub use folder::images::ImageFolder;
pub use log_mel::LogMel;
pub use media::{Files, Media};
#[cfg(feature = "parquet")]
pub use parquet::Parquet;
pub use preprocessing::{
    Combination, InputTransform, Neighbours, NumberTarget, Preprocessing, PrincipalComponents,
    Quantiles, Scaling, TargetEncoding, TargetTransform, Transform,
};
pub use recipe::{
    ColumnRecipe, Distribution, Encoding, Impute, Recipe, RecipeFolds, Scale, SplitBy,
};
pub use report::{ColumnReport, Suspicion, TableReport, WordCount};
pub use split::DatasetFolds;
pub use stored::Stored;
pub(crate) use streaming::Held;
pub use streaming::Windows;
pub use table::{Kind, Table, TableColumn};
pub use tokenizer::Tokenizer;
pub use vocabulary::{Vocabulary, read_text};

#[cfg(test)]
mod tests;
