//! Rows drawn with replacement: which row stands at a place of an epoch is a function of seed, epoch
//! and place.

use std::borrow::Cow;
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::data::Dataset;
use crate::random;

/// Stream of the draws.
const DRAWS: u32 = 0x6472_6177;
/// All rows' shares together are 2 to this power: more than an `f64` tells apart, and exact.
const BITS: u32 = 62;

/// How probable each row is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sampling {
    /// By weights, one for each row.
    Weighted(Vec<f32>),
    /// So that all classes that there are come alike.
    Balanced,
}

impl Sampling {
    /// The weights of the data's rows, or what is wrong with them.
    fn weights(&self, data: &Dataset) -> Result<Cow<'_, [f32]>, String> {
        if data.windows().is_some() {
            let text = "rows of data larger than memory come window by window and cannot be drawn from \
                        all; raise `with_memory` to what the data takes, or do without sampling";
            return Err(text.into());
        }
        match self {
            Sampling::Weighted(weights) => {
                // They are refused as weights of losses are.
                match data.clone().with_weights(weights.clone()) {
                    Ok(_) => Ok(weights.into()),
                    Err(error) => Err(format!("sampling: {error}")),
                }
            }
            Sampling::Balanced => {
                let classes = data.balanced_class_weights();
                let rows = classes.and_then(|classes| {
                    let labels = data.labels()?.into_iter();
                    Ok(labels.map(|label| classes[label as usize]).collect::<Vec<_>>())
                });
                rows.map(Cow::from).map_err(|error| format!("balanced sampling: {error}"))
            }
        }
    }

    /// What the draws follow from, beside the data.
    pub(super) fn fingerprint(&self) -> String {
        match self {
            Sampling::Balanced => "balanced".into(),
            Sampling::Weighted(weights) => {
                let mut hash = Xxh3::new();
                weights.iter().for_each(|weight| hash.update(&weight.to_le_bytes()));
                format!("weighted {:016x}", hash.digest())
            }
        }
    }
}

/// Where the share of each row ends.
#[derive(Clone)]
pub(super) struct Shares(Arc<[u64]>);

impl Shares {
    /// # Errors
    /// If the data can't be drawn from, or not by these weights; the text says why.
    pub(super) fn new(sampling: &Sampling, data: &Dataset) -> Result<Shares, String> {
        let weights = sampling.weights(data)?;
        let total: f64 = weights.iter().copied().map(f64::from).sum();
        let whole = (1u64 << BITS) as f64;
        let mut sum = 0.0;
        let ends = weights.iter().map(|&weight| {
            sum += f64::from(weight);
            (sum / total * whole) as u64
        });
        Ok(Shares(ends.collect()))
    }

    /// The draws of an epoch.
    pub(super) fn draws(&self, seed: u64, epoch: u64) -> Draws {
        Draws { shares: self.clone(), seed, epoch }
    }
}

/// The rows of an epoch.
#[derive(Clone)]
pub(super) struct Draws {
    shares: Shares,
    seed: u64,
    epoch: u64,
}

impl Draws {
    /// The row at a place.
    pub(super) fn row(&self, place: usize) -> usize {
        let block = random::words(self.seed, DRAWS, self.epoch, place as u64 / 2);
        let half = place % 2 * 2;
        let bits = u64::from(block[half + 1]) << 32 | u64::from(block[half]);
        let drawn = bits >> (u64::BITS - BITS);
        // A row of weight 0 ends where the one before it does.
        self.shares.0.partition_point(|&end| end <= drawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Column;

    fn data(labels: &[u32]) -> Dataset {
        let x = Column::numbers("x", &[], labels.iter().map(|&x| x as f32).collect());
        Dataset::new(vec![x], vec![Column::indices("y", &[], labels.to_vec())]).unwrap()
    }

    fn counts(sampling: &Sampling, labels: &[u32], epoch: u64) -> Vec<usize> {
        let draws = Shares::new(sampling, &data(labels)).unwrap().draws(7, epoch);
        let mut counts = vec![0; labels.len()];
        (0..60_000).for_each(|place| counts[draws.row(place)] += 1);
        counts
    }

    #[test]
    fn shares_are_exact() {
        let weighted = Sampling::Weighted(vec![0.0, 1.0, 1.0, 0.0, 2.0, 0.0]);
        let shares = Shares::new(&weighted, &data(&[0; 6])).unwrap();
        assert_eq!(shares.0[..], [0, 1 << 60, 1 << 61, 1 << 61, 1 << 62, 1 << 62]);
    }

    #[test]
    fn rows_come_as_often_as_their_weights_say() {
        let weighted = Sampling::Weighted(vec![1.0, 0.0, 2.0, 3.0, 0.0]);
        let found = counts(&weighted, &[0; 5], 0);
        assert_eq!((found[1], found[4]), (0, 0));
        // Five standard deviations of the widest are 612.
        for (row, expected) in [(0, 10_000), (2, 20_000), (3, 30_000)] {
            assert!(found[row].abs_diff(expected) < 613, "{found:?}");
        }
        assert_ne!(found, counts(&weighted, &[0; 5], 1));
        // Three rows of class 0 and one of class 2; class 1 has none.
        let found = counts(&Sampling::Balanced, &[0, 2, 0, 0], 0);
        assert!(found[1].abs_diff(30_000) < 613, "{found:?}");
        assert!([0, 2, 3].iter().all(|&row| found[row].abs_diff(10_000) < 457), "{found:?}");
    }

    #[test]
    fn what_cannot_be_drawn_from_is_refused() {
        let said = |weights: &[f32]| {
            let shares = Shares::new(&Sampling::Weighted(weights.to_vec()), &data(&[0, 1]));
            shares.map(|_| ()).unwrap_err()
        };
        assert_eq!(said(&[1.0]), "sampling: 1 weights for 2 rows");
        assert!(said(&[1.0, -1.0]).contains("row 1: weight -1"));
        assert_eq!(said(&[0.0, 0.0]), "sampling: all weights are 0");
    }
}
