//! Words by the targets of their rows; the formulas are scikit-learn's `TargetEncoder`, after
//! Micci-Barreca, SIGKDD Explorations 3 (2001), equations 5 and 6.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::super::grouping::{fold_rows_grouped, fold_rows_stratified_grouped};
use super::super::split::{Parts, fold_rows, fold_rows_stratified};
use super::super::table::{Table, TableColumn};
use super::super::text::shortened;
use super::{Quantiles, Scaling, TargetTransform};
use crate::error::DataError;

/// Parts of the training rows; each is encoded by the means of the others.
const FOLDS: usize = 5;

/// One number for each word: the mean `m` of a target in the `n` rows of the word, drawn to the
/// mean `M` of all rows where it is uncertain. It is `l m + (1 - l) M` with `l = V / (V + v / n)`,
/// where `v` is the target's variance in the rows of the word and `V` that in all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetEncoding {
    /// By the words' places in the list, and last that of all words that are not in it.
    pub means: Vec<f64>,
    /// Applied to these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Quantiles>,
    /// Applied last.
    pub scaling: Scaling,
}

/// What the training rows say of the target: as many numbers a row as there are outcomes, one
/// outcome at a time, since of many classes all of them would take far more than the rows.
pub(super) struct Outcomes<'a> {
    target: &'a TargetTransform,
    table: &'a Table,
    /// The classes of the rows.
    labels: Option<Vec<u32>>,
    /// The groups of the rows, which folds keep whole.
    groups: Option<Vec<u32>>,
}

impl<'a> Outcomes<'a> {
    pub(super) fn of(
        target: &'a TargetTransform,
        table: &'a Table,
        groups: Option<Vec<u32>>,
    ) -> Result<Outcomes<'a>, DataError> {
        let labels = match target {
            TargetTransform::Numbers(_) => None,
            TargetTransform::Classes { .. } => Some(target.labels(table)?),
        };
        Ok(Outcomes { target, table, labels, groups })
    }

    /// How many there are: one for a target of numbers or of two classes, else one for each class.
    fn count(&self) -> usize {
        match (self.target, self.target.class_names().len()) {
            (TargetTransform::Numbers(targets), _) => targets.len(),
            (_, 2) => 1,
            (_, classes) => classes,
        }
    }

    /// The numbers of the rows: of two classes 1 for the second, of more 1 for that of this index.
    fn numbers(&self, index: usize) -> Result<Vec<f64>, DataError> {
        if let TargetTransform::Numbers(targets) = self.target {
            return targets[index].raw(self.table);
        }
        let class = if self.count() == 1 { 1 } else { index as u32 };
        let labels = self.labels.iter().flatten();
        Ok(labels.map(|&label| f64::from(u8::from(label == class))).collect())
    }

    /// Rows to fit on and rows to encode, by turns; each row is encoded once.
    fn folds(&self, rows: usize, seed: u64) -> Result<Vec<Parts>, DataError> {
        let distinct = |groups: &Vec<u32>| groups.iter().collect::<HashSet<_>>().len();
        let count = FOLDS.min(self.groups.as_ref().map_or(rows, distinct));
        let groups = self.groups.as_deref();
        match &self.labels {
            Some(labels) if groups.is_some() => {
                fold_rows_stratified_grouped(labels, groups, count, seed)
            }
            Some(labels) => fold_rows_stratified(labels, count, seed),
            None if groups.is_some() => fold_rows_grouped(groups, count, seed),
            None => fold_rows(rows, count, seed),
        }
    }
}

/// The numbers of the training rows, each from rows of other folds alone.
pub(super) struct Crossed {
    /// The pair of word and fold of each row; only pairs that occur have a number.
    pairs: Vec<u32>,
    /// For each outcome, by the pairs.
    means: Vec<Vec<f64>>,
}

impl Crossed {
    /// The number of a row for an outcome.
    pub(super) fn number(&self, outcome: usize, row: usize) -> f64 {
        self.means[outcome][self.pairs[row] as usize]
    }

    /// Those of all rows.
    pub(super) fn numbers(&self, outcome: usize) -> Vec<f64> {
        (0..self.pairs.len()).map(|row| self.number(outcome, row)).collect()
    }
}

