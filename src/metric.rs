//! How good predictions are: definitions, ties and tables as in scikit-learn.
//!
//! Scores are row-major, `classes` to a row, logits or probabilities; labels are class indices.
//! Every function takes optional weights, one a row, finite, not negative and not all zero. Sums
//! are in `f64` and in the order of the rows.

mod confusion;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::confusion::{Average, ClassificationReport, ConfusionMatrix, ReportRow};
use crate::error::DataError;

fn invalid<T>(message: String) -> Result<T, DataError> {
    Err(DataError::Invalid(message))
}

/// Number of rows, if there are any, lengths agree and weights are usable.
fn rows(
    what: &str,
    values: usize,
    width: usize,
    targets: usize,
    weights: Option<&[f32]>,
) -> Result<usize, DataError> {
    if targets == 0 {
        return invalid(format!("{what}: there are no rows"));
    }
    if width == 0 || !values.is_multiple_of(width) || values / width != targets {
        return invalid(format!(
            "{what}: {values} predicted values in rows of {width} do not match {targets} targets"
        ));
    }
    let Some(weights) = weights else { return Ok(targets) };
    if weights.len() != targets {
        return invalid(format!("{what}: {} weights for {targets} rows", weights.len()));
    }
    if let Some(row) = weights.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
        let weight = weights[row];
        return invalid(format!("{what}: the weight of row {row} is {weight}, not 0 or more"));
    }
    if weights.iter().all(|&w| w == 0.0) {
        return invalid(format!("{what}: all weights are zero"));
    }
    Ok(targets)
}

fn check_labels(what: &str, labels: &[u32], classes: usize) -> Result<(), DataError> {
    match labels.iter().position(|&label| label as usize >= classes) {
        None => Ok(()),
        Some(row) => invalid(format!(
            "{what}: class {} in row {row} is out of range; there are {classes} classes, from 0",
            labels[row]
        )),
    }
}

/// The weight of a row, 1 if there are none.
fn weight(weights: Option<&[f32]>, row: usize) -> f64 {
    weights.map_or(1.0, |weights| f64::from(weights[row]))
}

/// Weighted mean of a value per row.
fn mean(rows: usize, weights: Option<&[f32]>, value: impl Fn(usize) -> f64) -> f64 {
    let sum: f64 = (0..rows).map(|row| weight(weights, row) * value(row)).sum();
    sum / (0..rows).map(|row| weight(weights, row)).sum::<f64>()
}

/// The class with the largest score of each row, the first among equals; NaN counts as smallest.
/// A single score a row is the logit of class 1 against class 0.
pub fn predicted_classes(scores: &[f32], classes: usize) -> Result<Vec<u32>, DataError> {
    if classes == 0 || !scores.len().is_multiple_of(classes) {
        let count = scores.len();
        return invalid(format!("predicted classes: {count} scores in rows of {classes}"));
    }
    if classes == 1 {
        return Ok(scores.iter().map(|&logit| u32::from(logit > 0.0)).collect());
    }
    let best = |row: &[f32]| {
        (1..classes).fold(0, |best, class| {
            let ahead = row[class] > row[best] || (row[best].is_nan() && !row[class].is_nan());
            if ahead { class } else { best }
        }) as u32
    };
    Ok(scores.chunks_exact(classes).map(best).collect())
}

/// Share of rows whose predicted class is the label.
pub fn accuracy(
    scores: &[f32],
    classes: usize,
    labels: &[u32],
    weights: Option<&[f32]>,
) -> Result<f64, DataError> {
    let rows = rows("accuracy", scores.len(), classes, labels.len(), weights)?;
    check_labels("accuracy", labels, classes.max(2))?;
    let predicted = predicted_classes(scores, classes)?;
    Ok(mean(rows, weights, |row| f64::from(u8::from(predicted[row] == labels[row]))))
}

