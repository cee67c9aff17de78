//! The fixed workloads. Their sizes never change, so that results stay comparable.

use std::ops::Range;
use std::sync::Arc;

use super::probe::{Content, Probe, evaluation};
use crate::data::{Column, Dataset};
use crate::error::Result;
use crate::exec::Device;
use crate::layer::activation::Activation;
use crate::model::Model;
use crate::op::reduce::{Reduce, Reduction};
use crate::op::{Graph, Mode, Role};
use crate::optim::{Adam, AdamW, Optimizer, Sgd};
use crate::plan::{Clip, GroupRequest, Lasting, Plan, Request, RowLoss};
use crate::random;
use crate::tensor::{Shape, TensorType};
use crate::train::{Fit, Progress, Trained, Trainer};

/// Something to measure.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Short name, such as `W3`.
    pub id: &'static str,
    /// What it is, in a line.
    pub description: &'static str,
    /// What is done.
    pub kind: Kind,
}

/// What a workload does.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Trains a network of dense layers.
    Training(Training),
    /// Predicts with such a network, so many rows at a time.
    Inference(Training, usize),
    /// Adam alone on so many tensors of so many elements, whose gradients are there.
    Update(usize, usize),
    /// The crate lacks what it needs.
    Missing(&'static str),
}

/// Training of a network of dense layers.
#[derive(Clone, Debug)]
pub struct Training {
    /// Inputs, then the outputs of every layer.
    pub widths: &'static [usize],
    /// What is appended between the layers.
    pub activation: fn(Model) -> Model,
    /// Whether the targets are classes, with cross-entropy; else numbers, with mean squared error.
    pub classes: bool,
    /// The optimizer.
    pub rule: Rule,
    /// Rows of a step.
    pub batch: usize,
    /// Rows of the data.
    pub rows: usize,
}

/// An optimizer with the rate that a workload uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Gradient descent at 0.01.
    Sgd,
    /// Adam at 1e-3.
    Adam,
    /// AdamW at 1e-3, weight decay 0.01.
    AdamW,
}

const SMALL: Training = Training {
    widths: &[64, 128, 10],
    activation: Model::relu,
    classes: true,
    rule: Rule::Adam,
    batch: 32,
    rows: 65536,
};

const MEDIUM: Training =
    Training { widths: &[784, 512, 512, 10], batch: 128, rows: 12800, ..SMALL };

const LINEAR: Training =
    Training { widths: &[1, 1], classes: false, rule: Rule::Sgd, batch: 100, rows: 100, ..SMALL };

const LARGE: Training = Training {
    widths: &[1024, 2048, 2048, 1024],
    activation: |model| model.layer(Activation::GeluTanh),
    classes: false,
    rule: Rule::AdamW,
    batch: 512,
    rows: 2048,
};

/// Odd sizes, many layers, both: shapes that nothing was tuned to.
const OTHERS: [Training; 3] = [
    Training { widths: &[100, 301, 75, 7], batch: 17, rows: 17_000, ..SMALL },
    Training {
        widths: &[256, 256, 256, 256, 256, 256, 256, 256, 10],
        batch: 96,
        rows: 9600,
        ..SMALL
    },
    Training { widths: &[333, 777, 555, 211, 99, 3], batch: 96, rows: 9600, ..LARGE },
];

/// The workloads, in order.
pub fn workloads() -> Vec<Workload> {
    let [odd, deep, both] = OTHERS;
    let all = [
        ("W1", "training 1-1, 100 rows a step, MSE, SGD", Kind::Training(LINEAR)),
        ("W2", "training 64-128-10, 32 rows, ReLU, cross-entropy, Adam", Kind::Training(SMALL)),
        (
            "W3",
            "training 784-512-512-10, 128 rows, ReLU, cross-entropy, Adam",
            Kind::Training(MEDIUM),
        ),
        (
            "W4",
            "training 1024-2048-2048-1024, 512 rows, GELU (tanh), MSE, AdamW",
            Kind::Training(LARGE),
        ),
        ("W5", "training a convolutional network on 28 x 28", Kind::Missing("convolution")),
        ("W6", "training a transformer of 4 layers", Kind::Missing("attention")),
        ("W7", "Adam alone, 20 tensors of 1 million", Kind::Update(20, 1_000_000)),
        ("W8b1", "inference of W3's network, 1 row at a time", Kind::Inference(MEDIUM, 1)),
        ("W8b256", "inference of W3's network, 256 rows at a time", Kind::Inference(MEDIUM, 256)),
        ("W9", "training 100-301-75-7, 17 rows, ReLU, cross-entropy, Adam", Kind::Training(odd)),
        (
            "W10",
            "training 8 layers of 256, 96 rows, ReLU, cross-entropy, Adam",
            Kind::Training(deep),
        ),
        (
            "W11",
            "training 333-777-555-211-99-3, 96 rows, GELU (tanh), MSE, AdamW",
            Kind::Training(both),
        ),
    ];
    all.into_iter().map(|(id, description, kind)| Workload { id, description, kind }).collect()
}

