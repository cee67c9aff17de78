//! Losses of the distance `d = output − target`. The target has the output's type; the loss of a
//! row is the mean over its elements, so the mean over rows is PyTorch's mean over everything.

use std::f64::consts::LN_2;

use super::Loss;
use crate::layer::Value;

/// Mean squared error: the mean of `d²` (`torch.nn.MSELoss`).
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

/// Mean absolute error: the mean of `|d|` (`torch.nn.L1Loss`). The derivative is 0 at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MeanAbsoluteError;

impl Loss for MeanAbsoluteError {
    fn name(&self) -> &str {
        "mean_absolute_error"
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        output.map2(target, |y, t| (y - t).abs()).mean_per_row()
    }
}

/// Huber's loss (1964): `d² / 2` where `|d| ≤ δ`, else `δ (|d| − δ / 2)` (`torch.nn.HuberLoss`).
///
/// PyTorch's `SmoothL1Loss` with `beta` is this with `δ = beta`, divided by `beta`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Huber {
    /// Distance δ from which on the loss is linear; above 0, default 1.
    pub delta: f64,
}

impl Default for Huber {
    fn default() -> Self {
        Huber { delta: 1.0 }
    }
}

impl Loss for Huber {
    fn name(&self) -> &str {
        "huber"
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        if !(self.delta > 0.0 && self.delta.is_finite()) {
            return output.fail(format!("huber: `delta` is {}; it must be above 0", self.delta));
        }
        let loss = output.map2(target, |y, t| {
            let distance = (y - t).abs();
            // Both pieces in one: near is |d| up to δ, then δ.
            let near = distance.min(self.delta);
            &near * (distance - &near * 0.5)
        });
        loss.mean_per_row()
    }
}

/// The mean of `log cosh d`, as `|d| + log(1 + exp(−2|d|)) − log 2`, which does not overflow; the
/// derivative is `tanh d` (Keras `LogCosh`).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LogCosh;

impl Loss for LogCosh {
    fn name(&self) -> &str {
        "log_cosh"
    }

    fn forward(&self, output: &Value, target: &Value) -> Value {
        let loss = (output - target).map_with_gradient(
            |d| d.abs() + (d.abs() * -2.0).exp().log1p() - LN_2,
            |d, _, g| g * d.tanh(),
        );
        loss.mean_per_row()
    }
}
