//! The confusion matrix and what follows from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{check_labels, predicted_classes, rows, weight};
use crate::error::DataError;

/// How values of classes become one. Classes that are neither among the labels nor predicted are
/// left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// The mean of the classes.
    Macro,
    /// The mean weighted by how often each class is the label.
    Weighted,
}

/// How often each class was taken for which. Its `Display` is a table, labels down, predictions
/// across.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: Vec<f64>,
}

impl ConfusionMatrix {
    /// Counts pairs of predicted class and label, each below `classes`.
    pub fn new(
        predicted: &[u32],
        labels: &[u32],
        classes: usize,
        weights: Option<&[f32]>,
    ) -> Result<Self, DataError> {
        let rows = rows("confusion matrix", predicted.len(), 1, labels.len(), weights)?;
        check_labels("confusion matrix, predictions", predicted, classes)?;
        check_labels("confusion matrix, labels", labels, classes)?;
        let mut counts = vec![0.0; classes * classes];
        for row in 0..rows {
            let place = labels[row] as usize * classes + predicted[row] as usize;
            counts[place] += weight(weights, row);
        }
        Ok(ConfusionMatrix { classes, counts })
    }

    /// Counts [`predicted_classes`] of scores against labels.
    pub fn from_scores(
        scores: &[f32],
        classes: usize,
        labels: &[u32],
        weights: Option<&[f32]>,
    ) -> Result<Self, DataError> {
        rows("confusion matrix", scores.len(), classes, labels.len(), weights)?;
        Self::new(&predicted_classes(scores, classes)?, labels, classes.max(2), weights)
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many rows (or what weight) with this label were predicted as that class.
    ///
    /// # Panics
    /// If one is not below the number of classes.
    pub fn count(&self, label: usize, predicted: usize) -> f64 {
        assert!(label < self.classes && predicted < self.classes, "a class is out of range");
        self.counts[label * self.classes + predicted]
    }

    /// Rows with each label.
    pub fn support(&self) -> Vec<f64> {
        self.counts.chunks_exact(self.classes).map(|row| row.iter().sum()).collect()
    }

    /// Rows predicted as each class.
    fn predictions(&self) -> Vec<f64> {
        let column = |class| (0..self.classes).map(|label| self.count(label, class)).sum();
        (0..self.classes).map(column).collect()
    }

    /// Share of rows on the diagonal.
    pub fn accuracy(&self) -> f64 {
        let hits: f64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        hits / self.counts.iter().sum::<f64>()
    }

    /// Of the rows predicted as each class, the share that is; 0 if none is predicted.
    pub fn precision(&self) -> Vec<f64> {
        let predictions = self.predictions();
        (0..self.classes).map(|c| share(self.count(c, c), predictions[c])).collect()
    }

    /// Of the rows with each label, the share that is found; 0 if there is none.
    pub fn recall(&self) -> Vec<f64> {
        let support = self.support();
        (0..self.classes).map(|c| share(self.count(c, c), support[c])).collect()
    }

    /// Harmonic mean of precision and recall of each class; 0 if both are.
    pub fn f1(&self) -> Vec<f64> {
        let (predictions, support) = (self.predictions(), self.support());
        (0..self.classes)
            .map(|c| share(2.0 * self.count(c, c), predictions[c] + support[c]))
            .collect()
    }

    /// One value from one per class.
    ///
    /// # Panics
    /// If there is not one value per class.
    pub fn average(&self, average: Average, values: &[f64]) -> f64 {
        assert_eq!(values.len(), self.classes, "one value per class");
        let weights: Vec<f64> = match average {
            Average::Weighted => self.support(),
            Average::Macro => {
                (0..self.classes).map(|c| f64::from(u8::from(self.occurs(c)))).collect()
            }
        };
        let sum: f64 = values.iter().zip(&weights).map(|(v, w)| v * w).sum();
        sum / weights.iter().sum::<f64>()
    }

    /// Whether a class is among the labels or the predictions.
    fn occurs(&self, class: usize) -> bool {
        (0..self.classes).any(|c| self.count(class, c) > 0.0 || self.count(c, class) > 0.0)
    }

    /// Precision, recall, F1 and support of every class that occurs, and their averages.
    ///
    /// # Errors
    /// If names are given, but not one per class.
    pub fn report(&self, names: Option<&[String]>) -> Result<ClassificationReport, DataError> {
        if let Some(names) = names
            && names.len() != self.classes
        {
            let (got, classes) = (names.len(), self.classes);
            return super::invalid(format!("report: {got} names for {classes} classes"));
        }
        let (precision, recall, f1) = (self.precision(), self.recall(), self.f1());
        let support = self.support();
        let row = |c: usize| ReportRow {
            name: names.map_or_else(|| c.to_string(), |names| names[c].clone()),
            precision: precision[c],
            recall: recall[c],
            f1: f1[c],
            support: support[c],
        };
        let total: f64 = support.iter().sum();
        let average = |name: &str, kind| ReportRow {
            name: name.into(),
            precision: self.average(kind, &precision),
            recall: self.average(kind, &recall),
            f1: self.average(kind, &f1),
            support: total,
        };
        Ok(ClassificationReport {
            classes: (0..self.classes).filter(|&c| self.occurs(c)).map(row).collect(),
            accuracy: self.accuracy(),
            macro_average: average("macro avg", Average::Macro),
            weighted_average: average("weighted avg", Average::Weighted),
        })
    }
}

/// `part / whole`, 0 of nothing.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// A count without a point, a sum of weights with two digits.
fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

impl fmt::Display for ConfusionMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells: Vec<String> = self.counts.iter().map(|&count| number(count)).collect();
        let last = (self.classes - 1).to_string();
        let width = cells.iter().map(String::len).max().unwrap_or(0).max(last.len());
        let first = "label".len().max(last.len());
        write!(f, "{:>first$} |", "label")?;
        (0..self.classes).try_for_each(|class| write!(f, " {class:>width$}"))?;
        write!(f, "\n{}-+{}", "-".repeat(first), "-".repeat((width + 1) * self.classes))?;
        for (label, row) in cells.chunks_exact(self.classes).enumerate() {
            write!(f, "\n{label:>first$} |")?;
            row.iter().try_for_each(|cell| write!(f, " {cell:>width$}"))?;
        }
        Ok(())
    }
}

