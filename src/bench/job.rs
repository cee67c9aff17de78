//! A workload as a user runs it: by `fit`, by `predict_into`, or the update alone.

use super::measure::seconds;
use super::probe::Probe;
use super::workload::{Kind, Training, Workload};
use crate::data::{ColumnId, Dataset};
use crate::error::Result;
use crate::exec::Device;
use crate::train::{Trained, Trainer};

/// A workload on a device, after its first step.
pub enum Job {
    /// A sample is an epoch.
    Training(Box<Fitting>),
    /// A sample is about a millisecond of predictions.
    Inference(Box<Predicting>),
    /// A sample is one update.
    Update(Box<Probe>),
}

/// A trainer and what it trains on.
pub struct Fitting {
    trainer: Trainer,
    training: Training,
    data: Dataset,
}

/// A model and the rows that it predicts.
pub struct Predicting {
    trained: Trained,
    input: Vec<f32>,
    output: Vec<f32>,
    rows: usize,
    /// Predictions of a sample.
    repeat: usize,
}

impl Predicting {
    fn sample(&mut self) -> Result<f64> {
        let Predicting { trained, input, output, rows, repeat } = self;
        seconds(|| (0..*repeat).try_for_each(|_| trained.predict_into(input, *rows, output)))
    }
}

impl Job {
    /// Makes the model and takes the first step.
    ///
    /// # Errors
    /// The device's.
    pub fn first_step(workload: &Workload, device: &Device, data: &Dataset) -> Result<Job> {
        match &workload.kind {
            Kind::Training(training) => {
                let mut trainer = training.trainer(device)?;
                trainer.fit(&data.rows(..training.batch), training.fit(1))?;
                let (training, data) = (training.clone(), data.clone());
                Ok(Job::Training(Box::new(Fitting { trainer, training, data })))
            }
            Kind::Inference(network, rows) => {
                let trained = network.trainer(device)?.trained()?;
                let mut input = vec![0.0; rows * network.widths[0]];
                let all: Vec<usize> = (0..*rows).collect();
                data.gather_f32(ColumnId::Input(0), &all, &mut input)?;
                let output = vec![0.0; rows * network.widths[network.widths.len() - 1]];
                let mut job = Predicting { trained, input, output, rows: *rows, repeat: 1 };
                job.repeat = (1e-3 / job.sample()?).clamp(1.0, 1000.0) as usize;
                Ok(Job::Inference(Box::new(job)))
            }
            Kind::Update(..) | Kind::Missing(_) => {
                let mut probe = workload.probe(device, data)?;
                let update = probe.plan.update.clone();
                probe.run(update)?;
                Ok(Job::Update(Box::new(probe)))
            }
        }
    }

    /// Steps of one sample.
    pub fn steps_per_sample(&self) -> usize {
        match self {
            Job::Training(job) => job.data.len().div_ceil(job.training.batch),
            Job::Inference(job) => job.repeat,
            Job::Update(_) => 1,
        }
    }

    /// Other data for what trains.
    pub(super) fn change_data(&mut self, data: Dataset) {
        if let Job::Training(job) = self {
            job.data = data;
        }
    }

    /// One sample that does not count; its seconds.
    ///
    /// # Errors
    /// The device's.
    pub fn warm_up(&mut self) -> Result<f64> {
        Ok(self.samples(1)?[0] * self.steps_per_sample() as f64)
    }

    /// Seconds per step of some samples.
    ///
    /// # Errors
    /// The device's.
    pub fn samples(&mut self, count: usize) -> Result<Vec<f64>> {
        let steps = self.steps_per_sample() as f64;
        if let Job::Training(job) = self {
            let history = job.trainer.fit(&job.data, job.training.fit(count))?;
            return Ok(history.epochs.iter().map(|epoch| epoch.seconds / steps).collect());
        }
        (0..count).map(|_| Ok(self.sample()? / steps)).collect()
    }

    /// Seconds of one sample.
    fn sample(&mut self) -> Result<f64> {
        match self {
            Job::Training(job) => seconds(|| {
                job.trainer.fit(&job.data, job.training.fit(1))?;
                Ok(())
            }),
            Job::Inference(job) => job.sample(),
            Job::Update(probe) => seconds(|| {
                let update = probe.plan.update.clone();
                probe.run(update)?;
                Ok(probe.wait()?)
            }),
        }
    }
}
