//! How `ironwarp train` learns: optimizer, rate, loss and length, in flags and lines of a TOML file.

use clap::{Args, Command, FromArgMatches};
use ironwarp::data::Task;
use ironwarp::loss::{CrossEntropy, Huber, LogCosh, MeanAbsoluteError, MeanSquaredError};
use ironwarp::model::Model;
use ironwarp::optim::schedule::{Plateau, Schedule as Formula};
use ironwarp::optim::{Adadelta, Adagrad, Adam, AdamW, Lion, NAdam, RAdam, RmsProp, Sgd};
use ironwarp::train::{EarlyStopping, Fit, Trainer, TrainerBuilder};
use serde::{Deserialize, Serialize};

use super::AskedWrongly;
use super::choices::{Loss, Optimizer, Schedule};

/// What is `None` follows from the data and the rest, and is written down by [`Learning::settle`].
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(next_help_heading = "Learning")]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Learning {
    /// How weights follow from gradients
    #[arg(long, default_value = "adam-w")]
    pub(crate) optimizer: Optimizer,
    /// Of sgd and rms-prop [default: of sgd 0.9, of rms-prop 0]
    #[arg(long, value_name = "FACTOR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum: Option<f64>,
    /// The rate that --schedule begins with or rises to [default: 0.002; of sgd and adagrad 0.01, of
    /// lion 0.0002, of adadelta 1]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) learning_rate: Option<f64>,
    /// How the rate changes
    #[arg(long, default_value = "plateau")]
    schedule: Schedule,
    /// Steps in which the rate rises from about 0 to where the schedule begins
    #[arg(long, value_name = "STEPS", default_value = "0")]
    warmup: u64,
    /// How fast weights shrink by themselves [default: of adam-w 0.01, else 0]
    #[arg(long, value_name = "DECAY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight_decay: Option<f64>,
    /// Gradients whose norm is above this are scaled down to it
    #[arg(long, value_name = "LIMIT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    clip_norm: Option<f64>,
    /// What training lowers [default: cross-entropy of classes, mean-squared-error of numbers]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<Loss>,
    /// Share of a class's probability that cross-entropy spreads over all classes
    #[arg(long, value_name = "SHARE", default_value = "0")]
    label_smoothing: f64,
    /// Rows per step [default: 32 to 512, by the number of rows, and no more than there are]
    #[arg(long, value_name = "ROWS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) batch: Option<usize>,
    /// Batches whose gradients make one step
    #[arg(long, value_name = "BATCHES", default_value = "1")]
    accumulate: usize,
    /// Passes over the rows at most
    #[arg(long, value_name = "COUNT", default_value = "200")]
    pub(crate) epochs: usize,
    /// Epochs without a better validation loss before training stops
    #[arg(long, value_name = "EPOCHS", default_value = "15")]
    pub(crate) patience: usize,
}

impl Default for Learning {
    /// What the flags say when none is given.
    fn default() -> Self {
        let flags = Learning::augment_args(Command::new("learning")).get_matches_from(["learning"]);
        Learning::from_arg_matches(&flags).expect("invariant: no flag is required")
    }
}

impl Learning {
    /// Writes down what follows from the task and the number of training rows.
    pub(crate) fn settle(&mut self, task: Task, rows: usize) {
        // About two hundred steps an epoch, where the rows are many or few enough for that.
        self.batch.get_or_insert((rows / 200).next_power_of_two().clamp(32, 512).min(rows));
        let classes = matches!(task, Task::Classification { .. });
        self.loss.get_or_insert(if classes { Loss::CrossEntropy } else { Loss::MeanSquaredError });
        self.learning_rate.get_or_insert(match self.optimizer {
            Optimizer::Sgd | Optimizer::Adagrad => 0.01,
            Optimizer::Lion => 0.0002,
            Optimizer::Adadelta => 1.0,
            _ => 0.002,
        });
        self.weight_decay.get_or_insert(if self.optimizer == Optimizer::AdamW {
            0.01
        } else {
            0.0
        });
        match self.optimizer {
            Optimizer::Sgd => _ = self.momentum.get_or_insert(0.9),
            Optimizer::RmsProp => _ = self.momentum.get_or_insert(0.0),
            _ => {}
        }
    }

