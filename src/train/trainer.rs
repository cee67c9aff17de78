//! The trainer: a model, an optimizer and a device.

use std::path::Path;
use std::time::Duration;

use super::augment::Augment;
use super::checkpoint;
use super::group::{self, ParameterGroup};
use super::session::{LoadedPlan, PlanRequest, Session};
use super::state::State;
use super::trained::Trained;
use crate::data::{Dataset, Media, Preprocessing, Task};
use crate::error::{Result, TrainError};
use crate::exec::Device;
use crate::loss::{CrossEntropy, Loss, MeanSquaredError};
use crate::model::{Model, Network, WithLosses};
use crate::op::Mode;
use crate::optim::Optimizer;
use crate::plan::{Clip, Lasting};

/// Options of a [`Trainer`], built up by method calls.
pub struct TrainerBuilder<'a> {
    model: Source<'a>,
    optimizer: Box<dyn Optimizer>,
    device: Option<Device>,
    losses: Vec<(Box<dyn Loss>, f64)>,
    seed: u64,
    clip: Clip,
    average: Option<f64>,
    groups: Vec<ParameterGroup>,
}

enum Source<'a> {
    Model(&'a Model),
    Network(Network),
}

impl<'a> TrainerBuilder<'a> {
    fn new(model: Source<'a>, optimizer: impl Optimizer + 'static) -> Self {
        TrainerBuilder {
            model,
            optimizer: Box::new(optimizer),
            device: None,
            losses: vec![],
            seed: 0,
            clip: Clip::None,
            average: None,
            groups: vec![],
        }
    }

    /// Options of a trainer of a model that was traced before.
    pub(super) fn of_network(network: Network, optimizer: impl Optimizer + 'static) -> Self {
        TrainerBuilder::new(Source::Network(network), optimizer)
    }

    /// Where to train; default [`Device::auto`].
    pub fn device(self, device: Device) -> Self {
        TrainerBuilder { device: Some(device), ..self }
    }

    /// The loss of the next output, which would follow from the data: softmax cross-entropy for
    /// classes, mean squared error for numbers.
    pub fn loss(self, loss: impl Loss + 'static) -> Self {
        self.weighted_loss(loss, 1.0)
    }

    /// The loss of the next output, with a factor in the sum of losses.
    pub fn weighted_loss(mut self, loss: impl Loss + 'static, factor: f64) -> Self {
        self.losses.push((Box::new(loss), factor));
        self
    }

    /// Seed of initial weights, order of rows and dropout; default 0.
    pub fn seed(self, seed: u64) -> Self {
        TrainerBuilder { seed, ..self }
    }

    /// Scales gradients so that their norm over all parameters is at most `limit`.
    pub fn clip_norm(self, limit: f64) -> Self {
        TrainerBuilder { clip: Clip::Norm(limit), ..self }
    }

    /// Limits every element of the gradients to `-limit..limit`.
    pub fn clip_value(self, limit: f64) -> Self {
        TrainerBuilder { clip: Clip::Value(limit), ..self }
    }

    /// Trains some parameters otherwise than the rest. All are trained alike by default, weight decay
    /// included, as in PyTorch.
    pub fn group(mut self, group: ParameterGroup) -> Self {
        self.groups.push(group);
        self
    }

    /// Keeps the parameters whose names fit the pattern as they are: a group that is
    /// [`frozen`](ParameterGroup::frozen).
    pub fn freeze(self, pattern: &str) -> Self {
        self.group(ParameterGroup::matching(pattern).frozen())
    }

    /// Keeps an exponential moving average of the parameters with this decay; see
    /// [`Trainer::use_averages`].
    pub fn average(self, decay: f64) -> Self {
        TrainerBuilder { average: Some(decay), ..self }
    }

