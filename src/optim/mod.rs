//! Optimizers: each is a scalar expression that updates one element, run over all parameters at
//! once, and a few scalars that the host computes in `f64` for each step.

mod adagrad;
mod adam;
mod decay;
mod lion;
mod nadam;
mod radam;
mod rms_prop;
pub mod schedule;
mod sgd;

pub use adagrad::{Adadelta, Adagrad};
pub use adam::{Adam, AdamW};
pub use lion::Lion;
pub use nadam::NAdam;
pub use radam::RAdam;
pub use rms_prop::RmsProp;
pub use sgd::{GradientDescent, Sgd};

use crate::plan::UpdateRule;

/// Where in training an update stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OptimizerStep {
    /// Updates including this one: 1 in the first.
    pub step: u64,
    /// The rate in force: the schedule's, times the group's factor.
    pub learning_rate: f64,
    /// The group's share of the optimizer's weight decay.
    pub decay_factor: f64,
}

/// How parameters follow their gradients.
///
/// [`Optimizer::rule`] names scalars; [`Optimizer::scalars`] computes them, in the same order.
pub trait Optimizer: Send + Sync {
    /// Name in files and reports, such as `adam`.
    fn name(&self) -> &str;

    /// The learning rate that schedules scale.
    fn learning_rate(&self) -> f64;

    /// States, scalars and expression of the update.
    fn rule(&self) -> UpdateRule;

    /// Appends the rule's scalars for one step of one group. `memory` is empty before the group's
    /// first step and is kept, also in checkpoints, for what must be carried from step to step.
    fn scalars(&self, step: &OptimizerStep, memory: &mut Vec<f64>, scalars: &mut Vec<f64>);

    /// Hyper-parameters, as checkpoints keep them to see that a run goes on with the same.
    fn hyper_parameters(&self) -> serde_json::Value;

    /// What is wrong with the hyper-parameters, if anything.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

impl<T: Optimizer + ?Sized> Optimizer for Box<T> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn learning_rate(&self) -> f64 {
        (**self).learning_rate()
    }

    fn rule(&self) -> UpdateRule {
        (**self).rule()
    }

    fn scalars(&self, step: &OptimizerStep, memory: &mut Vec<f64>, scalars: &mut Vec<f64>) {
        (**self).scalars(step, memory, scalars);
    }

    fn hyper_parameters(&self) -> serde_json::Value {
        (**self).hyper_parameters()
    }

    fn check(&self) -> Result<(), String> {
        (**self).check()
    }
}
