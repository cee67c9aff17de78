//! What a user can hang into training.

use serde::{Deserialize, Serialize};

use super::history::EpochRecord;

/// Whether training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    Continue,
    /// No: the batch at hand is finished, then training stops.
    Stop,
}

/// One finished step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Epoch in the run, from 1.
    pub epoch: usize,
    /// Step in the run, from 1.
    pub step: u64,
    /// Loss over the step's rows, before its update.
    pub loss: f64,
    /// Rate of the update.
    pub learning_rate: f64,
}

/// Called by [`fit`](super::Trainer::fit). An error ends training and is returned as it is.
pub trait Callback {
    /// After every step.
    fn on_step(&mut self, report: &StepReport) -> anyhow::Result<Flow> {
        let _ = report;
        Ok(Flow::Continue)
    }

    /// After every epoch, validation included.
    fn on_epoch(&mut self, record: &EpochRecord) -> anyhow::Result<Flow> {
        let _ = record;
        Ok(Flow::Continue)
    }

    /// What must survive a checkpoint.
    fn state(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Takes back what [`Callback::state`] gave.
    fn restore(&mut self, state: &serde_json::Value) -> anyhow::Result<()> {
        let _ = state;
        Ok(())
    }
}

/// Stops when a value has not improved for some epochs, and brings back the best weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EarlyStopping {
    /// `loss`, `validation_loss` or a metric's name; default `validation_loss`.
    pub monitor: String,
    /// Epochs without improvement before stopping; default 5.
    pub patience: usize,
    /// The least change that counts as improvement; default 0.
    pub minimum_change: f64,
    /// Whether more is better; default no.
    pub larger_is_better: bool,
    /// Whether the best weights are brought back at the end; default yes.
    pub restore_best: bool,
}

impl Default for EarlyStopping {
    fn default() -> Self {
        EarlyStopping {
            monitor: "validation_loss".into(),
            patience: 5,
            minimum_change: 0.0,
            larger_is_better: false,
            restore_best: true,
        }
    }
}

impl EarlyStopping {
    /// Watches the validation loss and waits so many epochs.
    pub fn patience(epochs: usize) -> Self {
        EarlyStopping { patience: epochs, ..EarlyStopping::default() }
    }

    /// Watches another value, for which more or less is better.
    pub fn monitor(self, name: &str, larger_is_better: bool) -> Self {
        EarlyStopping { monitor: name.into(), larger_is_better, ..self }
    }

    /// Whether `value` improves on `best`.
    pub(super) fn improves(&self, value: f64, best: Option<f64>) -> bool {
        match best {
            _ if !value.is_finite() => false,
            None => true,
            Some(best) if self.larger_is_better => value > best + self.minimum_change,
            Some(best) => value < best - self.minimum_change,
        }
    }
}
