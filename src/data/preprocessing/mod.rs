//! Fitted preprocessing: plain data that travels with the model.

mod check;
mod combination;
mod encoding;
mod fit;
mod inputs;
mod quantiles;
mod statistics;
mod target;

pub use combination::{Combination, Neighbours, PrincipalComponents};
pub use encoding::TargetEncoding;
pub use quantiles::Quantiles;

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::column::Column;
use super::dataset::Dataset;
use super::date::DatePart;
use super::table::{Kind, Table};
use super::text::quoted;
use crate::error::DataError;

/// How raw rows become inputs and targets: one transform per column, with the statistics of the
/// training rows. Made by [`Recipe`](super::Recipe); serialisable, and checked when read back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "check::Unchecked")]
pub struct Preprocessing {
    inputs: Vec<InputTransform>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    combinations: Vec<Combination>,
    target: TargetTransform,
    /// Columns that may be in a table and are not used.
    ignored: Vec<String>,
}

/// What becomes of one input column, or of one part of a column of dates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputTransform {
    /// The column's name.
    pub column: String,
    /// Of a column of dates, the number that is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<DatePart>,
    /// What becomes of its cells.
    pub transform: Transform,
}

/// What becomes of a cell. `fill` stands in for a missing one; without it, that is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Transform {
    /// A number becomes a number.
    Number {
        /// In place of a missing number.
        fill: Option<f64>,
        /// Numbers beyond are taken for the nearest of the two.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        clip: Option<(f64, f64)>,
        /// Whether `sign(x) · ln(1 + |x|)` is taken then.
        #[serde(default, skip_serializing_if = "is_false")]
        log: bool,
        /// Applied then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quantiles: Option<Quantiles>,
        /// Applied last.
        scaling: Scaling,
    },
    /// A word becomes as many numbers as there are categories: 1 for its own, 0 for the others;
    /// all 0 for a word that is not in the list.
    OneHot {
        /// In place of a missing word.
        fill: Option<String>,
        /// Sorted.
        categories: Vec<String>,
        /// Whether one more number, the last, is 1 for words that are not in the list.
        #[serde(default, skip_serializing_if = "is_false")]
        other: bool,
    },
    /// A word becomes as many numbers as there are buckets: 1 for that of its XXH3-64 hash, modulo
    /// the buckets, and 0 for the others.
    Hash {
        /// In place of a missing word.
        fill: Option<String>,
        /// How many.
        buckets: usize,
    },
    /// A word becomes a number for each encoding: what the target was in rows of the word.
    Target {
        /// In place of a missing word.
        fill: Option<String>,
        /// Sorted.
        categories: Vec<String>,
        /// One for each target; of two classes one, of more one for each.
        encodings: Vec<TargetEncoding>,
    },
    /// A word becomes its place in the list; one that is not in it, the list's length.
    Ordinal {
        /// In place of a missing word.
        fill: Option<String>,
        /// Sorted.
        categories: Vec<String>,
    },
}

/// A linear map of numbers, computed in double precision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Scaling {
    /// `x`.
    None,
    /// `(x - mean) / deviation`; a deviation of 0 (a constant column) counts as 1.
    Standard {
        /// Mean of the training rows.
        mean: f64,
        /// Standard deviation of the training rows as a population (divided by n, not n - 1).
        deviation: f64,
    },
    /// `(x - min) / (max - min)`; a difference of 0 counts as 1.
    MinMax {
        /// Smallest number of the training rows.
        min: f64,
        /// Largest number of the training rows.
        max: f64,
    },
    /// `(x - median) / range`; a range of 0 counts as 1.
    Robust {
        /// Median of the training rows.
        median: f64,
        /// Their upper quartile less their lower one.
        range: f64,
    },
}

/// What becomes of the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TargetTransform {
    /// A word or number becomes its place in the list of classes.
    Classes {
        /// The column's name.
        column: String,
        /// Sorted, as numbers if all are. A class that is a number is written as Rust prints an
        /// `f64`: `3`, `-0.5`.
        classes: Vec<String>,
    },
    /// One or several numbers.
    Numbers(Vec<NumberTarget>),
}

