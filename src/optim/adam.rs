//! Adam (Kingma and Ba 2015) as `torch.optim.Adam` computes it.

use serde::Serialize;

use super::{Optimizer, OptimizerStep};
use crate::plan::UpdateRule;

/// `m ← m + (1 − β₁)(g − m)`, `v ← β₂ v + (1 − β₂) g²`,
/// `p ← p − (η / c₁) m / (√v / √c₂ + ε)` with `cᵢ = 1 − βᵢᵗ`.
///
/// Defaults: β = (0.9, 0.999), ε = 1e-8, no weight decay. Weight decay is added to the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Adam {
    learning_rate: f64,
    betas: (f64, f64),
    epsilon: f64,
    weight_decay: f64,
}

impl Adam {
    /// Adam with this learning rate; PyTorch's default is 1e-3.
    pub fn new(learning_rate: f64) -> Self {
        Adam { learning_rate, betas: (0.9, 0.999), epsilon: 1e-8, weight_decay: 0.0 }
    }

    /// The same with other decay rates of the moments.
    pub fn betas(self, first: f64, second: f64) -> Self {
        Adam { betas: (first, second), ..self }
    }

    /// The same with another ε.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Adam { epsilon, ..self }
    }

    /// The same with `weight_decay · p` added to the gradient.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Adam { weight_decay, ..self }
    }
}

impl Optimizer for Adam {
    fn name(&self) -> &str {
        "adam"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        let (beta1, beta2) = self.betas;
        let scalars = ["rate", "root_correction", "weight_decay"];
        UpdateRule::new(&[("momentum", 0.0), ("variance", 0.0)], &scalars, |g, s, p, states| {
            let (m, v) = (&states[0], &states[1]);
            let g = match self.weight_decay {
                0.0 => g.clone(),
                _ => g + p * &s[2],
            };
            let m = m + (&g - m) * (1.0 - beta1);
            let v = v * beta2 + g.square() * (1.0 - beta2);
            let p = p - &m * &s[0] / (v.sqrt() * &s[1] + self.epsilon);
            (p, vec![m, v])
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        let (beta1, beta2) = self.betas;
        let t = step.step as f64;
        let (first, second) = (1.0 - beta1.powf(t), 1.0 - beta2.powf(t));
        let decay = if step.decays { self.weight_decay } else { 0.0 };
        scalars.extend([step.learning_rate / first, 1.0 / second.sqrt(), decay]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }
}
