//! Lion (Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms").

use serde::Serialize;

use super::decay::{WeightDecay, betas, not_negative};
use super::{Optimizer, OptimizerStep};
use crate::plan::UpdateRule;

/// `p ← p − η (sign(β₁ m + (1 − β₁) g) + λ p)`, then `m ← β₂ m + (1 − β₂) g`; sign(0) = 0.
///
/// Defaults: β = (0.9, 0.99), λ = 0. The paper's rates are 3 to 10 times below Adam's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lion {
    learning_rate: f64,
    betas: (f64, f64),
    weight_decay: WeightDecay,
}

impl Lion {
    /// Lion with this learning rate; the paper's default is 1e-4.
    pub fn new(learning_rate: f64) -> Self {
        Lion { learning_rate, betas: (0.9, 0.99), weight_decay: WeightDecay::decoupled(0.0) }
    }

    /// The same with other shares of the momentum in the step and in itself.
    pub fn betas(self, first: f64, second: f64) -> Self {
        Lion { betas: (first, second), ..self }
    }

    /// The same with decoupled weight decay λ.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Lion { weight_decay: self.weight_decay.with_factor(weight_decay), ..self }
    }
}

impl Optimizer for Lion {
    fn name(&self) -> &str {
        "lion"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        let (beta1, beta2) = self.betas;
        let scalars = ["rate", "weight_decay"];
        UpdateRule::new(&[("momentum", 0.0)], &scalars, |g, s, p, states| {
            let (g, p) = self.weight_decay.apply(g, p, &s[1]);
            let m = &states[0];
            let direction = (m * beta1 + &g * (1.0 - beta1)).sign();
            (p - direction * &s[0], vec![m * beta2 + g * (1.0 - beta2)])
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        scalars.extend([step.learning_rate, self.weight_decay.scalar(step)]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn check(&self) -> Result<(), String> {
        not_negative("lion", "learning_rate", self.learning_rate)?;
        betas("lion", self.betas)?;
        self.weight_decay.check("lion")
    }
}
