//! Seeded splits into parts and folds; the same seed gives the same rows everywhere.

use super::dataset::Dataset;
use crate::error::DataError;
use crate::random::Permutation;

/// The random stream of splits, far from those that a training run counts up from 0.
const STREAM: u32 = 0x7370_6c74;

/// The two parts of a split, or a fold's training and validation rows.
pub(super) type Parts = (Vec<usize>, Vec<usize>);

impl Dataset {
    /// Splits the rows at random: `fraction` of them (rounded to the nearest count, at least one
    /// row on each side) and the rest.
    ///
    /// # Errors
    /// If `fraction` is not between 0 and 1, or there are fewer than two rows.
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Dataset, Dataset), DataError> {
        let (first, second) = split_rows(self.len(), fraction, seed)?;
        Ok((self.subset(first), self.subset(second)))
    }

    /// As [`Dataset::split`], each class being split in the same proportion: of a class's `n`
    /// rows, `fraction * n` rounded up or down are in the first part.
    ///
    /// # Errors
    /// As [`Dataset::split`], and if the first target is not one class label per row.
    pub fn split_stratified(
        &self,
        fraction: f64,
        seed: u64,
    ) -> Result<(Dataset, Dataset), DataError> {
        let (first, second) = split_rows_stratified(&self.labels()?, fraction, seed)?;
        Ok((self.subset(first), self.subset(second)))
    }

    /// `k` pairs of training and validation rows; each row is in the validation part of exactly
    /// one pair, and these parts differ in size by at most one row.
    ///
    /// # Errors
    /// If `k` is less than 2 or more than the number of rows.
    pub fn k_fold(
        &self,
        k: usize,
        seed: u64,
    ) -> Result<impl Iterator<Item = (Dataset, Dataset)> + use<>, DataError> {
        let folds = fold_rows(self.len(), k, seed)?;
        let data = self.clone();
        Ok(folds.into_iter().map(move |(train, valid)| (data.subset(train), data.subset(valid))))
    }

    /// As [`Dataset::k_fold`], each class being spread evenly, to one row, over the validation
    /// parts.
    ///
    /// # Errors
    /// As [`Dataset::k_fold`], and if the first target is not one class label per row.
    pub fn k_fold_stratified(
        &self,
        k: usize,
        seed: u64,
    ) -> Result<impl Iterator<Item = (Dataset, Dataset)> + use<>, DataError> {
        let folds = fold_rows_stratified(&self.labels()?, k, seed)?;
        let data = self.clone();
        Ok(folds.into_iter().map(move |(train, valid)| (data.subset(train), data.subset(valid))))
    }
}

pub(super) fn split_rows(rows: usize, fraction: f64, seed: u64) -> Result<Parts, DataError> {
    let first = first_part(rows, fraction)?;
    let mut order = shuffled(rows, seed);
    let second = order.split_off(first);
    Ok((order, second))
}

pub(super) fn split_rows_stratified(
    labels: &[u32],
    fraction: f64,
    seed: u64,
) -> Result<Parts, DataError> {
    let total = first_part(labels.len(), fraction)?;
    let mut quotas = quotas(labels, fraction, total);
    Ok(shuffled(labels.len(), seed).into_iter().partition(|&row| {
        let left = &mut quotas[labels[row] as usize];
        let take = *left > 0;
        *left -= usize::from(take);
        take
    }))
}

/// Rows of each class in the first part: rounded down, then one more for the classes that lose
/// most by it until `total` is reached (ties: the lower label).
fn quotas(labels: &[u32], fraction: f64, total: usize) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |&last| last as usize + 1);
    let mut counts = vec![0usize; classes];
    labels.iter().for_each(|&label| counts[label as usize] += 1);
    let exact: Vec<f64> = counts.iter().map(|&count| count as f64 * fraction).collect();
    let mut quotas: Vec<usize> = exact.iter().map(|&share| share.floor() as usize).collect();
    let mut order: Vec<usize> = (0..classes).filter(|&class| exact[class].fract() > 0.0).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = total.saturating_sub(quotas.iter().sum());
    order.into_iter().take(missing).for_each(|class| quotas[class] += 1);
    quotas
}

pub(super) fn fold_rows(rows: usize, k: usize, seed: u64) -> Result<Vec<Parts>, DataError> {
    check_folds(rows, k)?;
    Ok(folds(shuffled(rows, seed), k))
}

pub(super) fn fold_rows_stratified(
    labels: &[u32],
    k: usize,
    seed: u64,
) -> Result<Vec<Parts>, DataError> {
    check_folds(labels.len(), k)?;
    let mut order = shuffled(labels.len(), seed);
    order.sort_by_key(|&row| labels[row]);
    Ok(folds(order, k))
}

/// Deals the rows out to `k` folds in turn; each fold is the validation part once.
fn folds(order: Vec<usize>, k: usize) -> Vec<Parts> {
    let fold = |valid| {
        let (valid, train): (Vec<_>, Vec<_>) =
            order.iter().enumerate().partition(|(place, _)| place % k == valid);
        let rows = |part: Vec<(usize, &usize)>| part.into_iter().map(|(_, &row)| row).collect();
        (rows(train), rows(valid))
    };
    (0..k).map(fold).collect()
}

fn first_part(rows: usize, fraction: f64) -> Result<usize, DataError> {
    if !(fraction > 0.0 && fraction < 1.0) {
        return Err(DataError::Invalid(format!(
            "the fraction of a split must be between 0 and 1, it is {fraction}"
        )));
    }
    if rows < 2 {
        return Err(DataError::Invalid(format!("{rows} row cannot be split into two parts")));
    }
    Ok(((rows as f64 * fraction).round() as usize).clamp(1, rows - 1))
}

fn check_folds(rows: usize, k: usize) -> Result<(), DataError> {
    if k < 2 || k > rows {
        return Err(DataError::Invalid(format!(
            "the number of folds must be from 2 to the {rows} rows, it is {k}"
        )));
    }
    Ok(())
}

/// The rows in random order.
fn shuffled(rows: usize, seed: u64) -> Vec<usize> {
    let order = Permutation::new(seed, STREAM, 0, rows as u64);
    (0..rows as u64).map(|place| order.get(place) as usize).collect()
}
