//! Missing numbers from rows nearby; conventions are scikit-learn's `KNNImputer` with uniform
//! weights.

use serde::{Deserialize, Serialize};

use super::super::super::threads::in_order;
use crate::error::DataError;

/// Most training rows that are kept, and most numbers of them: they stand in the model's file.
const MOST_ROWS: usize = 10_000;
const MOST_NUMBERS: usize = 1 << 18;

/// Rows that are filled at a time by a thread.
const PIECE: usize = 256;

/// In place of a missing number comes the mean of the nearest training rows that have it. The
/// distance of two rows is Euclidean over those of the features that both have, scaled up for
/// those that one lacks: `sqrt(features / shared * sum of squares)`. Of equal distances the first
/// rows count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Neighbours {
    /// The features that are filled and compared, ascending.
    pub features: Vec<usize>,
    /// Rows that a mean is of, or fewer if fewer have the number.
    pub count: usize,
    /// The training rows' means, where no row shares a feature.
    pub means: Vec<f64>,
    /// The numbers of these features in training rows, row after row: all rows, or at even steps
    /// 10000, or as many as have 262144 numbers.
    pub donors: Vec<Option<f32>>,
}

impl Neighbours {
    /// Keeps rows in which a missing number is a NaN. Each feature is there in some row.
    pub(super) fn fit(
        rows: &[f32],
        width: usize,
        features: Vec<usize>,
        count: usize,
    ) -> Neighbours {
        let all = rows.len() / width;
        let kept = all.min(MOST_ROWS).min((MOST_NUMBERS / features.len()).max(1));
        let known = |x: f32| (!x.is_nan()).then_some(x);
        let rows_kept = (0..kept).map(|place| &rows[place * all / kept * width..][..width]);
        let donors = rows_kept.flat_map(|row| features.iter().map(|&i| known(row[i]))).collect();
        let mean = |&feature: &usize| {
            let present = rows.chunks_exact(width).filter_map(|row| known(row[feature]));
            let (sum, count) = present.fold((0.0, 0.0), |(s, n), x| (s + f64::from(x), n + 1.0));
            sum / count
        };
        let means = features.iter().map(mean).collect();
        Neighbours { features, count, means, donors }
    }

    /// Replaces every NaN among the features.
    pub(super) fn fill(&self, rows: &mut [f32], width: usize) -> Result<(), DataError> {
        let missing = |row: &[f32]| self.features.iter().any(|&feature| row[feature].is_nan());
        let wanting: Vec<usize> =
            (0..rows.len() / width).filter(|&row| missing(&rows[row * width..][..width])).collect();
        let donors: Vec<f32> = self.donors.iter().map(|x| x.unwrap_or(f32::NAN)).collect();
        let pieces: Vec<&[usize]> = wanting.chunks(PIECE).collect();
        let filled = in_order(pieces.len(), |piece| {
            let of = |&row: &usize| self.filled(&rows[row * width..][..width], &donors);
            Ok(pieces[piece].iter().map(of).collect::<Vec<_>>())
        })?;
        for (row, numbers) in wanting.into_iter().zip(filled.into_iter().flatten()) {
            for (&feature, number) in self.features.iter().zip(numbers) {
                rows[row * width + feature] = number;
            }
        }
        Ok(())
    }

    /// The numbers of a row's features, none of them missing.
    fn filled(&self, row: &[f32], donors: &[f32]) -> Vec<f32> {
        let size = self.features.len();
        let own: Vec<f32> = self.features.iter().map(|&feature| row[feature]).collect();
        let near: Vec<f64> = donors.chunks_exact(size).map(|donor| distance(&own, donor)).collect();
        let number = |(place, &x): (usize, &f32)| {
            if !x.is_nan() {
                return x;
            }
            let has = |donor: &usize| !donors[donor * size + place].is_nan();
            let mut able: Vec<usize> =
                (0..near.len()).filter(|donor| !near[*donor].is_nan() && has(donor)).collect();
            let order = |a: &usize, b: &usize| near[*a].total_cmp(&near[*b]).then(a.cmp(b));
            if able.len() > self.count {
                able.select_nth_unstable_by(self.count - 1, order);
                able.truncate(self.count);
                able.sort_unstable();
            }
            let sum: f64 = able.iter().map(|donor| f64::from(donors[donor * size + place])).sum();
            let mean = if able.is_empty() { self.means[place] } else { sum / able.len() as f64 };
            mean as f32
        };
        own.iter().enumerate().map(number).collect()
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let size = self.features.len();
        if self.count == 0 || self.means.len() != size || !self.donors.len().is_multiple_of(size) {
            return Err("neighbours are not one or more, with numbers for each of their features");
        }
        // Means are single precision's afterwards.
        let finite = self.means.iter().all(|&mean| (mean as f32).is_finite());
        if finite && self.donors.iter().flatten().all(|x| x.is_finite()) {
            return Ok(());
        }
        Err("a number of the neighbours is not finite")
    }
}

/// The distance of two rows, not rooted; a NaN if they share no feature.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    let (mut sum, mut shared) = (0.0, 0.0);
    for (&x, &y) in a.iter().zip(b) {
        let difference = f64::from(x) - f64::from(y);
        if !difference.is_nan() {
            sum += difference * difference;
            shared += 1.0;
        }
    }
    sum * a.len() as f64 / shared
}
