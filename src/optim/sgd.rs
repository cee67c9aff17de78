//! Gradient descent, with or without momentum, as `torch.optim.SGD` computes it.

use serde::Serialize;

use super::decay::{WeightDecay, not_negative, share};
use super::{Optimizer, OptimizerStep};
use crate::plan::UpdateRule;

/// `p ← p − η g`; with momentum `b ← μ b + (1 − d) g`, `p ← p − η b`, or `p ← p − η (g + μ b)`
/// after Nesterov (Sutskever et al. 2013). In the first step `b` is the gradient, undampened.
///
/// Defaults: no momentum, no dampening, no weight decay. Weight decay is added to the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sgd {
    learning_rate: f64,
    momentum: f64,
    dampening: f64,
    nesterov: bool,
    weight_decay: WeightDecay,
}

impl Sgd {
    /// Plain gradient descent with this learning rate; PyTorch's default is 1e-3.
    pub fn new(learning_rate: f64) -> Self {
        Sgd {
            learning_rate,
            momentum: 0.0,
            dampening: 0.0,
            nesterov: false,
            weight_decay: WeightDecay::coupled(0.0),
        }
    }

    /// The same with momentum μ.
    pub fn momentum(self, momentum: f64) -> Self {
        Sgd { momentum, ..self }
    }

    /// The same with dampening d of the momentum.
    pub fn dampening(self, dampening: f64) -> Self {
        Sgd { dampening, ..self }
    }

    /// With or without Nesterov's look ahead; it needs momentum and no dampening.
    pub fn nesterov(self, nesterov: bool) -> Self {
        Sgd { nesterov, ..self }
    }

    /// The same with `weight_decay · p` added to the gradient.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Sgd { weight_decay: self.weight_decay.with_factor(weight_decay), ..self }
    }
}

impl Optimizer for Sgd {
    fn name(&self) -> &str {
        "sgd"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        let momentum = self.momentum;
        let states: &[(&str, f32)] = if momentum == 0.0 { &[] } else { &[("momentum", 0.0)] };
        // The share of the gradient that enters the momentum.
        let scalars = ["rate", "weight_decay", "intake"];
        UpdateRule::new(states, &scalars, |g, s, p, states| {
            let (g, p) = self.weight_decay.apply(g, p, &s[1]);
            let Some(old) = states.first() else {
                return (p - &g * &s[0], vec![]);
            };
            let intake = if self.dampening == 0.0 { g.clone() } else { &g * &s[2] };
            let buffer = old * momentum + intake;
            let step = if self.nesterov { g + &buffer * momentum } else { buffer.clone() };
            (p - step * &s[0], vec![buffer])
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        let intake = if step.step == 1 { 1.0 } else { 1.0 - self.dampening };
        scalars.extend([step.learning_rate, self.weight_decay.scalar(step), intake]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn check(&self) -> Result<(), String> {
        not_negative("sgd", "learning_rate", self.learning_rate)?;
        share("sgd", "momentum", self.momentum)?;
        share("sgd", "dampening", self.dampening)?;
        self.weight_decay.check("sgd")?;
        if self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            return Err("sgd: `nesterov` needs a momentum above 0 and no dampening".into());
        }
        Ok(())
    }
}

/// `p ← p − η g`: plain [`Sgd`] under the name for steps on the whole training set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct GradientDescent(Sgd);

impl GradientDescent {
    /// Gradient descent with this learning rate.
    pub fn new(learning_rate: f64) -> Self {
        GradientDescent(Sgd::new(learning_rate))
    }
}

impl Optimizer for GradientDescent {
    fn name(&self) -> &str {
        "gradient_descent"
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
        not_negative(self.name(), "learning_rate", self.0.learning_rate)
    }
}
