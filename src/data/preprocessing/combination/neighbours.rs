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
        let size = self.features.len();
        let column = |place: usize| {
            let cells = self.donors.iter().skip(place).step_by(size);
            cells.map(|x| x.unwrap_or(f32::NAN)).collect()
        };
        let donors: Vec<Vec<f32>> = (0..size).map(column).collect();
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

    /// The numbers of a row's features, none of them missing; `donors` are column by column.
    fn filled(&self, row: &[f32], donors: &[Vec<f32>]) -> Vec<f32> {
        let own: Vec<f32> = self.features.iter().map(|&feature| row[feature]).collect();
        let near = distances(&own, donors);
        let number = |(place, &x): (usize, &f32)| {
            if !x.is_nan() {
                return x;
            }
            let mut best: Vec<(f64, f32)> = Vec::with_capacity(self.count.min(near.len()));
            for (&near, &number) in near.iter().zip(&donors[place]) {
                let full = best.len() == self.count;
                if near.is_nan() || number.is_nan() || full && best[self.count - 1].0 <= near {
                    continue;
                }
                best.truncate(self.count - 1);
                best.insert(best.partition_point(|(other, _)| *other <= near), (near, number));
            }
            let sum: f64 = best.iter().map(|&(_, number)| f64::from(number)).sum();
            let mean = if best.is_empty() { self.means[place] } else { sum / best.len() as f64 };
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

/// The distances of a row and all donors, not rooted; a NaN where no feature is shared. Column by
/// column, so that the loop over donors is one of vectors.
fn distances(row: &[f32], donors: &[Vec<f32>]) -> Vec<f64> {
    let mut sums = vec![0.0; donors[0].len()];
    let mut shared = sums.clone();
    for (&x, column) in row.iter().zip(donors).filter(|(x, _)| !x.is_nan()) {
        for ((sum, shared), &y) in sums.iter_mut().zip(&mut shared).zip(column) {
            let difference = f64::from(x) - f64::from(y);
            let known = !difference.is_nan();
            *sum += if known { difference * difference } else { 0.0 };
            *shared += if known { 1.0 } else { 0.0 };
        }
    }
    let features = row.len() as f64;
    sums.iter_mut().zip(shared).for_each(|(sum, shared)| *sum = *sum * features / shared);
    sums
}
