//! RMSprop (Tieleman and Hinton 2012) as `torch.optim.RMSprop` computes it.

use serde::Serialize;

use super::decay::{WeightDecay, not_negative, share};
use super::{Optimizer, OptimizerStep};
use crate::plan::UpdateRule;

/// `v ← α v + (1 − α) g²`, `p ← p − η g / (√v + ε)`.
///
/// Centered (Graves 2013), `a ← α a + (1 − α) g` and the root is `√(v − a²)`; with momentum,
/// `b ← μ b + g / (√v + ε)` and `p ← p − η b`.
///
/// Defaults: α = 0.99, ε = 1e-8, not centered, no momentum, no weight decay. Weight decay is added
/// to the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RmsProp {
    learning_rate: f64,
    alpha: f64,
    epsilon: f64,
    momentum: f64,
    centered: bool,
    weight_decay: WeightDecay,
}

impl RmsProp {
    /// RMSprop with this learning rate; PyTorch's default is 1e-2.
    pub fn new(learning_rate: f64) -> Self {
        RmsProp {
            learning_rate,
            alpha: 0.99,
            epsilon: 1e-8,
            momentum: 0.0,
            centered: false,
            weight_decay: WeightDecay::coupled(0.0),
        }
    }

    /// The same with another decay rate α of the averages.
    pub fn alpha(self, alpha: f64) -> Self {
        RmsProp { alpha, ..self }
    }

    /// The same with another ε.
    pub fn epsilon(self, epsilon: f64) -> Self {
        RmsProp { epsilon, ..self }
    }

    /// The same with momentum μ.
    pub fn momentum(self, momentum: f64) -> Self {
        RmsProp { momentum, ..self }
    }

    /// Whether the gradient is divided by its deviation instead of its root mean square.
    pub fn centered(self, centered: bool) -> Self {
        RmsProp { centered, ..self }
    }

    /// The same with `weight_decay · p` added to the gradient.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        RmsProp { weight_decay: self.weight_decay.with_factor(weight_decay), ..self }
    }
}

impl Optimizer for RmsProp {
    fn name(&self) -> &str {
        "rms_prop"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn rule(&self) -> UpdateRule {
        let mut states = vec![("variance", 0.0)];
        states.extend(self.centered.then_some(("gradient_average", 0.0)));
        states.extend((self.momentum != 0.0).then_some(("momentum", 0.0)));
        UpdateRule::new(&states, &["rate", "weight_decay"], |g, s, p, states| {
            let (g, p) = self.weight_decay.apply(g, p, &s[1]);
            let v = &states[0] * self.alpha + g.square() * (1.0 - self.alpha);
            let mut next = vec![v.clone()];
            let mut square = v;
            if self.centered {
                let average = &states[1] + (&g - &states[1]) * (1.0 - self.alpha);
                // Rounding may bring the difference below 0.
                square = (square - average.square()).max(0.0);
                next.push(average);
            }
            let mut step = g / (square.sqrt() + self.epsilon);
            if self.momentum != 0.0 {
                step = &states[next.len()] * self.momentum + step;
                next.push(step.clone());
            }
            (p - step * &s[0], next)
        })
    }

    fn scalars(&self, step: &OptimizerStep, _memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        scalars.extend([step.learning_rate, self.weight_decay.scalar(step)]);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn check(&self) -> Result<(), String> {
        not_negative("rms_prop", "learning_rate", self.learning_rate)?;
        share("rms_prop", "alpha", self.alpha)?;
        not_negative("rms_prop", "epsilon", self.epsilon)?;
        share("rms_prop", "momentum", self.momentum)?;
        self.weight_decay.check("rms_prop")
    }
}