/// Share of rows whose label is among the `k` classes with the largest scores. Among equal scores
/// the lower class comes first, so that `k` = 1 is [`accuracy`]; a label whose score is NaN is a
/// miss.
pub fn top_k_accuracy(
    scores: &[f32],
    classes: usize,
    labels: &[u32],
    k: usize,
    weights: Option<&[f32]>,
) -> Result<f64, DataError> {
    let rows = rows("top-k accuracy", scores.len(), classes, labels.len(), weights)?;
    check_labels("top-k accuracy", labels, classes)?;
    if k == 0 {
        return invalid("top-k accuracy: k is 0; it must be at least 1".into());
    }
    let hit = |row: usize| {
        let label = labels[row] as usize;
        let scores = &scores[row * classes..][..classes];
        let own = scores[label];
        let ahead = |(class, &score): (usize, &f32)| score > own || (score == own && class < label);
        !own.is_nan() && scores.iter().enumerate().filter(|&s| ahead(s)).count() < k
    };
    Ok(mean(rows, weights, |row| f64::from(u8::from(hit(row)))))
}

/// Area under the receiver operating characteristic: the chance that a row of class 1 has a
/// larger score than one of class 0, ties counting half.
///
/// # Errors
/// Besides lengths: a label above 1, a score that is NaN, a class that does not occur.
pub fn roc_auc(scores: &[f32], labels: &[u32], weights: Option<&[f32]>) -> Result<f64, DataError> {
    let rows = rows("ROC AUC", scores.len(), 1, labels.len(), weights)?;
    check_labels("ROC AUC", labels, 2)?;
    area((0..rows).map(|row| (f64::from(scores[row]), labels[row] == 1, weight(weights, row))))
}

/// Mean over the classes of [`roc_auc`] of a class against all others. Scores should be
/// probabilities: unlike for two classes, logits of different rows can't be compared.
pub fn roc_auc_one_vs_rest(
    probabilities: &[f32],
    classes: usize,
    labels: &[u32],
    weights: Option<&[f32]>,
) -> Result<f64, DataError> {
    let rows = rows("ROC AUC", probabilities.len(), classes, labels.len(), weights)?;
    check_labels("ROC AUC", labels, classes)?;
    mean_area(rows, classes, labels, weights, |row, class| {
        f64::from(probabilities[row * classes + class])
    })
}

fn mean_area(
    rows: usize,
    classes: usize,
    labels: &[u32],
    weights: Option<&[f32]>,
    score: impl Fn(usize, usize) -> f64,
) -> Result<f64, DataError> {
    let mut sum = 0.0;
    for class in 0..classes {
        sum +=
            area((0..rows).map(|row| {
                (score(row, class), labels[row] as usize == class, weight(weights, row))
            }))?;
    }
    Ok(sum / classes as f64)
}

/// The area for rows of (score, whether positive, weight).
fn area(rows: impl Iterator<Item = (f64, bool, f64)>) -> Result<f64, DataError> {
    let mut rows: Vec<(f64, bool, f64)> = rows.collect();
    if rows.iter().any(|row| row.0.is_nan()) {
        return invalid("ROC AUC: a score is NaN".into());
    }
    // Zeros of both signs are equal, so partial order is total here.
    rows.sort_by(|a, b| a.0.partial_cmp(&b.0).expect("invariant: NaN is refused above"));
    let (mut above, mut positive, mut negative) = (0.0, 0.0, 0.0);
    for ties in rows.chunk_by(|a, b| a.0 == b.0) {
        let weigh = |which| ties.iter().filter(|t| t.1 == which).map(|t| t.2).sum::<f64>();
        let (up, down) = (weigh(true), weigh(false));
        above += up * (negative + down / 2.0);
        positive += up;
        negative += down;
    }
    if positive == 0.0 || negative == 0.0 {
        return invalid("ROC AUC is not defined: a class does not occur among the labels".into());
    }
    Ok(above / (positive * negative))
}