/// A target column of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberTarget {
    /// The column's name.
    pub column: String,
    /// What becomes of its numbers.
    pub scaling: Scaling,
}

impl Preprocessing {
    /// The input columns, in the order of the features.
    pub fn inputs(&self) -> &[InputTransform] {
        &self.inputs
    }

    /// What is made of the inputs' features then, in this order.
    pub fn combinations(&self) -> &[Combination] {
        &self.combinations
    }

    /// The target.
    pub fn target(&self) -> &TargetTransform {
        &self.target
    }

    /// Columns that a table may have and that are not used.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The names of the classes, in order of the labels; empty if the target is numbers.
    pub fn class_names(&self) -> &[String] {
        self.target.class_names()
    }

    /// The names of the features, in order: the column's, `column=category` for a one-hot one, or
    /// `column.month` for a part of a date.
    pub fn feature_names(&self) -> Vec<String> {
        self.names_after(self.combinations.len())
    }

    /// The names of the features after so many combinations.
    fn names_after(&self, combinations: usize) -> Vec<String> {
        let names = |input: &InputTransform| match &input.transform {
            Transform::OneHot { categories, other, .. } => {
                let words = categories.iter().map(|word| format!("{}={word}", input.name()));
                words.chain(other.then(|| format!("{}, other", input.column))).collect()
            }
            Transform::Hash { buckets, .. } => {
                (0..*buckets).map(|bucket| format!("{}#{bucket}", input.column)).collect()
            }
            Transform::Target { encodings, .. } if encodings.len() > 1 => {
                let of = self.outcomes().into_iter().take(encodings.len());
                of.map(|name| format!("{}, mean of {name}", input.column)).collect()
            }
            _ => vec![input.name()],
        };
        let names = self.inputs.iter().flat_map(names).collect();
        let combinations = self.combinations[..combinations].iter();
        combinations.fold(names, |names, combination| combination.names(names))
    }

    /// The names of the target's columns, or of its classes.
    fn outcomes(&self) -> Vec<&String> {
        match &self.target {
            TargetTransform::Classes { classes, .. } => classes.iter().collect(),
            TargetTransform::Numbers(_) => self.target.columns(),
        }
    }

    /// The inputs of raw rows and, if the table has all target columns, the targets. Columns are
    /// matched by name, in any order; target and ignored columns may be absent.
    ///
    /// # Errors
    /// If an input column is missing, a column is not known, the cells of one are of another
    /// kind than those it was fitted on, a cell is missing and there is no imputation, a class is
    /// not known, or a result is too large for single precision.
    pub fn apply(&self, table: &Table) -> Result<Dataset, DataError> {
        self.check_columns(table)?;
        let features = self.features(table)?;
        self.dataset(table, features)
    }

    /// The dataset of a table's rows, which have these features.
    fn dataset(&self, table: &Table, features: Vec<f32>) -> Result<Dataset, DataError> {
        let features = Column::numbers("features", &[features.len() / table.len()], features);
        let labelled = self.target.columns().iter().all(|name| table.column(name).is_some());
        let targets = if labelled { vec![self.target.apply(table)?] } else { Vec::new() };
        let mut dataset = Dataset::new(vec![features], targets)?;
        dataset.preprocessing = Some(Arc::new(self.clone()));
        Ok(dataset)
    }

    /// Brings predictions (or targets) of numbers back to the target's units, in place: row after
    /// row of one number per target column. Does nothing for classes.
    ///
    /// # Errors
    /// If the numbers do not make whole rows.
    pub fn inverse_transform_targets(&self, predictions: &mut [f32]) -> Result<(), DataError> {
        let TargetTransform::Numbers(targets) = &self.target else { return Ok(()) };
        if !predictions.len().is_multiple_of(targets.len()) {
            return Err(DataError::Invalid(format!(
                "{} predictions do not make whole rows of {} targets",
                predictions.len(),
                targets.len()
            )));
        }
        for row in predictions.chunks_exact_mut(targets.len()) {
            for (number, target) in row.iter_mut().zip(targets) {
                *number = target.scaling.invert(f64::from(*number)) as f32;
            }
        }
        Ok(())
    }

