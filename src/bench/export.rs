//! The workloads' data, initial weights and first losses as files, so that other programs run the
//! same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::workload::{Kind, Training, Workload, workloads};
use crate::data::{ColumnId, Dataset};
use crate::error::{FileError, Result};
use crate::exec::Device;
use crate::file::TensorFile;
use crate::tensor::{Elements, HostTensor};
use crate::train::{Callback, Flow, StepReport};

/// Steps whose losses are told.
const STEPS: usize = 21;

/// Writes a file `ID.safetensors` for each workload that has one, or for these only: inputs `x` and
/// targets `y` where it trains or predicts, every parameter by its name, `losses` of the first 21
/// steps where it trains, without shuffling, and `outputs` where it predicts.
///
/// # Errors
/// If a file can't be written.
pub fn write(folder: &Path, only: &[String]) -> Result<()> {
    fs::create_dir_all(folder).map_err(|source| FileError::Io {
        action: "make",
        path: folder.into(),
        source,
    })?;
    let wanted = |w: &Workload| only.is_empty() || only.iter().any(|id| id == w.id);
    for workload in workloads().iter().filter(|w| wanted(w)) {
        let tensors = match &workload.kind {
            Kind::Training(training) => training_tensors(training)?,
            Kind::Inference(network, rows) => inference_tensors(network, *rows)?,
            Kind::Update(..) | Kind::Missing(_) => continue,
        };
        let path = folder.join(format!("{}.safetensors", workload.id));
        TensorFile { tensors, metadata: None }.write(path)?;
    }
    Ok(())
}

type Tensors = BTreeMap<String, HostTensor>;

fn tensor(shape: &[usize], elements: Elements) -> HostTensor {
    HostTensor::new(shape.to_vec(), elements)
        .expect("invariant: as many elements as the shape says")
}

fn training_tensors(training: &Training) -> Result<Tensors> {
    let data = training.data(training.rows);
    let mut trainer = training.trainer(&Device::cpu())?;
    let mut tensors = parameters(training)?;
    tensors.insert("x".into(), column(&data, ColumnId::Input(0), training.widths[0])?);
    let outputs = training.widths[training.widths.len() - 1];
    tensors.insert(
        "y".into(),
        match training.classes {
            true => labels(&data)?,
            false => column(&data, ColumnId::Target(0), outputs)?,
        },
    );
    let mut losses = Losses::default();
    let epochs = STEPS.div_ceil(data.len() / training.batch);
    trainer.fit(&data, training.fit(epochs).callback(&mut losses))?;
    tensors.insert("losses".into(), tensor(&[losses.0.len()], Elements::F32(losses.0)));
    Ok(tensors)
}

fn inference_tensors(network: &Training, rows: usize) -> Result<Tensors> {
    let data = network.data(rows);
    let mut tensors = parameters(network)?;
    tensors.insert("x".into(), column(&data, ColumnId::Input(0), network.widths[0])?);
    let outputs = network.trainer(&Device::cpu())?.trained()?.predict(&data)?;
    let shape = outputs.shape().to_vec();
    tensors.insert(
        "outputs".into(),
        tensor(&shape, Elements::F32(outputs.into_raw_vec_and_offset().0)),
    );
    Ok(tensors)
}

fn parameters(training: &Training) -> Result<Tensors> {
    let trainer = training.trainer(&Device::cpu())?;
    let all = trainer.lasting().parameters();
    let one = |p: &crate::plan::LastingParameter| {
        Ok((p.name.clone(), tensor(&p.shape, Elements::F32(trainer.parameter(&p.name)?))))
    };
    all.map(one).collect()
}

fn column(data: &Dataset, column: ColumnId, width: usize) -> Result<HostTensor> {
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut elements = vec![0.0; rows.len() * width];
    data.gather_f32(column, &rows, &mut elements)?;
    Ok(tensor(&[rows.len(), width], Elements::F32(elements)))
}

fn labels(data: &Dataset) -> Result<HostTensor> {
    let rows: Vec<usize> = (0..data.len()).collect();
    let mut elements = vec![0; rows.len()];
    data.gather_u32(ColumnId::Target(0), &rows, &mut elements)?;
    Ok(tensor(&[rows.len()], Elements::U32(elements)))
}

/// Keeps the losses of the first steps.
#[derive(Default)]
struct Losses(Vec<f32>);

impl Callback for Losses {
    fn on_step(&mut self, report: &StepReport) -> anyhow::Result<Flow> {
        self.0.push(report.loss as f32);
        Ok(if self.0.len() < STEPS { Flow::Continue } else { Flow::Stop })
    }
}
