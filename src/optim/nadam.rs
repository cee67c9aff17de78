//! NAdam (Dozat 2016) as `torch.optim.NAdam` computes it.

use serde::Serialize;

use super::decay::{WeightDecay, betas, not_negative};
use super::{Optimizer, OptimizerStep};
use crate::plan::UpdateRule;

/// Adam with Nesterov's look ahead. With `μₜ = β₁ (1 − ½ 0.96^(t ψ))`, `Πₜ = μ₁ μ₂ .. μₜ` and
/// Adam's `m`, `v` and `c₂`:
/// `p ← p − η ((1 − μₜ) g / (1 − Πₜ) + μₜ₊₁ m / (1 − Πₜ₊₁)) / (√(v / c₂) + ε)`.
///
/// Defaults: β = (0.9, 0.999), ε = 1e-8, ψ = 0.004, no weight decay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NAdam {
    learning_rate: f64,
    betas: (f64, f64),
    epsilon: f64,
    momentum_decay: f64,
    weight_decay: WeightDecay,
}

impl NAdam {
    /// NAdam with this learning rate; PyTorch's default is 2e-3.
    pub fn new(learning_rate: f64) -> Self {
        NAdam {
            learning_rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            momentum_decay: 0.004,
            weight_decay: WeightDecay::coupled(0.0),
        }
    }

    /// The same with other decay rates of the moments.
    pub fn betas(self, first: f64, second: f64) -> Self {
        NAdam { betas: (first, second), ..self }
    }

    /// The same with another ε.
    pub fn epsilon(self, epsilon: f64) -> Self {
        NAdam { epsilon, ..self }
    }

    /// The same with another ψ.
    pub fn momentum_decay(self, momentum_decay: f64) -> Self {
        NAdam { momentum_decay, ..self }
    }

    /// The same with `weight_decay · p` added to the gradient.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        NAdam { weight_decay: WeightDecay::coupled(weight_decay), ..self }
    }

    /// The same with decoupled weight decay, as [`AdamW`](super::AdamW).
    pub fn decoupled_weight_decay(self, weight_decay: f64) -> Self {
        NAdam { weight_decay: WeightDecay::decoupled(weight_decay), ..self }
    }

    /// μ of a step.
    fn momentum(&self, step: f64) -> f64 {
        self.betas.0 * (1.0 - 0.5 * 0.96f64.powf(step * self.momentum_decay))
    }
}

impl Optimizer for NAdam {
    fn name(&self) -> &str {
        "nadam"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        let (beta1, beta2) = self.betas;
        let states = [("momentum", 0.0), ("variance", 0.0)];
        let scalars = ["gradient_rate", "momentum_rate", "root_correction", "weight_decay"];
        UpdateRule::new(&states, &scalars, |g, s, p, states| {
            let (g, p) = self.weight_decay.apply(g, p, &s[3]);
            let m = &states[0] + (&g - &states[0]) * (1.0 - beta1);
            let v = &states[1] * beta2 + g.square() * (1.0 - beta2);
            let step = (g * &s[0] + &m * &s[1]) / (v.sqrt() * &s[2] + self.epsilon);
            (p - step, vec![m, v])
        })
    }

    /// `memory` is the product of all μ so far.
    fn scalars(&self, step: &OptimizerStep, memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        let t = step.step as f64;
        let (now, next) = (self.momentum(t), self.momentum(t + 1.0));
        let product = memory.first().copied().unwrap_or(1.0) * now;
        memory.clear();
        memory.push(product);
        let correction = 1.0 - self.betas.1.powf(t);
        scalars.extend([
            step.learning_rate * (1.0 - now) / (1.0 - product),
            step.learning_rate * next / (1.0 - product * next),
            1.0 / correction.sqrt(),
            self.weight_decay.scalar(step),
        ]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn check(&self) -> Result<(), String> {
        not_negative("nadam", "learning_rate", self.learning_rate)?;
        betas("nadam", self.betas)?;
        not_negative("nadam", "epsilon", self.epsilon)?;
        not_negative("nadam", "momentum_decay", self.momentum_decay)?;
        self.weight_decay.check("nadam")
    }
}
