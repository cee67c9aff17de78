//! What is to be done to a column.

use serde::{Deserialize, Serialize};

use super::Recipe;
use crate::data::table::Kind;
#[cfg(doc)]
use crate::data::{Neighbours, Quantiles, TargetEncoding};

/// What to put in place of a missing cell. Means and the like are those of the training rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Impute {
    /// The mean; for numbers, and for each number that a date becomes.
    Mean,
    /// The median, of an even count the middle of the two; for numbers.
    Median,
    /// The most frequent value, of several the smallest; for numbers and categories.
    MostFrequent,
    /// The mean of so many training rows nearby, by the distance of all numbers that are filled so;
    /// see [`Neighbours`]. It is taken after they are scaled: scale numbers of different units.
    Neighbours(usize),
    /// This number; for numbers.
    Constant(f64),
    /// This word; for categories.
    Word(String),
}

/// What becomes of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// It stays as it is.
    #[default]
    None,
    /// `(x - mean) / deviation`, with the population's deviation.
    Standard,
    /// `(x - min) / (max - min)`.
    MinMax,
    /// `(x - median) / (upper quartile - lower quartile)`, which outliers hardly move.
    Robust,
    /// Its share of the way through the quantiles of the training rows; see [`Quantiles`].
    Quantile(Distribution),
}

/// What numbers are distributed like after [`Scale::Quantile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Evenly from 0 to 1.
    Uniform,
    /// As standard normal numbers, from -5.2 to 5.2.
    Normal,
}

/// What becomes of a category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// One number per category, 1 for the cell's and 0 for the others; all 0 for a category that
    /// the training rows do not have.
    #[default]
    OneHot,
    /// The category's place in the sorted list; for one that the training rows do not have the
    /// place after the last.
    Ordinal,
    /// What the target was in rows of the category: see [`TargetEncoding`]. One number for each
    /// target, or for each class if there are more than two. Training rows are encoded by four
    /// fifths of them, those of other folds, so that no row sees its own target, and none that of
    /// its group; the number is the folds' seed. The numbers are scaled as others are.
    Target(u64),
    /// One number for each of so many buckets, 1 for the bucket of the cell's word: XXH3-64 of its
    /// bytes, modulo the buckets. Words need not be known before, and may share a bucket.
    Hash(usize),
}

/// What is to be done to an input column; see [`Recipe::column`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnRecipe {
    pub(in super::super) scale: Scale,
    pub(in super::super) encoding: Encoding,
    pub(in super::super) clip: Option<(f64, f64)>,
    pub(in super::super) log: bool,
    pub(in super::super) cyclic: bool,
    pub(in super::super) rare: f64,
    impute_number: Option<Impute>,
    impute_category: Option<Impute>,
}

impl ColumnRecipe {
    /// Numbers as [`Scale::Standard`].
    pub fn standardize(self) -> Self {
        ColumnRecipe { scale: Scale::Standard, ..self }
    }

    /// Numbers as [`Scale::MinMax`].
    pub fn min_max(self) -> Self {
        ColumnRecipe { scale: Scale::MinMax, ..self }
    }

    /// Numbers as [`Scale::Robust`].
    pub fn robust(self) -> Self {
        ColumnRecipe { scale: Scale::Robust, ..self }
    }

    /// Numbers as [`Scale::Quantile`], after clipping and the logarithm: whatever their
    /// distribution was, they have this one.
    pub fn quantile(self, distribution: Distribution) -> Self {
        ColumnRecipe { scale: Scale::Quantile(distribution), ..self }
    }

    /// Numbers beyond these quantiles of the training rows are taken for the quantile, before all
    /// else: `clip_quantiles(0.01, 0.99)`. Quantiles are NumPy's, linear between the two nearest
    /// numbers.
    pub fn clip_quantiles(self, low: f64, high: f64) -> Self {
        ColumnRecipe { clip: Some((low, high)), ..self }
    }

    /// The logarithm of numbers, after clipping and before scaling: `sign(x) · ln(1 + |x|)`, for
    /// what spans orders of magnitude.
    pub fn log(self) -> Self {
        ColumnRecipe { log: true, ..self }
    }

    /// Of dates also the sine and cosine of month, day, weekday and hour, so that December is next
    /// to January. By default a date is the numbers of these alone, with the year and the days since
    /// 1970-01-01; and the hour only if there are times. Each is then treated as numbers are.
    pub fn cyclic_dates(self) -> Self {
        ColumnRecipe { cyclic: true, ..self }
    }

    /// Numbers as they are. The default.
    pub fn unscaled(self) -> Self {
        ColumnRecipe { scale: Scale::None, ..self }
    }

