//! What happened in training, epoch by epoch.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::number;

/// One epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Number in its run, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch's rows, each as its step saw it.
    pub loss: f64,
    /// Rate of the epoch's last step.
    pub learning_rate: f64,
    /// Validation loss, if there was validation.
    #[serde(with = "number::optional")]
    pub validation_loss: Option<f64>,
    /// Validation metrics by name; those of the training data begin with `training_`.
    #[serde(with = "number::named")]
    pub metrics: Vec<(String, f64)>,
    /// Wall-clock seconds, validation included. Not part of what a resumed run repeats.
    pub seconds: f64,
    /// Training rows per second, validation excluded.
    pub rows_per_second: f64,
    /// Of these seconds, those in which training waited for rows: for windows of a file, for parts
    /// that a thread fills, or, where no thread does, while a batch was gathered.
    #[serde(default)]
    pub waited_seconds: f64,
}

impl EpochRecord {
    /// A value by name: `loss`, `validation_loss`, or a metric's name.
    pub fn value(&self, name: &str) -> Option<f64> {
        match name {
            "loss" => Some(self.loss),
            "validation_loss" => self.validation_loss,
            _ => self.metrics.iter().find(|(n, _)| n == name).map(|(_, value)| *value),
        }
    }
}

/// Why training ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Stop {
    /// All epochs were done.
    Finished,
    /// The monitored value did not improve for so many epochs.
    EarlyStopping,
    /// A callback asked for it.
    Callback,
    /// Ctrl-C or SIGTERM.
    Interrupt,
    /// The limit of steps was reached.
    StepLimit,
}

/// The records of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// One record per finished epoch.
    pub epochs: Vec<EpochRecord>,
    /// Why training ended.
    pub stop: Stop,
}

impl History {
    /// The last finished epoch.
    pub fn last(&self) -> Option<&EpochRecord> {
        self.epochs.last()
    }

    /// The share of all seconds in which training waited for rows, from 0 to 1.
    pub fn waited(&self) -> f64 {
        let sum = |of: fn(&EpochRecord) -> f64| self.epochs.iter().map(of).sum::<f64>();
        sum(|e| e.waited_seconds) / sum(|e| e.seconds).max(f64::MIN_POSITIVE)
    }

    /// The records as CSV with a header.
    pub fn to_csv(&self) -> String {
        let mut text = String::from("epoch,loss,learning_rate,validation_loss");
        let names: Vec<_> = self
            .epochs
            .first()
            .map_or(vec![], |e| e.metrics.iter().map(|(name, _)| name.clone()).collect());
        names.iter().for_each(|name| text.push_str(&format!(",{name}")));
        text.push_str(",seconds,rows_per_second\n");
        for e in &self.epochs {
            let validation = e.validation_loss.map_or(String::new(), |v| v.to_string());
            text.push_str(&format!("{},{},{},{validation}", e.epoch, e.loss, e.learning_rate));
            e.metrics.iter().for_each(|(_, value)| text.push_str(&format!(",{value}")));
            text.push_str(&format!(",{},{}\n", e.seconds, e.rows_per_second));
        }
        text
    }
}

impl fmt::Display for History {
    /// Smallest and largest value of everything recorded, with their epochs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.epochs.first() else { return write!(f, "no epoch was finished") };
        let mut names = vec!["loss".to_string()];
        names.extend(first.validation_loss.map(|_| "validation_loss".to_string()));
        names.extend(first.metrics.iter().map(|(name, _)| name.clone()));
        writeln!(
            f,
            "{:<24} {:>10} {:>6} {:>10} {:>6} {:>10}",
            "", "smallest", "epoch", "largest", "epoch", "last"
        )?;
        for name in &names {
            let values: Vec<_> =
                self.epochs.iter().filter_map(|e| Some((e.value(name)?, e.epoch))).collect();
            let pick = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0);
            let (Some(low), Some(high), Some(last)) = (
                values.iter().min_by(|a, b| pick(a, b)),
                values.iter().max_by(|a, b| pick(a, b)),
                values.last(),
            ) else {
                continue;
            };
            writeln!(
                f,
                "{name:<24} {:>10.4} {:>6} {:>10.4} {:>6} {:>10.4}",
                low.0, low.1, high.0, high.1, last.0
            )?;
        }
        let seconds: f64 = self.epochs.iter().map(|e| e.seconds).sum();
        let share = 100.0 * self.waited();
        write!(
            f,
            "{} epochs in {seconds:.1} s, waited for data {share:.1} % of the time",
            self.epochs.len()
        )
    }
}
