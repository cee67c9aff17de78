//! Losses for yes or no, each element on its own. The target has the output's type; the loss of a
//! row is the mean over its elements.

use super::Loss;
use crate::layer::Value;

/// Binary cross-entropy on logits (`torch.nn.BCEWithLogitsLoss`):
/// `w t softplus(−y) + (1 − t) softplus(y)`, with targets `t` in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BinaryCrossEntropy {
    /// Weight `w` of positive answers, 0 or more; default 1. Above 1 it trades precision for
    /// recall.
    pub positive_weight: f64,
}

impl Default for BinaryCrossEntropy {
    fn default() -> Self {
        BinaryCrossEntropy { positive_weight: 1.0 }
    }
}

impl Loss for BinaryCrossEntropy {
    fn name(&self) -> &str {
        "binary_cross_entropy"
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        let weight = self.positive_weight;
        if !(weight >= 0.0 && weight.is_finite()) {
            return output.fail(format!(
                "binary_cross_entropy: `positive_weight` is {weight}; it must be a finite number, \
                 0 or more"
            ));
        }
        let loss = output.map2(target, |y, t| {
            // Both softplus have this part: softplus(y) = max(y, 0) + tail.
            let tail = (-y.abs()).exp().log1p();
            let (yes, no) = ((-y).max(0.0) + &tail, y.max(0.0) + &tail);
            t * weight * yes + (1.0 - t) * no
        });
        loss.mean_per_row()
    }
}

/// Hinge loss: the mean of `max(0, 1 − t y)`, with targets `t` of −1 and 1. The derivative is 0
/// where `t y = 1`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Hinge;

impl Loss for Hinge {
    fn name(&self) -> &str {
        "hinge"
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        output.map2(target, |y, t| 1.0 - t * y).relu().mean_per_row()
    }
}