    /// The kind of each column that is an input or, if it is known, the target.
    pub(super) fn kinds(&self) -> impl Iterator<Item = (&str, Kind)> {
        let inputs = self.inputs.iter().map(|input| {
            let kind = match &input.transform {
                _ if input.part.is_some() => Kind::Date,
                Transform::Number { .. } => Kind::Number,
                _ => Kind::Category,
            };
            (input.column.as_str(), kind)
        });
        let targets: Vec<(&str, Kind)> = match &self.target {
            TargetTransform::Numbers(targets) => {
                targets.iter().map(|target| (target.column.as_str(), Kind::Number)).collect()
            }
            TargetTransform::Classes { column, classes } => {
                let numbers = classes.iter().all(|class| class.parse::<f64>().is_ok());
                vec![(column, if numbers { Kind::Number } else { Kind::Category })]
            }
        };
        inputs.chain(targets)
    }

    /// Names of a table's columns that are not known: neither input nor target nor ignored.
    pub fn unknown_columns<'a>(&'a self, table: &'a Table) -> impl Iterator<Item = &'a str> {
        let inputs = self.inputs.iter().map(|input| &input.column);
        let known = inputs.chain(self.target.columns()).chain(&self.ignored);
        let known: HashSet<&str> = known.map(String::as_str).collect();
        let names = table.columns().iter().map(|column| column.name());
        names.filter(move |name| !known.contains(name))
    }

    /// Refuses a table that lacks an input column or has one that is not known.
    fn check_columns(&self, table: &Table) -> Result<(), DataError> {
        let mut missing: Vec<&str> = self.inputs.iter().map(|input| &input.column[..]).collect();
        missing.retain(|name| table.column(name).is_none());
        // Parts of a date are next to each other.
        missing.dedup();
        let missing = quoted(missing.into_iter());
        let unknown = quoted(self.unknown_columns(table));
        let mut problems = Vec::new();
        if !missing.is_empty() {
            problems.push(format!("it lacks {missing}"));
        }
        if !unknown.is_empty() {
            problems.push(format!("it was not fitted on {unknown}"));
        }
        if problems.is_empty() {
            return Ok(());
        }
        let message = "the columns are not those of the preprocessing";
        Err(table.fault("the table", format!("{message}: {}", problems.join("; "))))
    }
}

impl InputTransform {
    /// Whether it becomes one number that was one.
    fn is_number(&self) -> bool {
        matches!(self.transform, Transform::Number { .. })
    }

    /// The column's name, and after it that of the part.
    pub fn name(&self) -> String {
        match self.part {
            None => self.column.clone(),
            Some(part) => format!("{}.{}", self.column, part.name()),
        }
    }
}

fn is_false(x: &bool) -> bool {
    !x
}

impl Scaling {
    /// The scaled number.
    pub fn apply(self, x: f64) -> f64 {
        let (offset, divisor) = self.parts();
        (x - offset) / divisor
    }

    /// The number that [`Scaling::apply`] makes `y` of.
    pub fn invert(self, y: f64) -> f64 {
        let (offset, divisor) = self.parts();
        y * divisor + offset
    }

    fn parts(self) -> (f64, f64) {
        let (offset, divisor) = match self {
            Scaling::None => (0.0, 1.0),
            Scaling::Standard { mean, deviation } => (mean, deviation),
            Scaling::MinMax { min, max } => (min, max - min),
            Scaling::Robust { median, range } => (median, range),
        };
        (offset, if divisor == 0.0 { 1.0 } else { divisor })
    }
}
