//! The workloads in burn. Form: `flex`, its backend for CPUs, with its modules, losses and optimizers.

use anyhow::{Context, Result, ensure};
use burn::module::{Module, Param};
use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, AdamWConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::{gelu_approximate, relu};
use burn::tensor::{Device, Int, Tensor, TensorData};
use rust_peers::{Array, EPSILON, Kind, Peer, Rule, Task, WEIGHT_DECAY, answer};

/// Dense layers, or the tensors of the optimizer alone.
#[derive(Module, Debug)]
struct Parameters {
    layers: Vec<Linear>,
    tensors: Vec<Param<Tensor<1>>>,
}

enum Targets {
    Classes(Tensor<1, Int>),
    Numbers(Tensor<2>),
    Nothing,
}

struct Burn {
    kind: Kind,
    batch: usize,
    steps: usize,
    at: usize,
    learning_rate: f64,
    device: Device,
    x: Option<Tensor<2>>,
    targets: Targets,
    /// Always there between steps; an update takes it and gives the next.
    parameters: Option<Parameters>,
    update: ModuleOptimizer,
    /// Of the optimizer alone.
    gradients: Vec<Tensor<1>>,
    /// The last loss or outputs.
    last: Vec<Result<Tensor<1>, Tensor<2>>>,
}

fn optimizer(rule: Rule) -> ModuleOptimizer {
    match rule {
        Rule::Sgd => SgdConfig::new().init(),
        Rule::Adam => AdamConfig::new().with_epsilon(EPSILON as f32).init(),
        Rule::AdamW => AdamWConfig::new()
            .with_epsilon(EPSILON as f32)
            .with_weight_decay(WEIGHT_DECAY as f32)
            .init(),
    }
}

fn matrix(array: &Array, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(array.values.clone(), array.shape.clone()), device)
}

fn vector(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// burn keeps weights as [inputs, outputs].
fn dense([weight, bias]: &[Array; 2], device: &Device) -> Linear {
    let transposed = matrix(weight, device).transpose();
    let [inputs, outputs] = transposed.dims();
    // Written out, so that no step works on a view.
    let values = transposed.into_data();
    let mut layer = LinearConfig::new(inputs, outputs).init(device);
    layer.weight = Param::from_tensor(Tensor::from_data(values, device));
    layer.bias = Some(Param::from_tensor(vector(&bias.values, device)));
    layer
}

impl Burn {
    fn new(form: &str, task: &Task) -> Result<Burn> {
        ensure!(form == "flex", "there is no form {form}");
        let plain = Device::flex();
        let training = task.kind != Kind::Prediction;
        let device = if training { plain.clone().autodiff() } else { plain.clone() };
        let layers = task.layers.iter().map(|layer| dense(layer, &device)).collect();
        let tensors = task.tensors.iter().map(|[p, _]| Param::from_tensor(vector(p, &device)));
        let labels: Vec<i32> = task.labels.iter().map(|&label| label as i32).collect();
        let targets = match task.kind {
            Kind::Training { classes: true } => {
                let count = labels.len();
                Targets::Classes(Tensor::from_data(TensorData::new(labels, [count]), &device))
            }
            Kind::Training { classes: false } => Targets::Numbers(matrix(&task.numbers, &device)),
            _ => Targets::Nothing,
        };
        let update_alone = task.kind == Kind::Update;
        Ok(Burn {
            kind: task.kind,
            batch: task.batch,
            steps: task.steps,
            at: 0,
            learning_rate: task.rule.learning_rate(),
            x: (!update_alone).then(|| matrix(&task.x, &device)),
            targets,
            parameters: Some(Parameters { layers, tensors: tensors.collect() }),
            update: optimizer(task.rule),
            gradients: task.tensors.iter().map(|[_, g]| vector(g, &plain)).collect(),
            device,
            last: vec![],
        })
    }

    fn forward(&self, mut x: Tensor<2>) -> Result<Tensor<2>> {
        let parameters = self.parameters.as_ref().context("there are parameters")?;
        for (i, layer) in parameters.layers.iter().enumerate() {
            if i > 0 {
                let classes = !matches!(self.targets, Targets::Numbers(_));
                x = if classes { relu(x) } else { gelu_approximate(x) };
            }
            x = layer.forward(x);
        }
        Ok(x)
    }

    fn training(&mut self) -> Result<Tensor<1>> {
        let first = self.at % self.steps * self.batch;
        self.at += 1;
        let rows = first..first + self.batch;
        let x = self.x.as_ref().context("there are inputs")?.clone().slice(rows.clone());
        let outputs = self.forward(x)?;
        let loss = match &self.targets {
            Targets::Classes(y) => CrossEntropyLossConfig::new()
                .init(&self.device)
                .forward(outputs, y.clone().slice(rows)),
            Targets::Numbers(y) => {
                MseLoss::new().forward(outputs, y.clone().slice(rows), Reduction::Mean)
            }
            Targets::Nothing => anyhow::bail!("training has targets"),
        };
        let parameters = self.parameters.take().context("there are parameters")?;
        let gradients = GradientsParams::from_grads(loss.backward(), &parameters);
        self.parameters = Some(self.update.step(self.learning_rate, parameters, gradients));
        Ok(loss.inner())
    }

    fn step(&mut self) -> Result<Result<Tensor<1>, Tensor<2>>> {
        match self.kind {
            Kind::Training { .. } => return Ok(Ok(self.training()?)),
            Kind::Prediction => {
                return Ok(Err(self.forward(self.x.clone().context("there are inputs")?)?));
            }
            Kind::Update => {}
        }
        let parameters = self.parameters.take().context("there are parameters")?;
        let mut given = GradientsParams::new();
        for (parameter, gradient) in parameters.tensors.iter().zip(&self.gradients) {
            given.register(parameter.id, gradient.clone());
        }
        let next = self.update.step(self.learning_rate, parameters, given);
        let first = next.tensors[0].val().inner();
        self.parameters = Some(next);
        Ok(Ok(first))
    }
}

impl Peer for Burn {
    fn run(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            let last = self.step()?;
            self.last.clear();
            self.last.push(last);
        }
        self.device.sync().context("waiting for the device")
    }

    fn results(&self) -> Result<Vec<f32>> {
        let floats = |data: TensorData| data.to_vec::<f32>().context("results are floats");
        if self.kind == Kind::Update {
            let parameters = self.parameters.as_ref().context("there are parameters")?;
            let all = parameters.tensors.iter().map(|p| floats(p.val().inner().into_data()));
            return Ok(all.collect::<Result<Vec<_>>>()?.concat());
        }
        match self.last.first().context("there was a step")? {
            Ok(loss) => floats(loss.clone().into_data()),
            Err(outputs) => floats(outputs.clone().into_data()),
        }
    }
}

fn main() -> Result<()> {
    answer("0.22.1", Burn::new)
}
