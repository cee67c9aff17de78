//! The measured choices of one training plan: what `ironwarp tune` shows.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::options::Fit;
use super::trained;
use super::trainer::{Trainer, TrainerBuilder};
use crate::data::{Column, Dataset, TargetTransform};
use crate::error::{Result, TrainError};
use crate::exec::{Device, Timing};
use crate::model::{Model, Network};
use crate::op::Registry;
use crate::optim::Adam;
use crate::random;
use crate::tensor::{DType, TensorType};

/// What was measured of a training plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tuning {
    /// The device.
    pub device: String,
    /// Rows of a batch.
    pub batch: usize,
    /// The steps that have several forms, in the plan's order.
    pub steps: Vec<TunedStep>,
}

/// A step that has several forms.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TunedStep {
    /// Path of the layer.
    pub layer: String,
    /// The op with its parameters.
    pub op: String,
    /// Shapes of inputs and outputs, `B` being the rows of the batch.
    pub shapes: String,
    /// The times of all forms.
    #[serde(flatten)]
    pub timing: Timing,
}

impl TunedStep {
    /// Microseconds of the form that an estimate chooses, and of the fastest.
    fn times(&self) -> (f64, f64) {
        let of = |form: &str| self.timing.of(form).unwrap_or(f64::NAN);
        (of(&self.timing.estimated), of(&self.timing.fastest))
    }
}

impl Tuning {
    /// Measures the plan that trains a model on batches of so many rows, and remembers what was
    /// fastest. The loss is cross-entropy over the last layer's outputs; mean squared error if told
    /// so or where there is one output.
    ///
    /// # Errors
    /// If the model is wrong, or the device has too little memory.
    pub fn of(model: &Model, regression: bool, batch: usize, device: &Device) -> Result<Tuning> {
        measure(model.network()?, regression, batch, device)
    }

    /// The same for the model in a file that [`Trainer::save`] wrote, or a checkpoint. Where the
    /// file tells what the target was, the loss follows from that.
    ///
    /// # Errors
    /// As [`Tuning::of`], and if the file can't be read.
    pub fn of_file(
        path: impl AsRef<Path>,
        regression: bool,
        batch: usize,
        device: &Device,
    ) -> Result<Tuning> {
        let content = trained::read(path.as_ref(), &Registry::standard())?;
        let target = content.preprocessing.as_ref().map(|p| p.target());
        let numbers = matches!(target, Some(TargetTransform::Numbers(_)));
        measure(content.network, regression || numbers, batch, device)
    }
}

fn measure(network: Network, regression: bool, batch: usize, device: &Device) -> Result<Tuning> {
    let data = rows_for(&network, regression, batch)?;
    let trainer = TrainerBuilder::of_network(network, Adam::new(1e-3)).device(device.clone());
    trainer.build()?.tune(&data, &Fit::epochs(1).batch(batch))
}

impl Trainer {
    /// Measures all forms of the steps of the plan that [`fit`](Self::fit) would train by, whether
    /// they were measured before or not, and remembers the fastest; see [`Fit::tune`].
    ///
    /// # Errors
    /// If options or data do not fit, or the device fails.
    pub fn tune(&mut self, data: &Dataset, fit: &Fit<'_>) -> Result<Tuning> {
        let (index, _) = self.prepare(data, fit)?;
        let device = self.device().to_string();
        let (session, loaded) = self.split_plan(index);
        let timings = session.executor.tune(loaded.id, true)?;
        let graph = &loaded.plan.graph;
        let shapes = |types: &[TensorType]| {
            types.iter().map(|ty| ty.shape.to_string()).collect::<Vec<_>>().join(" ")
        };
        let step = |timing: Timing| {
            let step = &graph.steps[timing.step];
            let types = graph.call_types(step);
            TunedStep {
                layer: step.layer.clone(),
                op: step.op.label(),
                shapes: format!("{} -> {}", shapes(&types.inputs), shapes(&types.outputs)),
                timing,
            }
        };
        Ok(Tuning { device, batch: fit.batch, steps: timings.into_iter().map(step).collect() })
    }
}

/// Rows that a model can train on: one row of random numbers and zeros for indices, repeated.
fn rows_for(network: &Network, regression: bool, batch: usize) -> Result<Dataset> {
    let column = |name: &str, ty: &TensorType| {
        let sizes = ty.shape.sizes(1);
        let count = sizes.iter().product();
        let mut numbers = vec![0.0; if ty.dtype == DType::U32 { 0 } else { count }];
        random::fill_uniform(0, 0, 0, 0, &mut numbers);
        match ty.dtype {
            DType::U32 => Column::indices(name, &sizes[1..], vec![0; count]),
            _ => Column::numbers(name, &sizes[1..], numbers),
        }
    };
    let inputs = network.inputs().iter().map(|(name, id)| column(name, network.ty(*id)));
    let outputs = network.loss_names().into_iter().zip(network.outputs());
    let one = network.outputs().iter().any(|(_, id)| network.ty(*id).shape.last() == Some(1));
    let targets = outputs.map(|(name, (_, id))| {
        let mut ty = network.ty(*id).clone();
        if !regression && !one {
            ty.shape.0.pop();
            ty.dtype = DType::U32;
        }
        column(&name, &ty)
    });
    let row = Dataset::new(inputs.collect(), targets.collect())?;
    let mut rows = Vec::new();
    if rows.try_reserve_exact(batch).is_err() {
        let text = format!("a batch of {batch} rows is more than this machine can count");
        return Err(TrainError::Options(text).into());
    }
    rows.resize(batch, 0);
    Ok(row.select(&rows)?)
}

impl fmt::Display for Tuning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tuning { device, batch, steps } = self;
        writeln!(f, "{device}, batches of {batch}\n")?;
        if steps.is_empty() {
            return write!(f, "No step has several forms that could be measured.");
        }
        let widest = |head: &str, of: fn(&TunedStep) -> &str| {
            steps.iter().map(|s| of(s).chars().count()).chain([head.len()]).max().unwrap_or(0)
        };
        let layer = widest("step", |s| &s.layer);
        let shapes = widest("shapes", |s| &s.shapes);
        let (estimated, fastest) = ("estimated", "fastest");
        writeln!(
            f,
            "{:<layer$}  {:<shapes$}  {estimated:>20}  {fastest:>20}  {:>6}",
            "step", "shapes", "gain"
        )?;
        let (mut before, mut after) = (0.0, 0.0);
        for step in steps {
            let (old, new) = step.times();
            (before, after) = (before + old, after + new);
            let Timing { estimated, fastest, .. } = &step.timing;
            let (name, what) = (&step.layer, &step.shapes);
            let gain = old / new;
            let (old, new) = (format!("{old:.1} us"), format!("{new:.1} us"));
            writeln!(
                f,
                "{name:<layer$}  {what:<shapes$}  {estimated:>8} {old:>11}  {fastest:>8} {new:>11}  \
                 {gain:>5.2}x"
            )?;
        }
        let later = match steps.iter().all(|step| step.timing.remembered) {
            true => "Later runs on this card use the fastest.",
            false => "Nothing is remembered: `ironwarp doctor` tells what is with the cache.",
        };
        write!(f, "\nTogether {before:.1} us as estimated, {after:.1} us as measured. {later}")
    }
}
