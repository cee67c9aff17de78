//! Adagrad (Duchi et al. 2011) and Adadelta (Zeiler 2012) as `torch.optim` computes them.

use serde::Serialize;

use super::decay::{WeightDecay, not_negative, share};
use super::{Optimizer, OptimizerStep};
use crate::plan::UpdateRule;

/// `s ← s + g²`, `p ← p − η / (1 + (t − 1) δ) · g / (√s + ε)`.
///
/// Defaults: δ = 0, `s` begins at 0, ε = 1e-10, no weight decay. Weight decay is added to the
/// gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Adagrad {
    learning_rate: f64,
    learning_rate_decay: f64,
    initial_accumulator_value: f64,
    epsilon: f64,
    weight_decay: WeightDecay,
}

impl Adagrad {
    /// Adagrad with this learning rate; PyTorch's default is 1e-2.
    pub fn new(learning_rate: f64) -> Self {
        Adagrad {
            learning_rate,
            learning_rate_decay: 0.0,
            initial_accumulator_value: 0.0,
            epsilon: 1e-10,
            weight_decay: WeightDecay::coupled(0.0),
        }
    }

    /// The same with decay δ of the learning rate.
    pub fn learning_rate_decay(self, learning_rate_decay: f64) -> Self {
        Adagrad { learning_rate_decay, ..self }
    }

    /// The same with sums `s` that begin at this value.
    pub fn initial_accumulator_value(self, initial_accumulator_value: f64) -> Self {
        Adagrad { initial_accumulator_value, ..self }
    }

    /// The same with another ε.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Adagrad { epsilon, ..self }
    }

    /// The same with `weight_decay · p` added to the gradient.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Adagrad { weight_decay: self.weight_decay.with_factor(weight_decay), ..self }
    }
}

impl Optimizer for Adagrad {
    fn name(&self) -> &str {
        "adagrad"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        let states = [("sum", self.initial_accumulator_value as f32)];
        UpdateRule::new(&states, &["rate", "weight_decay"], |g, s, p, states| {
            let (g, p) = self.weight_decay.apply(g, p, &s[1]);
            let sum = &states[0] + g.square();
            (p - g * &s[0] / (sum.sqrt() + self.epsilon), vec![sum])
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        let before = step.step.saturating_sub(1) as f64;
        let rate = step.learning_rate / (1.0 + before * self.learning_rate_decay);
        scalars.extend([rate, self.weight_decay.scalar(step)]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn check(&self) -> Result<(), String> {
        not_negative("adagrad", "learning_rate", self.learning_rate)?;
        not_negative("adagrad", "learning_rate_decay", self.learning_rate_decay)?;
        not_negative("adagrad", "initial_accumulator_value", self.initial_accumulator_value)?;
        not_negative("adagrad", "epsilon", self.epsilon)?;
        self.weight_decay.check("adagrad")
    }
}

/// `s ← ρ s + (1 − ρ) g²`, `d = g √(u + ε) / √(s + ε)`, `u ← ρ u + (1 − ρ) d²`, `p ← p − η d`.
///
/// Defaults: η = 1, ρ = 0.9, ε = 1e-6, no weight decay. Weight decay is added to the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Adadelta {
    learning_rate: f64,
    rho: f64,
    epsilon: f64,
    weight_decay: WeightDecay,
}

impl Default for Adadelta {
    fn default() -> Self {
        Adadelta::new(1.0)
    }
}

impl Adadelta {
    /// Adadelta with this learning rate; PyTorch's default is 1.
    pub fn new(learning_rate: f64) -> Self {
        let weight_decay = WeightDecay::coupled(0.0);
        Adadelta { learning_rate, rho: 0.9, epsilon: 1e-6, weight_decay }
    }

    /// The same with another decay rate ρ of the averages.
    pub fn rho(self, rho: f64) -> Self {
        Adadelta { rho, ..self }
    }

    /// The same with another ε.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Adadelta { epsilon, ..self }
    }

    /// The same with `weight_decay · p` added to the gradient.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Adadelta { weight_decay: self.weight_decay.with_factor(weight_decay), ..self }
    }
}

impl Optimizer for Adadelta {
    fn name(&self) -> &str {
        "adadelta"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        let states = [("square_average", 0.0), ("step_average", 0.0)];
        UpdateRule::new(&states, &["rate", "weight_decay"], |g, s, p, states| {
            let (g, p) = self.weight_decay.apply(g, p, &s[1]);
            let squares = &states[0] * self.rho + g.square() * (1.0 - self.rho);
            let step = (&states[1] + self.epsilon).sqrt() / (&squares + self.epsilon).sqrt() * g;
            let steps = &states[1] * self.rho + step.square() * (1.0 - self.rho);
            (p - step * &s[0], vec![squares, steps])
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        scalars.extend([step.learning_rate, self.weight_decay.scalar(step)]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn check(&self) -> Result<(), String> {
        not_negative("adadelta", "learning_rate", self.learning_rate)?;
        share("adadelta", "rho", self.rho)?;
        not_negative("adadelta", "epsilon", self.epsilon)?;
        self.weight_decay.check("adadelta")
    }
}
