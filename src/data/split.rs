//! Seeded splits into parts and folds; the same seed gives the same rows everywhere.

use super::dataset::Dataset;
use super::grouping::{
    fold_rows_grouped, fold_rows_stratified_grouped, split_rows_grouped,
    split_rows_stratified_grouped,
};
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

    /// As [`Dataset::split`], each group of rows being in one part as a whole. Groups come in random
    /// order; each goes to the first part if that brings its rows nearer to `fraction` of all.
    ///
    /// # Errors
    /// As [`Dataset::split`], and if the rows have no groups or there are fewer than two.
    pub fn split_grouped(&self, fraction: f64, seed: u64) -> Result<(Dataset, Dataset), DataError> {
        let (first, second) = split_rows_grouped(self.groups(), fraction, seed)?;
        Ok((self.subset(first), self.subset(second)))
    }

    /// As [`Dataset::split_grouped`], and as near as whole groups allow to [`Dataset::split_stratified`]:
    /// groups whose classes are most uneven come first, and each goes where the classes are spread
    /// best afterwards.
    ///
    /// # Errors
    /// As both.
    pub fn split_stratified_grouped(
        &self,
        fraction: f64,
        seed: u64,
    ) -> Result<(Dataset, Dataset), DataError> {
        let labels = self.labels()?;
        let (first, second) =
            split_rows_stratified_grouped(&labels, self.groups(), fraction, seed)?;
        Ok((self.subset(first), self.subset(second)))
    }

    /// The first rows, `fraction` of them as [`Dataset::split`] counts, and the rest. Of rows in the
    /// order of time that leaves the latest for the second part.
    ///
    /// # Errors
    /// As [`Dataset::split`].
    pub fn split_in_order(&self, fraction: f64) -> Result<(Dataset, Dataset), DataError> {
        let (first, second) = split_in_order((0..self.len()).collect(), fraction)?;
        Ok((self.subset(first), self.subset(second)))
    }

    /// The number of each row's group, if there are groups.
    pub fn groups(&self) -> Option<&[u32]> {
        self.groups.as_deref()
    }

    /// Sets which rows stay together in splits by group: those of one number.
    ///
    /// # Errors
    /// If there is not one number per row.
    pub fn with_groups(mut self, groups: Vec<u32>) -> Result<Dataset, DataError> {
        if groups.len() != self.len() {
            let message = format!("{} groups for {} rows", groups.len(), self.len());
            return Err(DataError::Invalid(message));
        }
        self.groups = Some(groups.into());
        Ok(self)
    }

    /// `k` pairs of training and validation rows; each row is in the validation part of exactly
    /// one pair, and these parts differ in size by at most one row.
    ///
    /// # Errors
    /// If `k` is less than 2 or more than the number of rows.
    pub fn k_fold(&self, k: usize, seed: u64) -> Result<DatasetFolds, DataError> {
        Ok(self.folds(fold_rows(self.len(), k, seed)?))
    }

    /// As [`Dataset::k_fold`], each class being spread evenly, to one row, over the validation
    /// parts.
    ///
    /// # Errors
    /// As [`Dataset::k_fold`], and if the first target is not one class label per row.
    pub fn k_fold_stratified(&self, k: usize, seed: u64) -> Result<DatasetFolds, DataError> {
        Ok(self.folds(fold_rows_stratified(&self.labels()?, k, seed)?))
    }

    /// As [`Dataset::k_fold`], each group of rows being in one validation part as a whole: the
    /// larger ones first, of equals in random order, each goes to the fold with the fewest rows.
    ///
    /// # Errors
    /// If the rows have no groups, or `k` is less than 2 or more than the groups.
    pub fn k_fold_grouped(&self, k: usize, seed: u64) -> Result<DatasetFolds, DataError> {
        Ok(self.folds(fold_rows_grouped(self.groups(), k, seed)?))
    }

    /// As [`Dataset::k_fold_grouped`], each class being spread as evenly as whole groups allow; see
    /// [`Dataset::split_stratified_grouped`].
    ///
    /// # Errors
    /// As [`Dataset::k_fold_grouped`], and if the first target is not one class label per row.
    pub fn k_fold_stratified_grouped(
        &self,
        k: usize,
        seed: u64,
    ) -> Result<DatasetFolds, DataError> {
        let folds = fold_rows_stratified_grouped(&self.labels()?, self.groups(), k, seed)?;
        Ok(self.folds(folds))
    }

    fn folds(&self, folds: Vec<Parts>) -> DatasetFolds {
        DatasetFolds { data: self.clone(), parts: folds.into_iter() }
    }
}

/// Training and validation rows of each fold in turn, by [`Dataset::k_fold`] and the like.
pub struct DatasetFolds {
    data: Dataset,
    parts: std::vec::IntoIter<Parts>,
}

impl Iterator for DatasetFolds {
    type Item = (Dataset, Dataset);

    fn next(&mut self) -> Option<(Dataset, Dataset)> {
        let (train, valid) = self.parts.next()?;
        Some((self.data.subset(train), self.data.subset(valid)))
    }
}

pub(super) fn split_rows(rows: usize, fraction: f64, seed: u64) -> Result<Parts, DataError> {
    split_in_order(shuffled(rows, seed), fraction)
}

pub(super) fn split_in_order(mut rows: Vec<usize>, fraction: f64) -> Result<Parts, DataError> {
    let second = rows.split_off(first_part(rows.len(), fraction)?);
    Ok((rows, second))
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

pub(super) fn first_part(rows: usize, fraction: f64) -> Result<usize, DataError> {
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
pub(super) fn shuffled(rows: usize, seed: u64) -> Vec<usize> {
    let order = Permutation::new(seed, STREAM, 0, rows as u64);
    (0..rows as u64).map(|place| order.get(place) as usize).collect()
}