impl Workload {
    /// Rows of a step; 1 where there are none.
    pub fn rows(&self) -> usize {
        match &self.kind {
            Kind::Training(training) => training.batch,
            Kind::Inference(_, rows) => *rows,
            Kind::Update(..) | Kind::Missing(_) => 1,
        }
    }

    /// The same with another number of rows.
    pub fn with_rows(&self, rows: usize) -> Workload {
        let kind = match self.kind.clone() {
            Kind::Training(training) => Kind::Training(Training { batch: rows, ..training }),
            Kind::Inference(network, _) => Kind::Inference(network, rows),
            kind => kind,
        };
        Workload { kind, ..self.clone() }
    }

    /// The data of one sample; a quarter of it for a quick run.
    pub fn data(&self, quick: bool) -> Dataset {
        match &self.kind {
            Kind::Training(training) => training.sample(quick),
            Kind::Inference(network, rows) => network.data(*rows),
            Kind::Update(..) | Kind::Missing(_) => SMALL.data(1),
        }
    }

    /// The data of the first step alone.
    pub fn first_rows(&self) -> Dataset {
        match &self.kind {
            Kind::Training(training) => training.data(training.batch),
            _ => self.data(false),
        }
    }

    /// The steps that are timed.
    pub fn timed(&self, plan: &Plan) -> Range<usize> {
        match self.kind {
            Kind::Update(..) => plan.update.clone(),
            _ => 0..plan.graph.steps.len(),
        }
    }

    /// The plan of a step, on a device.
    ///
    /// # Errors
    /// The device's.
    pub fn probe(&self, device: &Device, data: &Dataset) -> Result<Probe> {
        match &self.kind {
            Kind::Training(training) => training.probe(device, data),
            Kind::Inference(network, rows) => network.inference_probe(device, data, *rows),
            Kind::Update(count, elements) => update_probe(device, *count, *elements),
            Kind::Missing(_) => update_probe(device, 1, 1),
        }
    }

    /// The same, or one of fewer elements where the definitions would take too long.
    ///
    /// # Errors
    /// The device's.
    pub fn small_probe(&self, device: &Device, data: &Dataset) -> Result<Probe> {
        match &self.kind {
            Kind::Update(count, elements) => update_probe(device, *count, elements / 100 + 1),
            _ => self.probe(device, data),
        }
    }
}

impl Rule {
    /// The optimizer.
    pub fn optimizer(self) -> Box<dyn Optimizer> {
        match self {
            Rule::Sgd => Box::new(Sgd::new(0.01)),
            Rule::Adam => Box::new(Adam::new(1e-3)),
            Rule::AdamW => Box::new(AdamW::new(1e-3).weight_decay(0.01)),
        }
    }
}

impl Training {
    /// The network.
    pub fn model(&self) -> Model {
        let mut model = Model::input(self.widths[0]);
        for (i, &width) in self.widths[1..].iter().enumerate() {
            model = model.dense(width);
            if i + 2 < self.widths.len() {
                model = (self.activation)(model);
            }
        }
        model
    }

