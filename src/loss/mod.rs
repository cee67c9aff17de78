//! Losses: functions of output and target, one value per row of the batch.
//!
//! The trainer multiplies by sample weights and divides by their sum over the whole optimizer step,
//! so a loss here knows neither weights nor the size of the batch. Class weights are sample weights:
//! a row of class `c` weighs `w[c]`, which with hard labels is PyTorch's weighted mean.

mod binary;
mod categorical;
mod regression;

pub use binary::{BinaryCrossEntropy, Hinge};
pub use categorical::{CrossEntropy, KullbackLeibler, SoftCrossEntropy};
pub use regression::{Huber, LogCosh, MeanAbsoluteError, MeanSquaredError};

use crate::layer::Value;
use crate::tensor::TensorType;

/// A loss: the target's type for an output, and the loss of each row.
///
/// A closure `Fn(&Value, &Value) -> Value` is one too; its target has the type of the output.
pub trait Loss: Send + Sync {
    /// Name in reports.
    fn name(&self) -> &str {
        "loss"
    }

    /// Type of the target for this output.
    fn target(&self, output: &TensorType) -> TensorType {
        output.clone()
    }

    /// Loss of each row: shape `[B]`.
    fn forward(&self, output: &Value, target: &Value) -> Value;
}

impl<F: Fn(&Value, &Value) -> Value + Send + Sync> Loss for F {
    fn forward(&self, output: &Value, target: &Value) -> Value {
        self(output, target)
    }
}
