//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019) as `torch.optim` computes them.

use serde::Serialize;

use super::decay::{WeightDecay, betas, not_negative};
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
    weight_decay: WeightDecay,
    amsgrad: bool,
}

impl Adam {
    /// Adam with this learning rate; PyTorch's default is 1e-3.
    pub fn new(learning_rate: f64) -> Self {
        Adam {
            learning_rate,
            betas: (0.9, 0.999),
            epsilon: 1e-8,
            weight_decay: WeightDecay::coupled(0.0),
            amsgrad: false,
        }
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
        Adam { weight_decay: self.weight_decay.with_factor(weight_decay), ..self }
    }

    /// AMSGrad (Reddi et al. 2018): the largest `v` so far, before its correction, takes `v`'s
    /// place in the denominator.
    pub fn amsgrad(self, amsgrad: bool) -> Self {
        Adam { amsgrad, ..self }
    }

    fn check_as(&self, name: &str) -> Result<(), String> {
        not_negative(name, "learning_rate", self.learning_rate)?;
        betas(name, self.betas)?;
        not_negative(name, "epsilon", self.epsilon)?;
        self.weight_decay.check(name)
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
        let states = [("momentum", 0.0), ("variance", 0.0), ("largest_variance", 0.0)];
        let states = &states[..if self.amsgrad { 3 } else { 2 }];
        let scalars = ["rate", "root_correction", "weight_decay"];
        UpdateRule::new(states, &scalars, |g, s, p, states| {
            let (g, p) = self.weight_decay.apply(g, p, &s[2]);
            let m = &states[0] + (&g - &states[0]) * (1.0 - beta1);
            let v = &states[1] * beta2 + g.square() * (1.0 - beta2);
            let largest = states.get(2).map(|old| old.max(&v));
            let root = largest.as_ref().unwrap_or(&v).sqrt();
            let p = p - &m * &s[0] / (root * &s[1] + self.epsilon);
            (p, [m, v].into_iter().chain(largest).collect())
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        let (beta1, beta2) = self.betas;
        let t = step.step as f64;
        let (first, second) = (1.0 - beta1.powf(t), 1.0 - beta2.powf(t));
        let decay = self.weight_decay.scalar(step);
        scalars.extend([step.learning_rate / first, 1.0 / second.sqrt(), decay]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn check(&self) -> Result<(), String> {
        self.check_as(self.name())
    }
}

/// [`Adam`] with decoupled weight decay: first `p ← p − η λ p`, then Adam's step on the plain
/// gradient.
///
/// Defaults: β = (0.9, 0.999), ε = 1e-8, λ = 0.01.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct AdamW(Adam);

impl AdamW {
    /// AdamW with this learning rate; PyTorch's default is 1e-3.
    pub fn new(learning_rate: f64) -> Self {
        AdamW(Adam { weight_decay: WeightDecay::decoupled(0.01), ..Adam::new(learning_rate) })
    }

    /// The same with other decay rates of the moments.
    pub fn betas(self, first: f64, second: f64) -> Self {
        AdamW(self.0.betas(first, second))
    }

    /// The same with another ε.
    pub fn epsilon(self, epsilon: f64) -> Self {
        AdamW(self.0.epsilon(epsilon))
    }

    /// The same with another λ.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        AdamW(self.0.weight_decay(weight_decay))
    }

    /// With or without AMSGrad, as [`Adam::amsgrad`].
    pub fn amsgrad(self, amsgrad: bool) -> Self {
        AdamW(self.0.amsgrad(amsgrad))
    }
}

impl Optimizer for AdamW {
    fn name(&self) -> &str {
        "adamw"
    }

    fn learning_rate(&self) -> f64 {
        self.0.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        self.0.rule()
    }

    fn scalars(&self, step: &OptimizerStep, memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        self.0.scalars(step, memory, scalars);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        self.0.hyper_parameters()
    }

    fn check(&self) -> Result<(), String> {
        self.0.check_as(self.name())
    }
}