    /// Inputs in -1..1; targets are what a linear teacher says, with noise, so that they can be
    /// learned and not be met.
    pub fn data(&self, rows: usize) -> Dataset {
        let [inputs, outputs] = [self.widths[0], self.widths[self.widths.len() - 1]];
        let x = numbers(rows * inputs, 1, 1.0);
        let teacher = numbers(inputs * outputs, 2, (3.0 / inputs as f32).sqrt());
        let mut scores = numbers(rows * outputs, 3, 0.1);
        for (scores, x) in scores.chunks_mut(outputs).zip(x.chunks(inputs)) {
            for (weights, x) in teacher.chunks(outputs).zip(x) {
                scores.iter_mut().zip(weights).for_each(|(s, w)| *s += x * w);
            }
        }
        let target = if self.classes {
            let largest = |scores: &[f32]| {
                (0..outputs).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0) as u32
            };
            let names = (0..outputs).map(|i| i.to_string()).collect();
            Column::labels("y", scores.chunks(outputs).map(largest).collect(), names)
        } else {
            Column::numbers("y", &[outputs], scores)
        };
        let x = Column::numbers("x", &[inputs], x);
        Dataset::new(vec![x], vec![target]).expect("invariant: columns of equal length")
    }

    /// The data of one sample: a quarter for a quick run, and several times over where it makes
    /// few steps of little work.
    fn sample(&self, quick: bool) -> Dataset {
        let rows = if quick { self.rows / 4 } else { self.rows };
        let data = self.data(rows.max(self.batch));
        let weights: usize = self.widths.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let times = (1 << 22) / (weights * data.len());
        let rows: Vec<usize> =
            (0..times.clamp(1, 1000) * data.len()).map(|i| i % data.len()).collect();
        data.select(&rows).expect("invariant: its own rows")
    }

    /// A trainer with its initial weights.
    ///
    /// # Errors
    /// The device's.
    pub fn trainer(&self, device: &Device) -> Result<Trainer> {
        Trainer::new(&self.model(), self.rule.optimizer()).device(device.clone()).build()
    }

    /// Options of so many epochs without shuffling, as in other frameworks' sets of these workloads.
    pub fn fit<'a>(&self, epochs: usize) -> Fit<'a> {
        let fit = Fit::epochs(epochs).batch(self.batch).shuffle(false);
        fit.progress(Progress::Silent)
    }

    /// A step's plan on a device.
    ///
    /// # Errors
    /// The device's.
    pub fn probe(&self, device: &Device, data: &Dataset) -> Result<Probe> {
        let mut trainer = self.trainer(device)?;
        let plan = trainer.training_plan(data, &self.fit(1))?;
        let content = Content::of_data(&plan, data, self.batch)?
            .with_parameters(&trainer)?
            .with_scalars(trainer.lasting(), &self.rule.optimizer(), self.batch);
        Probe::new(device, trainer.lasting(), plan, content, self.batch)
    }

    /// The plan that predicts so many rows, on a device.
    ///
    /// # Errors
    /// The device's.
    pub fn inference_probe(&self, device: &Device, data: &Dataset, rows: usize) -> Result<Probe> {
        let trainer = self.trainer(device)?;
        let network = trainer.network();
        let capacity = Trained::capacity(rows);
        let plan = evaluation(network.graph(), network.outputs(), capacity, trainer.lasting())?;
        let content = Content::of_data(&plan, data, rows)?.with_parameters(&trainer)?;
        Probe::new(device, trainer.lasting(), Arc::new(plan), content, rows)
    }
}

/// Adam on `count` tensors of `elements`, with gradients: only the update range is to be run.
///
/// # Errors
/// The device's.
pub fn update_probe(device: &Device, count: usize, elements: usize) -> Result<Probe> {
    let adam = Rule::Adam.optimizer();
    let name = |i| format!("tensor_{i}");
    let parameters = (0..count).map(|i| (name(i), vec![elements])).collect();
    let group = GroupRequest { name: "all".into(), parameters, rule: Some(adam.rule()) };
    let lasting = Lasting::new(&[group], &["penalty_share".to_string()]);
    // The loss whose gradient trains them: the sum of all, since a plan wants one.
    let mut graph = Graph::default();
    let losses: Vec<RowLoss> = (0..count)
        .map(|i| {
            let ty = TensorType::f32(Shape::fixed(&[elements]));
            let tensor = graph.add(name(i), ty, Role::Parameter);
            let sum = Arc::new(Reduce::new(Reduction::Sum, &[0], true));
            let value = graph.call(sum, &[tensor], "sum");
            let value = value.expect("invariant: a vector has a sum")[0];
            RowLoss { name: format!("sum_{i}"), value, factor: 1.0, weighted: false }
        })
        .collect();
    let request = Request {
        model: &graph,
        outputs: &[],
        losses: &losses,
        mode: Mode::Training,
        capacity: 1,
        accumulate: false,
        clip: Clip::None,
        gradients: &[],
    };
    let plan = Arc::new(Plan::build(&request, &lasting)?);
    let (update, all) = (&lasting.updates[0], lasting.groups[0].elements);
    let gradient = (update.gradient, numbers(all, 5, 1.0));
    let parameter = (update.parameter, numbers(all, 4, 1.0));
    let values = vec![gradient, parameter];
    let content = Content { lasting: values, feeds: vec![] }.with_scalars(&lasting, &adam, 1);
    let mut probe = Probe::new(device, &lasting, plan, content, 1)?;
    // The update looks at the losses; then the gradients are those of above again.
    probe.run(0..probe.plan.update.start)?;
    probe.reset()?;
    Ok(probe)
}

/// Numbers in `-size..size`, neither zero nor constant.
fn numbers(count: usize, stream: u32, size: f32) -> Vec<f32> {
    let mut values = vec![0.0; count];
    random::fill_uniform(1, stream, 1, 0, &mut values);
    values.iter_mut().for_each(|x| *x = (2.0 * *x - 1.0) * size);
    values
}
