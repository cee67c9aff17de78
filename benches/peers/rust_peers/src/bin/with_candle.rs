//! The workloads in candle. Form: `eager`, with candle-nn's layers, losses and optimizers; Adam is its
//! AdamW without decay.

use anyhow::{Context, Result, ensure};
use candle_core::{Device, Module, Tensor, Var, backprop::GradStore};
use candle_nn::{AdamW, Linear, Optimizer, ParamsAdamW, SGD, loss};
use rust_peers::{Array, BETAS, EPSILON, Kind, Peer, Rule, Task, WEIGHT_DECAY, answer};

const DEVICE: Device = Device::Cpu;

enum Update {
    Sgd(SGD),
    Adam(AdamW),
}

impl Update {
    fn new(rule: Rule, variables: Vec<Var>) -> Result<Update> {
        let lr = rule.learning_rate();
        if rule == Rule::Sgd {
            return Ok(Update::Sgd(SGD::new(variables, lr)?));
        }
        let weight_decay = if rule == Rule::AdamW { WEIGHT_DECAY } else { 0.0 };
        let (beta1, beta2) = BETAS;
        let parameters = ParamsAdamW { lr, beta1, beta2, eps: EPSILON, weight_decay };
        Ok(Update::Adam(AdamW::new(variables, parameters)?))
    }

    fn step(&mut self, gradients: &GradStore) -> Result<()> {
        Ok(match self {
            Update::Sgd(update) => update.step(gradients)?,
            Update::Adam(update) => update.step(gradients)?,
        })
    }
}

struct Candle {
    kind: Kind,
    batch: usize,
    steps: usize,
    at: usize,
    x: Tensor,
    y: Tensor,
    layers: Vec<Linear>,
    variables: Vec<Var>,
    update: Update,
    /// Of the optimizer alone.
    gradients: Option<GradStore>,
    last: Option<Tensor>,
}

fn tensor(array: &Array) -> Result<Tensor> {
    Ok(Tensor::from_slice(&array.values, array.shape.as_slice(), &DEVICE)?)
}

impl Candle {
    fn new(form: &str, task: &Task) -> Result<Candle> {
        ensure!(form == "eager", "there is no form {form}");
        let mut variables = vec![];
        let mut parameter = |array: &Array| -> Result<Tensor> {
            let variable = Var::from_tensor(&tensor(array)?)?;
            // What is predicted with needs no gradient.
            let plain = variable.as_tensor().detach();
            let held =
                if task.kind == Kind::Prediction { plain } else { variable.as_tensor().clone() };
            variables.push(variable);
            Ok(held)
        };
        let mut layers = vec![];
        for [weight, bias] in &task.layers {
            layers.push(Linear::new(parameter(weight)?, Some(parameter(bias)?)));
        }
        let gradients = match task.kind {
            Kind::Update => Some(given(task, &mut variables)?),
            _ => None,
        };
        let y = match task.labels.is_empty() {
            true => tensor(&task.numbers)?,
            false => Tensor::from_slice(&task.labels, task.labels.len(), &DEVICE)?,
        };
        Ok(Candle {
            kind: task.kind,
            batch: task.batch,
            steps: task.steps,
            at: 0,
            x: tensor(&task.x)?,
            y,
            layers,
            update: Update::new(task.rule, variables.clone())?,
            variables,
            gradients,
            last: None,
        })
    }

    fn forward(&self, x: &Tensor, classes: bool) -> Result<Tensor> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x = if classes { x.relu()? } else { x.gelu()? };
            }
            x = layer.forward(&x)?;
        }
        Ok(x)
    }

    fn step(&mut self) -> Result<Tensor> {
        let classes = match self.kind {
            Kind::Training { classes } => classes,
            Kind::Prediction => return self.forward(&self.x, true),
            Kind::Update => {
                self.update.step(self.gradients.as_ref().context("there are gradients")?)?;
                return Ok(self.variables[0].as_detached_tensor());
            }
        };
        let first = self.at % self.steps * self.batch;
        self.at += 1;
        let [x, y] = [&self.x, &self.y].map(|data| data.narrow(0, first, self.batch));
        let (outputs, y) = (self.forward(&x?, classes)?, y?);
        let loss =
            if classes { loss::cross_entropy(&outputs, &y)? } else { loss::mse(&outputs, &y)? };
        self.update.step(&loss.backward()?)?;
        Ok(loss.detach())
    }
}

/// The given gradients: those of the sum of p g by p, since a store of others can't be made.
fn given(task: &Task, variables: &mut Vec<Var>) -> Result<GradStore> {
    let mut total = Tensor::new(0f32, &DEVICE)?;
    for [p, g] in &task.tensors {
        let variable = Var::from_slice(p, p.len(), &DEVICE)?;
        let g = Tensor::from_slice(g, g.len(), &DEVICE)?;
        total = (total + (variable.as_tensor() * g)?.sum_all()?)?;
        variables.push(variable);
    }
    Ok(total.backward()?)
}

impl Peer for Candle {
    fn run(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.last = Some(self.step()?);
        }
        Ok(())
    }

    fn results(&self) -> Result<Vec<f32>> {
        if self.kind == Kind::Update {
            let all = self.variables.iter().map(|v| Ok(v.as_tensor().to_vec1::<f32>()?));
            return Ok(all.collect::<Result<Vec<_>>>()?.concat());
        }
        let last = self.last.as_ref().context("there was a step")?;
        Ok(last.flatten_all()?.to_vec1()?)
    }
}

fn main() -> Result<()> {
    answer("0.11.1", Candle::new)
}
