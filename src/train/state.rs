//! Where training stands: everything but tensors that a resumed run needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::history::EpochRecord;
use crate::optim::schedule::Plateau;
use crate::tensor::HostTensor;

/// Counters over all runs of a trainer, and the run at hand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Updates so far.
    pub(super) step: u64,
    /// Forward passes so far: what random numbers are keyed by.
    pub(super) pass: u64,
    /// Epochs begun in earlier runs: what the order of rows is keyed by.
    pub(super) epochs: u64,
    /// What the optimizer keeps per group.
    pub(super) memory: Vec<Vec<f64>>,
    /// The run that `fit` has begun and not finished.
    pub(super) run: Option<Run>,
}

/// A run that has begun.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Finished epochs.
    pub(super) epoch: usize,
    /// Finished steps of the epoch.
    pub(super) batch: usize,
    /// Finished steps of the run.
    pub(super) step: u64,
    /// Sum of losses times weights over the epoch so far.
    pub(super) loss_sum: f64,
    /// Sum of weights over the epoch so far.
    pub(super) weight_sum: f64,
    /// Records of the finished epochs.
    pub(super) history: Vec<EpochRecord>,
    /// The best monitored value, its epoch, and epochs since.
    pub(super) best: Option<Best>,
    /// The plateau's counters.
    pub(super) plateau: Option<Plateau>,
    /// Whether early stopping has ended the run.
    pub(super) stopped: bool,
    /// What the callbacks keep.
    pub(super) callbacks: Vec<serde_json::Value>,
    /// Content of the data, to see that a resumed run has the same.
    pub(super) data: u64,
    /// Options that a resumed run must share.
    pub(super) options: BTreeMap<String, String>,
    /// The best parameters; in a file they are tensors.
    #[serde(skip)]
    pub(super) best_parameters: BTreeMap<String, HostTensor>,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Best {
    pub(super) value: f64,
    pub(super) epoch: usize,
    pub(super) waited: usize,
}
