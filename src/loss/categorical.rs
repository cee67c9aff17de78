//! Losses over classes, which are the last dimension. Dimensions between rows and classes, such as
//! the tokens of a sequence, are averaged.

use super::Loss;
use crate::layer::Value;
use crate::op::softmax_cross_entropy::SoftmaxCrossEntropy;
use crate::tensor::{DType, Shape, TensorType};

/// Softmax cross-entropy on logits `[B, .., classes]` with class labels `[B, ..]`
/// (`torch.nn.CrossEntropyLoss`): `−log softmax(y)[t]`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// Mass that is spread evenly over all classes (Szegedy et al. 2016), in 0..1; default 0.
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

/// Softmax cross-entropy on logits `[B, .., classes]` with a distribution over the classes as
/// target, of the same shape: `−Σ t log softmax(y)`.
///
/// The target's sum need not be 1: it weighs the row, and a target times class weights gives
/// PyTorch's class-weighted loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SoftCrossEntropy {
    /// Mass that is spread evenly over all classes, in 0..1; default 0.
    pub label_smoothing: f64,
}

impl Loss for SoftCrossEntropy {
    fn name(&self) -> &str {
        "soft_cross_entropy"
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        let op = SoftmaxCrossEntropy { label_smoothing: self.label_smoothing };
        output.one(op, &[target]).mean_per_row()
    }
}

/// Kullback-Leibler divergence of log-probabilities `y`, `[B, .., classes]`, from the distribution
/// `t` of the same shape (`torch.nn.KLDivLoss`): `Σ t (log t − y)`, a class with `t = 0` adding 0.
///
/// The sum over classes, averaged over rows, is PyTorch's `batchmean`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KullbackLeibler;

impl Loss for KullbackLeibler {
    fn name(&self) -> &str {
        "kullback_leibler"
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        let rank = output.shape().rank();
        if rank < 2 {
            return output.fail(format!(
                "kullback_leibler takes log-probabilities of shape [B, .., classes], got {}",
                output.ty()
            ));
        }
        let terms = output.map2(target, |y, t| t.equal(0.0).select(0.0, t * (t.log() - y)));
        terms.sum(&[rank - 1], false).mean_per_row()
    }
}