    /// Traces the model, lays out and allocates lasting memory, and draws the initial weights.
    ///
    /// # Errors
    /// If the model or an option is wrong, or memory is short.
    pub fn build(self) -> Result<Trainer> {
        let network = match self.model {
            Source::Model(model) => model.network()?,
            Source::Network(network) => network,
        };
        let mut problems: Vec<String> = self.optimizer.check().err().into_iter().collect();
        match self.clip {
            Clip::Norm(limit) | Clip::Value(limit) if !(limit > 0.0 && limit.is_finite()) => {
                problems.push(format!("the clipping limit must be above 0, got {limit}"));
            }
            _ => {}
        }
        if let Some(decay) = self.average.filter(|d| !(0.0..1.0).contains(d)) {
            problems.push(format!("the average's decay must be in 0..1, got {decay}"));
        }
        if !self.losses.is_empty() && self.losses.len() != network.outputs().len() {
            problems.push(format!(
                "{} losses for {} outputs; name one for each or none",
                self.losses.len(),
                network.outputs().len()
            ));
        }
        if !problems.is_empty() {
            return Err(TrainError::Options(problems.join("; ")).into());
        }
        let device = self.device.map_or_else(Device::auto, Ok)?;
        let mut rule = self.optimizer.rule();
        if self.average.is_some() {
            rule = rule.with_average();
        }
        let (groups, requests) = group::assign(&self.groups, &network, &rule)?;
        let mut session = Session::new(network, &requests, &device)?;
        session.begin_parameters(self.seed)?;
        Ok(Trainer {
            optimizer: self.optimizer,
            device,
            losses: self.losses,
            seed: self.seed,
            clip: self.clip,
            average: self.average,
            preprocessing: None,
            media: None,
            state: State { memory: vec![vec![]; groups.len()], ..State::default() },
            groups,
            memory_before: vec![],
            fed: Duration::ZERO,
            scalars: vec![],
            session,
            plans: vec![],
        })
    }
}

/// What identifies a loaded plan.
#[derive(Clone, PartialEq)]
struct PlanKey {
    task: Task,
    /// None for evaluation, else what is done to rows in training.
    training: Option<Option<Augment>>,
    weighted: bool,
    capacity: usize,
    accumulate: bool,
}

/// Trains a model.
///
/// ```
/// use ironwarp::prelude::*;
/// use ndarray::{Array1, Array2};
/// let x = Array2::from_shape_fn((64, 1), |(i, _)| i as f32 / 64.0);
/// let y: Array1<f32> = x.column(0).mapv(|x| 3.0 * x + 2.0);
/// let data = Dataset::from_arrays(x, y)?;
/// let model = Model::input(1).dense(1);
/// let mut trainer = Trainer::new(&model, Adam::new(0.1)).build()?;
/// let history = trainer.fit(&data, Fit::epochs(100).batch(64).progress(Progress::Silent))?;
/// assert!(history.epochs[99].loss < history.epochs[0].loss / 100.0);
/// # Ok::<(), ironwarp::Error>(())
/// ```
pub struct Trainer {
    pub(super) optimizer: Box<dyn Optimizer>,
    pub(super) device: Device,
    losses: Vec<(Box<dyn Loss>, f64)>,
    pub(super) seed: u64,
    pub(super) clip: Clip,
    pub(super) average: Option<f64>,
    /// One for each group of lasting memory.
    pub(super) groups: Vec<ParameterGroup>,
    pub(super) preprocessing: Option<Preprocessing>,
    pub(super) media: Option<Media>,
    pub(super) state: State,
    /// The optimizer's memory before the step at hand.
    pub(super) memory_before: Vec<Vec<f64>>,
    /// How long steps gathered their rows, since somebody asked.
    pub(super) fed: Duration,
    /// The scalars of one group, for the step at hand.
    pub(super) scalars: Vec<f64>,
    pub(super) session: Session,
    plans: Vec<(PlanKey, LoadedPlan)>,
}

impl Trainer {
    /// Options of a trainer of this model.
    #[allow(clippy::new_ret_no_self)] // the builder's `build` makes the trainer
    pub fn new(model: &Model, optimizer: impl Optimizer + 'static) -> TrainerBuilder<'_> {
        TrainerBuilder::new(Source::Model(model), optimizer)
    }

    /// Where it trains.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The model.
    pub fn network(&self) -> &Network {
        &self.session.network
    }

    /// The layout of lasting memory, which every plan of this trainer shares.
    pub fn lasting(&self) -> &Lasting {
        &self.session.lasting
    }

    /// Updates so far.
    pub fn steps(&self) -> u64 {
        self.state.step
    }

    /// A parameter's elements by name.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn parameter(&self, name: &str) -> Result<Vec<f32>> {
        let Some(found) = self.session.lasting.parameters().find(|p| p.name == name) else {
            return Err(TrainError::State(format!("no parameter is named `{name}`")).into());
        };
        let mut elements = vec![0.0; found.shape.iter().product()];
        self.session.executor.read(found.parameter, &mut elements)?;
        Ok(elements)
    }

    /// Overwrites a parameter.
    ///
    /// # Errors
    /// If there is none of this name, or the number of elements differs.
    pub fn set_parameter(&mut self, name: &str, elements: &[f32]) -> Result<()> {
        let wrong = |text: String| Err(TrainError::State(text).into());
        let Some(p) = self.session.lasting.parameters().find(|p| p.name == name) else {
            return wrong(format!("no parameter is named `{name}`"));
        };
        let (buffer, wanted) = (p.parameter, p.shape.iter().product::<usize>());
        if wanted != elements.len() {
            return wrong(format!("`{name}` has {wanted} elements, got {}", elements.len()));
        }
        Ok(self.session.executor.write(buffer, elements)?)
    }