/// Mean of |prediction - target|.
pub fn mean_absolute_error(
    predictions: &[f32],
    targets: &[f32],
    weights: Option<&[f32]>,
) -> Result<f64, DataError> {
    let rows = rows("mean absolute error", predictions.len(), 1, targets.len(), weights)?;
    Ok(mean(rows, weights, |row| difference(predictions, targets, row).abs()))
}

/// Square root of the mean of (prediction - target)^2.
pub fn root_mean_squared_error(
    predictions: &[f32],
    targets: &[f32],
    weights: Option<&[f32]>,
) -> Result<f64, DataError> {
    let rows = rows("root mean squared error", predictions.len(), 1, targets.len(), weights)?;
    Ok(mean(rows, weights, |row| difference(predictions, targets, row).powi(2)).sqrt())
}

/// Coefficient of determination, 1 - sum (target - prediction)^2 / sum (target - mean)^2. Where
/// all targets are the same it is 1 if all predictions are exact, else 0.
///
/// # Errors
/// Besides lengths: fewer than two rows.
pub fn r2(predictions: &[f32], targets: &[f32], weights: Option<&[f32]>) -> Result<f64, DataError> {
    let rows = rows("R2", predictions.len(), 1, targets.len(), weights)?;
    if rows < 2 {
        return invalid("R2 is not defined for one row".into());
    }
    let center = mean(rows, weights, |row| f64::from(targets[row]));
    let residual = mean(rows, weights, |row| difference(predictions, targets, row).powi(2));
    let total = mean(rows, weights, |row| (f64::from(targets[row]) - center).powi(2));
    let constant = targets.iter().all(|target| *target == targets[0]);
    Ok(match (constant || total == 0.0, residual == 0.0) {
        (true, exact) => f64::from(u8::from(exact)),
        (false, _) => 1.0 - residual / total,
    })
}

fn difference(predictions: &[f32], targets: &[f32], row: usize) -> f64 {
    f64::from(predictions[row]) - f64::from(targets[row])
}

/// What predictions are compared with.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// Class indices, one a row.
    Classes(&'a [u32]),
    /// Numbers, as many as predicted.
    Numbers(&'a [f32]),
}

/// A metric by name; text and JSON form are the name alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum Metric {
    /// `accuracy`: see [`accuracy`].
    Accuracy,
    /// `top_5_accuracy` for k = 5: see [`top_k_accuracy`].
    TopKAccuracy(usize),
    /// `precision_macro` or `precision_weighted`: see [`ConfusionMatrix::precision`].
    Precision(Average),
    /// `recall_macro` or `recall_weighted`: see [`ConfusionMatrix::recall`].
    Recall(Average),
    /// `f1_macro` or `f1_weighted`: see [`ConfusionMatrix::f1`].
    F1(Average),
    /// `roc_auc`: see [`roc_auc`]; [`roc_auc_one_vs_rest`] of the softmax for three or more classes.
    RocAuc,
    /// `mean_absolute_error`: see [`mean_absolute_error`].
    MeanAbsoluteError,
    /// `root_mean_squared_error`: see [`root_mean_squared_error`].
    RootMeanSquaredError,
    /// `r2`: see [`r2`].
    R2,
}

