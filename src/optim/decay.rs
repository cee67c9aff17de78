//! What optimizers share: weight decay, and checks of hyper-parameters.

use serde::Serialize;

use super::OptimizerStep;
use crate::op::expression::Expr;

/// Weight decay of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct WeightDecay {
    factor: f64,
    decoupled: bool,
}

impl WeightDecay {
    /// `factor · p` is added to the gradient: the gradient of `factor/2 · Σp²`.
    pub(super) const fn coupled(factor: f64) -> Self {
        WeightDecay { factor, decoupled: false }
    }

    /// `p` shrinks by `η · factor · p`, beside the gradient (Loshchilov and Hutter 2019).
    pub(super) const fn decoupled(factor: f64) -> Self {
        WeightDecay { factor, decoupled: true }
    }

    /// The same kind with another factor.
    pub(super) fn with_factor(self, factor: f64) -> Self {
        WeightDecay { factor, ..self }
    }

    /// Gradient and parameter as the rest of the rule sees them. `scalar` is [`Self::scalar`].
    pub(super) fn apply(&self, gradient: &Expr, parameter: &Expr, scalar: &Expr) -> (Expr, Expr) {
        let (g, p) = (gradient, parameter);
        match *self {
            WeightDecay { factor: 0.0, .. } => (g.clone(), p.clone()),
            WeightDecay { decoupled: false, .. } => (g + p * scalar, p.clone()),
            // Not p (1 - η·factor): in single precision that rounds the small factor away.
            WeightDecay { decoupled: true, .. } => (g.clone(), p - p * scalar),
        }
    }

    /// What is multiplied with the parameter in this step.
    pub(super) fn scalar(&self, step: &OptimizerStep) -> f64 {
        match *self {
            WeightDecay { factor, decoupled: false } => step.decay_factor * factor,
            WeightDecay { factor, decoupled: true } => {
                step.learning_rate * (step.decay_factor * factor)
            }
        }
    }

    /// Whether the factor is finite and not negative.
    pub(super) fn check(&self, optimizer: &str) -> Result<(), String> {
        not_negative(optimizer, "weight_decay", self.factor)
    }
}

/// `value` must be finite and 0 or more.
pub(super) fn not_negative(optimizer: &str, name: &str, value: f64) -> Result<(), String> {
    if value >= 0.0 && value.is_finite() {
        return Ok(());
    }
    Err(format!("{optimizer}: `{name}` is {value}; it must be a finite number, 0 or more"))
}

/// `value` must be in 0..1, 1 excluded: a decay rate of 1 would never learn anything.
pub(super) fn share(optimizer: &str, name: &str, value: f64) -> Result<(), String> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    Err(format!("{optimizer}: `{name}` is {value}; it must be in 0..1, 1 excluded"))
}

/// Both of `betas` must be in 0..1.
pub(super) fn betas(optimizer: &str, (first, second): (f64, f64)) -> Result<(), String> {
    share(optimizer, "betas.0", first)?;
    share(optimizer, "betas.1", second)
}