    /// Refuses what does not fit the task.
    pub(crate) fn check(&self, task: Task) -> anyhow::Result<()> {
        let classes = matches!(task, Task::Classification { .. });
        let of_classes = self.loss == Some(Loss::CrossEntropy);
        let momentum = matches!(self.optimizer, Optimizer::Sgd | Optimizer::RmsProp);
        for (wrong, text) in [
            (
                self.loss.is_some() && classes != of_classes,
                match classes {
                    true => "the target is classes, whose loss is cross-entropy; leave --loss away",
                    false => {
                        "the target is numbers, which cross-entropy is not for; give another --loss"
                    }
                },
            ),
            (
                !(0.0..1.0).contains(&self.label_smoothing),
                "--label-smoothing must be 0 or more and below 1",
            ),
            (
                self.label_smoothing != 0.0 && !classes,
                "the target is numbers; --label-smoothing is for classes",
            ),
            (
                self.momentum.is_some() && !momentum,
                "--momentum is for the optimizers sgd and rms-prop",
            ),
        ] {
            anyhow::ensure!(!wrong, AskedWrongly(text.into()));
        }
        Ok(())
    }

    /// A trainer of these settings, once they are settled.
    pub(crate) fn trainer<'a>(&self, model: &'a Model) -> TrainerBuilder<'a> {
        let rate = self.learning_rate.unwrap_or_default();
        let decay = self.weight_decay.unwrap_or_default();
        let momentum = self.momentum.unwrap_or_default();
        let trainer = match self.optimizer {
            Optimizer::Adam => Trainer::new(model, Adam::new(rate).weight_decay(decay)),
            Optimizer::AdamW => Trainer::new(model, AdamW::new(rate).weight_decay(decay)),
            Optimizer::AmsGrad => {
                Trainer::new(model, Adam::new(rate).weight_decay(decay).amsgrad(true))
            }
            Optimizer::NAdam => Trainer::new(model, NAdam::new(rate).weight_decay(decay)),
            Optimizer::RAdam => Trainer::new(model, RAdam::new(rate).weight_decay(decay)),
            Optimizer::Sgd => {
                Trainer::new(model, Sgd::new(rate).momentum(momentum).weight_decay(decay))
            }
            Optimizer::RmsProp => {
                Trainer::new(model, RmsProp::new(rate).momentum(momentum).weight_decay(decay))
            }
            Optimizer::Adagrad => Trainer::new(model, Adagrad::new(rate).weight_decay(decay)),
            Optimizer::Adadelta => Trainer::new(model, Adadelta::new(rate).weight_decay(decay)),
            Optimizer::Lion => Trainer::new(model, Lion::new(rate).weight_decay(decay)),
        };
        let trainer = self.clip_norm.into_iter().fold(trainer, TrainerBuilder::clip_norm);
        match self.loss {
            None => trainer,
            Some(Loss::CrossEntropy) => {
                trainer.loss(CrossEntropy { label_smoothing: self.label_smoothing })
            }
            Some(Loss::MeanSquaredError) => trainer.loss(MeanSquaredError),
            Some(Loss::MeanAbsoluteError) => trainer.loss(MeanAbsoluteError),
            Some(Loss::Huber) => trainer.loss(Huber::default()),
            Some(Loss::LogCosh) => trainer.loss(LogCosh),
        }
    }

    /// A run of these settings, which ends when the validation loss gets no better.
    pub(crate) fn fit<'a>(&self) -> Fit<'a> {
        let formula = match self.schedule {
            Schedule::Plateau | Schedule::Constant => Formula::Constant,
            Schedule::Linear => Formula::Polynomial { end: 0.0, power: 1.0 },
            Schedule::Cosine => Formula::Cosine { minimum: 0.0 },
            Schedule::OneCycle => Formula::one_cycle(),
        };
        let formula = if self.warmup > 0 { formula.with_warmup(self.warmup) } else { formula };
        let fit = Fit::epochs(self.epochs).schedule(formula).accumulate(self.accumulate);
        let fit = self.batch.into_iter().fold(fit, Fit::batch);
        let fit = fit.early_stopping(EarlyStopping::patience(self.patience));
        if self.schedule != Schedule::Plateau {
            return fit;
        }
        let patience = self.patience as u64 / 3;
        let plateau = Plateau { factor: 0.5, patience, ..Plateau::default() };
        fit.reduce_on_plateau("validation_loss", plateau)
    }
}
