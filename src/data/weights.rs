//! Sample weights, and class weights as a way to make them.

use super::dataset::{ColumnId, Dataset};
use crate::error::DataError;
use crate::tensor::DType;

impl Dataset {
    /// One weight per row, if there are any.
    pub fn weights(&self) -> Option<&[f32]> {
        self.weights.as_deref()
    }

    /// Sets how much each row counts in losses and metrics, in place of any weights before.
    ///
    /// # Errors
    /// If there is not one weight per row, one is negative or not finite, or all are 0.
    pub fn with_weights(mut self, weights: Vec<f32>) -> Result<Dataset, DataError> {
        if weights.len() != self.len() {
            return Err(DataError::Invalid(format!(
                "{} weights for {} rows",
                weights.len(),
                self.len()
            )));
        }
        if let Some(row) = weights.iter().position(|&w| !(w.is_finite() && w >= 0.0)) {
            return Err(DataError::Invalid(format!(
                "row {row}: weight {} is not a finite number from 0",
                weights[row]
            )));
        }
        if weights.iter().all(|&w| w == 0.0) {
            return Err(DataError::Invalid("all weights are 0".into()));
        }
        self.weights = Some(weights.into());
        Ok(self)
    }

    /// Multiplies each row's weight (1 if it has none) by that of its class.
    ///
    /// # Errors
    /// If the first target is not one label per row, or there is not one weight per class; and
    /// as [`Dataset::with_weights`].
    pub fn with_class_weights(self, class_weights: &[f32]) -> Result<Dataset, DataError> {
        let labels = self.labels()?;
        if class_weights.len() != self.classes() {
            return Err(DataError::Invalid(format!(
                "{} class weights for {} classes",
                class_weights.len(),
                self.classes()
            )));
        }
        let mut weights: Vec<f32> =
            labels.iter().map(|&label| class_weights[label as usize]).collect();
        if let Some(old) = self.weights() {
            weights.iter_mut().zip(old).for_each(|(weight, old)| *weight *= old);
        }
        self.with_weights(weights)
    }

    /// The weight of each class that makes all classes count alike: rows / (classes * rows of
    /// the class), as scikit-learn's `balanced`. A class without rows gets 0 and is not counted.
    ///
    /// # Errors
    /// If the first target is not one label per row.
    pub fn balanced_class_weights(&self) -> Result<Vec<f32>, DataError> {
        let mut counts = vec![0usize; self.classes()];
        self.labels()?.iter().for_each(|&label| counts[label as usize] += 1);
        let present = counts.iter().filter(|&&count| count > 0).count();
        let weight = |count| match count {
            0 => 0.0,
            _ => (self.len() as f64 / (present * count) as f64) as f32,
        };
        Ok(counts.into_iter().map(weight).collect())
    }

    /// The first target's labels, row by row.
    ///
    /// # Errors
    /// If the first target is not one label per row.
    pub(crate) fn labels(&self) -> Result<Vec<u32>, DataError> {
        match self.targets().first() {
            Some(target) if target.dtype() == DType::U32 && target.row_elements() == 1 => {
                let rows: Vec<usize> = (0..self.len()).collect();
                let mut labels = vec![0; rows.len()];
                self.gather_u32(ColumnId::Target(0), &rows, &mut labels)?;
                Ok(labels)
            }
            _ => Err(DataError::Invalid(
                "this needs a first target of one class label per row".into(),
            )),
        }
    }
}