    /// Categories as [`Encoding::OneHot`]. The default.
    pub fn one_hot(self) -> Self {
        ColumnRecipe { encoding: Encoding::OneHot, ..self }
    }

    /// Categories as [`Encoding::Ordinal`].
    pub fn ordinal(self) -> Self {
        ColumnRecipe { encoding: Encoding::Ordinal, ..self }
    }

    /// Categories as [`Encoding::Target`], for columns of very many words.
    pub fn target_encode(self, seed: u64) -> Self {
        ColumnRecipe { encoding: Encoding::Target(seed), ..self }
    }

    /// Categories as [`Encoding::Hash`].
    pub fn hash(self, buckets: usize) -> Self {
        ColumnRecipe { encoding: Encoding::Hash(buckets), ..self }
    }

    /// Words of less than this share of the training rows become one category, `join_rare(0.01)`,
    /// and so do, if there are any, words that the training rows do not have. By default every word
    /// is a category.
    pub fn join_rare(self, share: f64) -> Self {
        ColumnRecipe { rare: share, ..self }
    }

    /// What to put in place of missing cells, in columns of the kind it serves: so
    /// `.impute(Impute::MostFrequent).impute(Impute::Median)` is the most frequent category and
    /// the median number. By default a missing cell is an error.
    pub fn impute(self, impute: Impute) -> Self {
        match impute {
            Impute::MostFrequent => ColumnRecipe {
                impute_number: Some(Impute::MostFrequent),
                impute_category: Some(Impute::MostFrequent),
                ..self
            },
            Impute::Word(_) => ColumnRecipe { impute_category: Some(impute), ..self },
            _ => ColumnRecipe { impute_number: Some(impute), ..self },
        }
    }

    pub(in super::super) fn imputes(&self, kind: Kind) -> Option<&Impute> {
        match kind {
            Kind::Number | Kind::Date => self.impute_number.as_ref(),
            Kind::Category => self.impute_category.as_ref(),
        }
    }
}

impl Recipe {
    /// [`ColumnRecipe::standardize`] for all columns.
    pub fn standardize(self) -> Self {
        Recipe { defaults: self.defaults.standardize(), ..self }
    }

    /// [`ColumnRecipe::min_max`] for all columns.
    pub fn min_max(self) -> Self {
        Recipe { defaults: self.defaults.min_max(), ..self }
    }

    /// [`ColumnRecipe::robust`] for all columns.
    pub fn robust(self) -> Self {
        Recipe { defaults: self.defaults.robust(), ..self }
    }

    /// [`ColumnRecipe::quantile`] for all columns.
    pub fn quantile(self, distribution: Distribution) -> Self {
        Recipe { defaults: self.defaults.quantile(distribution), ..self }
    }

    /// [`ColumnRecipe::clip_quantiles`] for all columns.
    pub fn clip_quantiles(self, low: f64, high: f64) -> Self {
        Recipe { defaults: self.defaults.clip_quantiles(low, high), ..self }
    }

    /// [`ColumnRecipe::log`] for all columns.
    pub fn log(self) -> Self {
        Recipe { defaults: self.defaults.log(), ..self }
    }

    /// [`ColumnRecipe::cyclic_dates`] for all columns.
    pub fn cyclic_dates(self) -> Self {
        Recipe { defaults: self.defaults.cyclic_dates(), ..self }
    }

    /// [`ColumnRecipe::one_hot`] for all columns.
    pub fn one_hot(self) -> Self {
        Recipe { defaults: self.defaults.one_hot(), ..self }
    }

    /// [`ColumnRecipe::ordinal`] for all columns.
    pub fn ordinal(self) -> Self {
        Recipe { defaults: self.defaults.ordinal(), ..self }
    }

    /// [`ColumnRecipe::target_encode`] for all columns.
    pub fn target_encode(self, seed: u64) -> Self {
        Recipe { defaults: self.defaults.target_encode(seed), ..self }
    }

    /// [`ColumnRecipe::hash`] for all columns.
    pub fn hash(self, buckets: usize) -> Self {
        Recipe { defaults: self.defaults.hash(buckets), ..self }
    }

    /// [`ColumnRecipe::join_rare`] for all columns.
    pub fn join_rare(self, share: f64) -> Self {
        Recipe { defaults: self.defaults.join_rare(share), ..self }
    }

    /// [`ColumnRecipe::impute`] for all columns.
    pub fn impute(self, impute: Impute) -> Self {
        Recipe { defaults: self.defaults.impute(impute), ..self }
    }
}