impl Metric {
    /// The metrics without a parameter, and both averages of those that have one.
    const NAMED: [(&'static str, Metric); 11] = [
        ("accuracy", Metric::Accuracy),
        ("precision_macro", Metric::Precision(Average::Macro)),
        ("precision_weighted", Metric::Precision(Average::Weighted)),
        ("recall_macro", Metric::Recall(Average::Macro)),
        ("recall_weighted", Metric::Recall(Average::Weighted)),
        ("f1_macro", Metric::F1(Average::Macro)),
        ("f1_weighted", Metric::F1(Average::Weighted)),
        ("roc_auc", Metric::RocAuc),
        ("mean_absolute_error", Metric::MeanAbsoluteError),
        ("root_mean_squared_error", Metric::RootMeanSquaredError),
        ("r2", Metric::R2),
    ];

    /// Whether more is better, as for all but the errors.
    pub fn larger_is_better(self) -> bool {
        !matches!(self, Metric::MeanAbsoluteError | Metric::RootMeanSquaredError)
    }

    /// The metric of a model's outputs, logits in rows of `width` where targets are classes
    /// (`width` 1: the logit of class 1 against class 0).
    ///
    /// # Errors
    /// As the function of that name, and if the metric is for the other kind of target.
    pub fn evaluate(
        self,
        outputs: &[f32],
        width: usize,
        targets: Targets<'_>,
        weights: Option<&[f32]>,
    ) -> Result<f64, DataError> {
        match targets {
            Targets::Classes(labels) => self.of_classes(outputs, width, labels, weights),
            Targets::Numbers(targets) => match self {
                Metric::MeanAbsoluteError => mean_absolute_error(outputs, targets, weights),
                Metric::RootMeanSquaredError => root_mean_squared_error(outputs, targets, weights),
                Metric::R2 => r2(outputs, targets, weights),
                _ => invalid(format!("`{self}` is for classes, but the targets are numbers")),
            },
        }
    }

    fn of_classes(
        self,
        logits: &[f32],
        width: usize,
        labels: &[u32],
        weights: Option<&[f32]>,
    ) -> Result<f64, DataError> {
        let matrix = || ConfusionMatrix::from_scores(logits, width, labels, weights);
        match self {
            Metric::Accuracy => accuracy(logits, width, labels, weights),
            Metric::TopKAccuracy(k) => top_k_accuracy(logits, width, labels, k, weights),
            Metric::Precision(average) => matrix().map(|m| m.average(average, &m.precision())),
            Metric::Recall(average) => matrix().map(|m| m.average(average, &m.recall())),
            Metric::F1(average) => matrix().map(|m| m.average(average, &m.f1())),
            Metric::RocAuc if width == 1 => roc_auc(logits, labels, weights),
            Metric::RocAuc => {
                let rows = rows("ROC AUC", logits.len(), width, labels.len(), weights)?;
                check_labels("ROC AUC", labels, width)?;
                let odds = |row: usize, class: usize| {
                    // Ordered like the softmax, but exact near 0 and 1: minus the logarithm of the
                    // odds against the class.
                    let row = &logits[row * width..][..width];
                    let own = f64::from(row[class]);
                    let others = row.iter().enumerate().filter(|(other, _)| *other != class);
                    let others: Vec<f64> = others.map(|(_, &v)| f64::from(v)).collect();
                    let top = others.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    own - top - others.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
                };
                mean_area(rows, width, labels, weights, odds)
            }
            _ => invalid(format!("`{self}` is for numbers, but the targets are classes")),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Metric::TopKAccuracy(k) = self {
            return write!(f, "top_{k}_accuracy");
        }
        let named = Self::NAMED.iter().find(|(_, metric)| metric == self);
        f.write_str(named.expect("invariant: all others are in the list").0)
    }
}

impl FromStr for Metric {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        let k = name.strip_prefix("top_").and_then(|rest| rest.strip_suffix("_accuracy"));
        if let Some(k) = k.and_then(|k| k.parse().ok()).filter(|&k| k > 0) {
            return Ok(Metric::TopKAccuracy(k));
        }
        let named = Self::NAMED.iter().find(|(known, _)| *known == name);
        named.map(|(_, metric)| *metric).ok_or_else(|| {
            let known: Vec<&str> = Self::NAMED.iter().map(|(name, _)| *name).collect();
            let known = known.join(", ");
            DataError::Invalid(format!("no metric `{name}`; known: {known}, top_5_accuracy"))
        })
    }
}

impl TryFrom<String> for Metric {
    type Error = DataError;

    fn try_from(name: String) -> Result<Self, DataError> {
        name.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> String {
        metric.to_string()
    }
}

#[cfg(test)]
mod tests;