/// One line of a [`ClassificationReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportRow {
    /// Name of the class or of the average.
    pub name: String,
    /// Precision.
    pub precision: f64,
    /// Recall.
    pub recall: f64,
    /// F1.
    pub f1: f64,
    /// Rows with this label.
    pub support: f64,
}

/// A classifier's quality by class. Its `Display` is scikit-learn's `classification_report`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassificationReport {
    /// The classes that occur.
    pub classes: Vec<ReportRow>,
    /// Share of rows that are right.
    pub accuracy: f64,
    /// Means over the classes.
    pub macro_average: ReportRow,
    /// Means weighted by support.
    pub weighted_average: ReportRow,
}

impl fmt::Display for ClassificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let averages = [&self.macro_average, &self.weighted_average];
        let names = self.classes.iter().chain(averages).map(|row| row.name.chars().count());
        let width = names.max().unwrap_or(0);
        let line = |f: &mut fmt::Formatter<'_>, row: &ReportRow| {
            let ReportRow { name, precision, recall, f1, support } = row;
            let support = number(*support);
            write!(f, "\n{name:>width$}  {precision:>9.2} {recall:>9.2} {f1:>9.2} {support:>9}")
        };
        let head = ["precision", "recall", "f1-score", "support"];
        write!(f, "{:>width$} ", "")?;
        head.iter().try_for_each(|title| write!(f, " {title:>9}"))?;
        f.write_str("\n")?;
        self.classes.iter().try_for_each(|row| line(f, row))?;
        let (accuracy, support) = (self.accuracy, number(self.macro_average.support));
        write!(f, "\n\n{:>width$}  {:>9} {:>9} {accuracy:>9.2} {support:>9}", "accuracy", "", "")?;
        averages.iter().try_for_each(|row| line(f, row))
    }
}
