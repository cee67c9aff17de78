//! What one call of `fit` is asked for.

use std::collections::BTreeMap;

use super::callback::{Callback, EarlyStopping};
use super::checkpoint::Checkpoints;
use super::progress::Progress;
use crate::data::Dataset;
use crate::error::TrainError;
use crate::metric::Metric;
use crate::optim::schedule::{Plateau, Schedule};

/// Options of one run of training, built up by method calls.
///
/// ```
/// use ironwarp::prelude::*;
/// let fit = Fit::epochs(20).batch(64).early_stopping(EarlyStopping::patience(3));
/// ```
pub struct Fit<'a> {
    pub(super) epochs: usize,
    pub(super) batch: usize,
    pub(super) accumulate: usize,
    pub(super) shuffle: bool,
    pub(super) schedule: Schedule,
    pub(super) plateau: Option<(String, Plateau)>,
    pub(super) validation: Option<Dataset>,
    pub(super) metrics: Option<Vec<Metric>>,
    pub(super) early_stopping: Option<EarlyStopping>,
    pub(super) checkpoints: Option<Checkpoints>,
    pub(super) callbacks: Vec<&'a mut dyn Callback>,
    pub(super) progress: Progress,
    pub(super) interrupt: bool,
    pub(super) step_limit: Option<u64>,
}

impl<'a> Fit<'a> {
    /// So many passes over the data, in shuffled batches of 32.
    pub fn epochs(epochs: usize) -> Self {
        Fit {
            epochs,
            batch: 32,
            accumulate: 1,
            shuffle: true,
            schedule: Schedule::Constant,
            plateau: None,
            validation: None,
            metrics: None,
            early_stopping: None,
            checkpoints: None,
            callbacks: vec![],
            progress: Progress::Auto,
            interrupt: false,
            step_limit: None,
        }
    }

    /// Rows per batch; the last batch of an epoch may be smaller.
    pub fn batch(self, rows: usize) -> Self {
        Fit { batch: rows, ..self }
    }

    /// Batches whose gradients are added up for one update; the loss is that of all their rows.
    pub fn accumulate(self, batches: usize) -> Self {
        Fit { accumulate: batches, ..self }
    }

    /// Whether rows come in a new order every epoch; default yes.
    pub fn shuffle(self, shuffle: bool) -> Self {
        Fit { shuffle, ..self }
    }

    /// How the learning rate changes over the run's steps.
    pub fn schedule(self, schedule: Schedule) -> Self {
        Fit { schedule, ..self }
    }

    /// Lowers the learning rate when `monitor` (`loss`, `validation_loss` or a metric) stands still.
    pub fn reduce_on_plateau(self, monitor: &str, plateau: Plateau) -> Self {
        Fit { plateau: Some((monitor.into(), plateau)), ..self }
    }

    /// Evaluates on this data after every epoch.
    pub fn validate(self, data: &Dataset) -> Self {
        Fit { validation: Some(data.clone()), ..self }
    }

    /// Metrics of validation; default accuracy for classes, root mean squared error for numbers.
    pub fn metrics(self, metrics: &[Metric]) -> Self {
        Fit { metrics: Some(metrics.to_vec()), ..self }
    }

    /// Stops when a value does not improve any more.
    pub fn early_stopping(self, stopping: EarlyStopping) -> Self {
        Fit { early_stopping: Some(stopping), ..self }
    }

    /// Saves checkpoints.
    pub fn checkpoints(self, checkpoints: Checkpoints) -> Self {
        Fit { checkpoints: Some(checkpoints), ..self }
    }

    /// Calls this after steps and epochs.
    pub fn callback(mut self, callback: &'a mut dyn Callback) -> Self {
        self.callbacks.push(callback);
        self
    }

    /// What is shown while training; default lines or a bar on standard error.
    pub fn progress(self, progress: Progress) -> Self {
        Fit { progress, ..self }
    }

    /// Ctrl-C finishes the step, saves a checkpoint if those are on, and stops; a second one ends
    /// the process.
    pub fn stop_on_interrupt(self) -> Self {
        Fit { interrupt: true, ..self }
    }

    /// Stops after so many steps; calling `fit` again goes on from there.
    pub fn step_limit(self, steps: u64) -> Self {
        Fit { step_limit: Some(steps), ..self }
    }

    /// A dry run: two steps and, if there is one, the validation, without checkpoints.
    pub fn dry_run(self) -> Self {
        Fit { checkpoints: None, ..self.step_limit(2) }
    }

    /// Lists everything that is wrong.
    pub(super) fn check(&self, data: &Dataset) -> Result<(), TrainError> {
        let mut problems = Vec::new();
        let mut refuse = |wrong: bool, text: String| {
            if wrong {
                problems.push(text);
            }
        };
        refuse(self.epochs == 0, "epochs must be at least 1".into());
        refuse(self.batch == 0, "the batch must have at least 1 row".into());
        refuse(self.accumulate == 0, "accumulate must be at least 1".into());
        refuse(
            self.batch > data.len(),
            format!("the batch of {} rows is larger than the data's {}", self.batch, data.len()),
        );
        let validation = self.validation.as_ref();
        refuse(validation.is_some_and(Dataset::is_empty), "the validation data has no rows".into());
        refuse(self.step_limit == Some(0), "the step limit must be at least 1".into());
        if let Err(text) = self.schedule.check() {
            problems.push(text);
        }
        if let Some((monitor, plateau)) = &self.plateau {
            if let Err(text) = plateau.check() {
                problems.push(text);
            }
            problems.extend(self.check_monitor(monitor));
        }
        if let Some(stopping) = &self.early_stopping {
            problems.extend(self.check_monitor(&stopping.monitor));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(TrainError::Options(problems.join("; "))),
        }
    }

    fn check_monitor(&self, name: &str) -> Option<String> {
        (name != "loss" && self.validation.is_none())
            .then(|| format!("`{name}` is only known with `validate`"))
    }

    /// The options that a resumed run must share, by name.
    pub(super) fn fingerprint(&self) -> BTreeMap<String, String> {
        let pairs = [
            ("batch", self.batch.to_string()),
            ("accumulate", self.accumulate.to_string()),
            ("shuffle", self.shuffle.to_string()),
            ("epochs", self.epochs.to_string()),
            ("schedule", format!("{:?}", self.schedule)),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
    }
}
