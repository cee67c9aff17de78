//! Losses: functions of output and target, one value per row of the batch.
//!
//! The trainer multiplies by sample weights and divides by their sum over the whole optimizer step,
//! so a loss here knows neither weights nor the size of the batch.

use crate::layer::Value;
use crate::op::softmax_cross_entropy::SoftmaxCrossEntropy;
use crate::tensor::{DType, Shape, TensorType};

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

/// Mean squared error: the mean of `(output − target)²` over a row's elements.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanSquaredError;

impl Loss for MeanSquaredError {
    fn name(&self) -> &str {
        "mean_squared_error"
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        output.map2(target, |y, t| (y - t).square()).mean_per_row()
    }
}

/// Softmax cross-entropy on logits `[B, .., classes]` with class labels `[B, ..]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Mass that is spread evenly over all classes, in 0..1; default 0.
    pub label_smoothing: f64,
}

impl Loss for CrossEntropy {
    fn name(&self) -> &str {
        "cross_entropy"
    }

    fn target(&self, output: &TensorType) -> TensorType {
        let mut dims = output.shape.dims().to_vec();
        dims.pop();
        TensorType::new(DType::U32, Shape(dims))
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        let op = SoftmaxCrossEntropy { label_smoothing: self.label_smoothing };
        output.one(op, &[target]).mean_per_row()
    }
}