    /// Puts the averaged parameters in place of the trained ones, for evaluation or saving; call it
    /// again to exchange them back.
    ///
    /// # Errors
    /// If the trainer keeps no averages.
    pub fn use_averages(&mut self) -> Result<()> {
        let updates = self.session.lasting.updates.iter();
        let pairs: Vec<_> =
            updates.filter_map(|u| Some((u.parameter, *u.states.last()?))).collect();
        let problem = match (self.average, self.state.step) {
            (None, _) => Some("the trainer keeps no averages; build it with `average(decay)`"),
            (Some(_), 0) => Some("there are no averages before the first step; call `fit` first"),
            _ => None,
        };
        if let Some(text) = problem {
            return Err(TrainError::State(text.into()).into());
        }
        for (parameter, average) in pairs {
            let (p, a) = (self.session.tensor(parameter)?, self.session.tensor(average)?);
            for (buffer, tensor) in [(parameter, a), (average, p)] {
                if let Some(elements) = tensor.as_f32() {
                    self.session.executor.write(buffer, elements)?;
                }
            }
        }
        Ok(())
    }

    /// The plan for this data, loaded; an index into `plans`. For training it has the augmentation, if
    /// there is one, before the model.
    pub(super) fn plan(
        &mut self,
        data: &Dataset,
        training: Option<Option<&Augment>>,
        capacity: usize,
        accumulate: bool,
    ) -> Result<usize> {
        let weighted = data.weights().is_some();
        let own = training.map(|augment| augment.cloned());
        let key = PlanKey { task: data.task(), training: own, weighted, capacity, accumulate };
        if let Some(index) = self.plans.iter().position(|(k, _)| *k == key) {
            self.session.check(&self.plans[index].1, data)?;
            return Ok(index);
        }
        let mut with_losses = self.with_losses(data)?;
        if let Some(Some(augment)) = training {
            with_losses = augment.apply(&self.session.network, with_losses)?;
        }
        let loaded = self.session.load(PlanRequest {
            graph: &with_losses.graph,
            losses: with_losses.losses,
            mode: if training.is_some() { Mode::Training } else { Mode::Evaluation },
            capacity,
            accumulate,
            clip: self.clip,
        })?;
        self.session.check(&loaded, data)?;
        self.plans.push((key, loaded));
        Ok(self.plans.len() - 1)
    }

    /// The network with a loss for every output: the trainer's, or the one for the data's task.
    pub(super) fn with_losses(&self, data: &Dataset) -> Result<WithLosses> {
        let by_task: Box<dyn Loss> = match data.task() {
            Task::Classification { .. } => Box::new(CrossEntropy::default()),
            _ => Box::new(MeanSquaredError),
        };
        let weighted = data.weights().is_some();
        let network = &self.session.network;
        let losses: Vec<(&dyn Loss, f64, bool)> = match self.losses.is_empty() {
            true => network.outputs().iter().map(|_| (&*by_task, 1.0, weighted)).collect(),
            false => self.losses.iter().map(|(l, factor)| (&**l, *factor, weighted)).collect(),
        };
        network.with_losses(&losses)
    }

    pub(super) fn split_plan(&mut self, index: usize) -> (&mut Session, &LoadedPlan) {
        (&mut self.session, &self.plans[index].1)
    }

    /// Measures what loaded plans have no measured choice of; see [`Fit::tune`].
    pub(super) fn tune_plans(&mut self) -> Result<()> {
        for (_, loaded) in &self.plans {
            self.session.executor.tune(loaded.id, false)?;
        }
        Ok(())
    }

    /// The trained model, for predictions, on the same device.
    ///
    /// # Errors
    /// If memory is short.
    pub fn trained(&self) -> Result<Trained> {
        Trained::from_trainer(self)
    }

    /// Saves the model: graph, parameters and what becomes of raw data in one file, which [`Trained::load`]
    /// reads without the model's code. The old file stays if anything fails.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        checkpoint::save_model(self, path.as_ref())
    }

    /// Saves everything that training needs to go on.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn save_checkpoint(&self, path: impl AsRef<Path>) -> Result<()> {
        checkpoint::save(self, path.as_ref())
    }

    /// Takes up a checkpoint of the same model and optimizer; the next `fit` goes on with its run,
    /// and the result is the same to the bit as without the interruption.
    ///
    /// # Errors
    /// If the file is damaged or of another model or optimizer; the trainer is as before then.
    pub fn resume(&mut self, path: impl AsRef<Path>) -> Result<()> {
        checkpoint::resume(self, path.as_ref())
    }
}
