//! RAdam (Liu et al. 2020) as `torch.optim.RAdam` computes it.

use serde::Serialize;

use super::decay::{WeightDecay, betas, not_negative};
use super::{Optimizer, OptimizerStep};
use crate::plan::UpdateRule;

/// Adam that leaves the variance out until it is known well enough. With Adam's `m`, `v` and `cᵢ`,
/// `ρ∞ = 2 / (1 − β₂) − 1` and `ρ = ρ∞ − 2 t β₂ᵗ / c₂`: where `ρ > 5`,
/// `p ← p − (η / c₁) m r √c₂ / (√v + ε)` with
/// `r² = (ρ − 4)(ρ − 2) ρ∞ / ((ρ∞ − 4)(ρ∞ − 2) ρ)`, else `p ← p − (η / c₁) m`.
///
/// Defaults: β = (0.9, 0.999), ε = 1e-8, no weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RAdam {
    learning_rate: f64,
    betas: (f64, f64),
    epsilon: f64,
    weight_decay: WeightDecay,
}

impl RAdam {
    /// RAdam with this learning rate; PyTorch's default is 1e-3.
    pub fn new(learning_rate: f64) -> Self {
        RAdam {
            learning_rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            weight_decay: WeightDecay::coupled(0.0),
        }
    }

    /// The same with other decay rates of the moments.
    pub fn betas(self, first: f64, second: f64) -> Self {
        RAdam { betas: (first, second), ..self }
    }

    /// The same with another ε.
    pub fn epsilon(self, epsilon: f64) -> Self {
        RAdam { epsilon, ..self }
    }

    /// The same with `weight_decay · p` added to the gradient.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        RAdam { weight_decay: WeightDecay::coupled(weight_decay), ..self }
    }

    /// The same with decoupled weight decay, as [`AdamW`](super::AdamW).
    pub fn decoupled_weight_decay(self, weight_decay: f64) -> Self {
        RAdam { weight_decay: WeightDecay::decoupled(weight_decay), ..self }
    }

    /// `r √c₂` of a step; 0 where the variance is left out.
    fn rectification(&self, step: f64) -> f64 {
        let beta2 = self.betas.1;
        let correction = 1.0 - beta2.powf(step);
        let limit = 2.0 / (1.0 - beta2) - 1.0;
        let length = limit - 2.0 * step * beta2.powf(step) / correction;
        if length <= 5.0 {
            return 0.0;
        }
        let above = (length - 4.0) * (length - 2.0) * limit;
        let below = (limit - 4.0) * (limit - 2.0) * length;
        (above / below * correction).sqrt()
    }
}

impl Optimizer for RAdam {
    fn name(&self) -> &str {
        "radam"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        let (beta1, beta2) = self.betas;
        let states = [("momentum", 0.0), ("variance", 0.0)];
        let scalars = ["rate", "rectification", "weight_decay"];
        UpdateRule::new(&states, &scalars, |g, s, p, states| {
            let (g, p) = self.weight_decay.apply(g, p, &s[2]);
            let m = &states[0] + (&g - &states[0]) * (1.0 - beta1);
            let v = &states[1] * beta2 + g.square() * (1.0 - beta2);
            let adaptive = &s[1] / (v.sqrt() + self.epsilon);
            let factor = s[1].equal(0.0).select(1.0, adaptive);
            (p - &m * &s[0] * factor, vec![m, v])
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        let t = step.step as f64;
        let rate = step.learning_rate / (1.0 - self.betas.0.powf(t));
        scalars.extend([rate, self.rectification(t), self.weight_decay.scalar(step)]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn check(&self) -> Result<(), String> {
        not_negative("radam", "learning_rate", self.learning_rate)?;
        betas("radam", self.betas)?;
        not_negative("radam", "epsilon", self.epsilon)?;
        self.weight_decay.check("radam")
    }
}