impl TargetEncoding {
    /// The encodings of a column's words, one for each outcome, not scaled yet, and the numbers of
    /// the training rows. `places` are those of the words.
    pub(super) fn fit(
        train: &Table,
        column: &TableColumn,
        (places, words): (Vec<usize>, usize),
        outcomes: &Outcomes<'_>,
        seed: u64,
    ) -> Result<(Vec<TargetEncoding>, Crossed), DataError> {
        let parts = outcomes.folds(places.len(), seed).map_err(|_| {
            let message = "encoding by the target needs two training rows, or groups of them; \
                           there is one";
            train.column_fault(column.name(), message.into())
        })?;
        let mut folds = vec![0; places.len()];
        for (fold, (_, part)) in (0..).zip(&parts) {
            part.iter().for_each(|&row| folds[row] = fold);
        }
        let all: Vec<usize> = (0..places.len()).collect();
        // The place of each row's word in its fold; and the places that are some row's.
        let each = words + 1;
        let cells = folds.iter().zip(&places).map(|(&fold, &place)| fold * each + place);
        let (mut numbers, mut occurring) = (vec![u32::MAX; parts.len() * each], Vec::new());
        let pairs = cells.map(|cell| {
            if numbers[cell] == u32::MAX {
                numbers[cell] = occurring.len() as u32;
                occurring.push(cell);
            }
            numbers[cell]
        });
        let (pairs, mut encodings) = (pairs.collect(), Vec::new());
        let mut crossed = Crossed { pairs, means: Vec::new() };
        for index in 0..outcomes.count() {
            let outcome = outcomes.numbers(index)?;
            let of = |rows: &[usize]| means(&places, &outcome, rows, words);
            let of_folds: Vec<f64> = parts.iter().flat_map(|(others, _)| of(others)).collect();
            let own: Vec<f64> = occurring.iter().map(|&cell| of_folds[cell]).collect();
            let means = of(&all);
            if !means.iter().chain(&own).all(|mean| mean.is_finite()) {
                let name = shortened(column.name());
                let message = format!("the targets are too large to encode `{name}` by them");
                return Err(train.fault("the table", message));
            }
            crossed.means.push(own);
            encodings.push(TargetEncoding { means, quantiles: None, scaling: Scaling::None });
        }
        Ok((encodings, crossed))
    }

    /// The scaled number of a word that has this one.
    pub(super) fn scale(&self, mean: f64) -> f64 {
        self.scaling.apply(self.quantiles.as_ref().map_or(mean, |q| q.apply(mean)))
    }

    /// Checks the encoding of so many words.
    pub(super) fn check(&self, words: usize) -> Result<(), &'static str> {
        self.quantiles.as_ref().map_or(Ok(()), Quantiles::check)?;
        self.scaling.check()?;
        if self.means.len() != words + 1 {
            return Err("there is not one mean for each category and one for all others");
        }
        let finite = self.means.iter().all(|mean| mean.is_finite());
        if finite { Ok(()) } else { Err("the mean of a category is not finite") }
    }
}

/// The encoding fitted on some rows: of each word, and of those beyond the list.
fn means(places: &[usize], outcome: &[f64], rows: &[usize], words: usize) -> Vec<f64> {
    let count = rows.len() as f64;
    let mean = rows.iter().map(|&row| outcome[row]).sum::<f64>() / count;
    let square = |row: &usize| (outcome[*row] - mean) * (outcome[*row] - mean);
    let variance = rows.iter().map(square).sum::<f64>() / count;
    let mut of_words = vec![(0.0f64, 0.0f64, 0.0f64); words + 1];
    for &row in rows {
        let (count, sum, _) = &mut of_words[places[row]];
        (*count, *sum) = (*count + 1.0, *sum + outcome[row]);
    }
    for &row in rows {
        let (count, sum, squares) = &mut of_words[places[row]];
        let difference = outcome[row] - *sum / *count;
        *squares += difference * difference;
    }
    let encoded = |(count, sum, squares): (f64, f64, f64)| {
        let trust = variance * count / (variance * count + squares / count);
        // No row has the word, or all targets are equal.
        if trust.is_nan() { mean } else { trust * (sum / count) + (1.0 - trust) * mean }
    };
    of_words.into_iter().map(encoded).collect()
}
