//! What one call of `fit` is asked for.

use std::collections::BTreeMap;
use std::thread;

use super::augment::Augment;
use super::callback::{Callback, EarlyStopping};
use super::checkpoint::Checkpoints;
use super::draws::Sampling;
use super::evaluation::default_metrics;
use super::progress::Progress;
use crate::data::Dataset;
use crate::error::{DataError, TrainError};
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
    pub(super) sampling: Option<Sampling>,
    pub(super) augment: Option<Augment>,
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
    pub(super) training_metrics: bool,
    pub(super) dry_run: bool,
    pub(super) tune: bool,
    pub(super) loading_threads: usize,
}

impl<'a> Fit<'a> {
    /// So many passes over the data, in shuffled batches of 32.
    pub fn epochs(epochs: usize) -> Self {
        Fit {
            epochs,
            batch: 32,
            accumulate: 1,
            shuffle: true,
            sampling: None,
            augment: None,
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
            training_metrics: false,
            dry_run: false,
            tune: false,
            loading_threads: thread::available_parallelism().map_or(1, |n| n.get().min(4)),
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

    /// Draws the rows of an epoch, as many as there are, with replacement: each with a probability
    /// proportional to its weight, one for each row of the training data, in its order. As PyTorch's
    /// `WeightedRandomSampler`; a loss does not count them by it. Which row comes at a place follows
    /// from seed, epoch and place, the same on every device. A GPU then gets its rows from the host.
    /// A row that comes several times in an epoch is augmented anew each time.
    pub fn sample_weighted(self, weights: &[f32]) -> Self {
        Fit { sampling: Some(Sampling::Weighted(weights.to_vec())), ..self }
    }

    /// As [`Fit::sample_weighted`], so that the classes of the first target come alike: a row's weight
    /// is one over the rows of its class. Against rare classes do this or give them
    /// [weights in the loss](Dataset::with_class_weights), not both.
    pub fn sample_balanced(self) -> Self {
        Fit { sampling: Some(Sampling::Balanced), ..self }
    }

    /// Changes the rows of training at random, anew in every epoch; default not at all.
    pub fn augment(self, augment: Augment) -> Self {
        Fit { augment: Some(augment), ..self }
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

    /// Measures the same metrics on the training data too, after every epoch, under names such as
    /// `training_accuracy`: of the weights that the epoch ended with, without dropout. It costs a
    /// forward pass over the data.
    pub fn training_metrics(self) -> Self {
        Fit { training_metrics: true, ..self }
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

    /// A dry run: an epoch of two steps with validation and callbacks, without checkpoints. The
    /// trainer is as before afterwards.
    pub fn dry_run(self) -> Self {
        Fit { dry_run: true, ..self }
    }

    /// Whether a GPU measures, before the first step, which of several forms of a step is fastest,
    /// such as the tile of a matrix product; default no, which takes what an estimate says. No form
    /// changes a result. What was measured is remembered beside the compiled kernels for this card,
    /// compiler and shape, and every later run uses it at once, with `tune` or without, unless the
    /// environment variable `IRONWARP_CACHE` is `off`. It takes some seconds, most of them to compile
    /// the forms; [`Trainer::describe_plan`](super::Trainer::describe_plan) shows what was chosen. The
    /// CPU has nothing to choose.
    pub fn tune(self, tune: bool) -> Self {
        Fit { tune, ..self }
    }

    /// Threads that read data which stays in files, ahead of training; default one for each core, at
    /// most 4. Their number changes no result.
    pub fn loading_threads(self, threads: usize) -> Self {
        Fit { loading_threads: threads.max(1), ..self }
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
        refuse(
            self.sampling.is_some() && !self.shuffle,
            "rows that are drawn keep no order; leave out `shuffle(false)` or the sampling".into(),
        );
        let validation = self.validation.as_ref();
        refuse(validation.is_some_and(Dataset::is_empty), "the validation data has no rows".into());
        refuse(self.step_limit == Some(0), "the step limit must be at least 1".into());
        problems.extend(self.augment.iter().flat_map(Augment::problems));
        if let Err(text) = self.schedule.check() {
            problems.push(text);
        }
        if let Some((monitor, plateau)) = &self.plateau {
            if let Err(text) = plateau.check() {
                problems.push(text);
            }
            problems.extend(self.check_monitor(data, monitor));
        }
        if let Some(stopping) = &self.early_stopping {
            problems.extend(self.check_monitor(data, &stopping.monitor));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(TrainError::Options(problems.join("; "))),
        }
    }

    fn check_monitor(&self, data: &Dataset, name: &str) -> Option<String> {
        let metrics = self.metrics.clone().unwrap_or_else(|| default_metrics(data).to_vec());
        let mut known = vec!["loss".to_string()];
        if self.validation.is_some() {
            known.push("validation_loss".into());
            known.extend(metrics.iter().map(Metric::to_string));
        }
        if self.training_metrics {
            known.extend(metrics.iter().map(|metric| format!("training_{metric}")));
        }
        if known.iter().any(|known| known == name) {
            return None;
        }
        let hint = if self.validation.is_none() { ", without `validate`" } else { "" };
        Some(format!("`{name}` is not recorded{hint}; there is `{}`", known.join("`, `")))
    }

    /// The options that a resumed run must share, by name.
    pub(super) fn fingerprint(&self) -> Result<BTreeMap<String, String>, DataError> {
        let validation = self.validation.as_ref().map(Dataset::fingerprint).transpose()?;
        let pairs = [
            ("batch", self.batch.to_string()),
            ("accumulate", self.accumulate.to_string()),
            ("shuffle", self.shuffle.to_string()),
            ("sampling", format!("{:?}", self.sampling.as_ref().map(Sampling::fingerprint))),
            ("augment", format!("{:?}", self.augment)),
            ("epochs", self.epochs.to_string()),
            ("schedule", format!("{:?}", self.schedule)),
            ("early_stopping", format!("{:?}", self.early_stopping)),
            ("metrics", format!("{:?}", self.metrics)),
            ("reduce_on_plateau", format!("{:?}", self.plateau)),
            ("training_metrics", self.training_metrics.to_string()),
            ("validation", format!("{validation:x?}")),
        ];
        Ok(pairs.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }
}
