//! An executor with a network's lasting memory, and the plans loaded on it.

use std::sync::Arc;

use super::augment;
use super::rows::Taken;
use crate::data::{ColumnId, Dataset};
use crate::error::{DataError, DeviceError, Result, TrainError};
use crate::exec::{Device, Executor, FeedMut, PlanId};
use crate::model::Network;
use crate::op::{BufferId, Live, Mode};
use crate::plan::{Clip, GroupRequest, Lasting, Plan, Request, RowLoss};
use crate::tensor::HostTensor;

/// Where a feed's rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Column(ColumnId),
    Weights,
    /// What augmentation draws by for each row.
    Keys,
}

/// A plan on the executor.
pub(super) struct LoadedPlan {
    pub(super) id: PlanId,
    pub(super) plan: Arc<Plan>,
}

/// What a plan is asked for.
pub(super) struct PlanRequest<'a> {
    pub(super) graph: &'a crate::op::Graph,
    pub(super) losses: Vec<RowLoss>,
    pub(super) mode: Mode,
    pub(super) capacity: usize,
    pub(super) accumulate: bool,
    pub(super) clip: Clip,
}

/// Bytes of a device's memory that a plan should leave free, at most.
const RESERVE: u64 = 64 << 20;

/// A network on a device.
pub(super) struct Session {
    pub(super) network: Network,
    pub(super) lasting: Lasting,
    pub(super) executor: Box<dyn Executor>,
    pub(super) controls: Controls,
}

/// Control scalars that the trainer writes.
pub(super) struct Controls {
    /// One per loss.
    normalizers: Vec<BufferId>,
    penalty_share: BufferId,
    first: BufferId,
    epoch: BufferId,
}

impl Controls {
    fn new(network: &Network, lasting: &Lasting) -> Controls {
        let scalar = |name: &str| lasting.scalar(name).expect("invariant: laid out above");
        let names = network.loss_names();
        Controls {
            normalizers: names.iter().map(|n| scalar(&format!("normalizer/{n}"))).collect(),
            penalty_share: scalar("penalty_share"),
            first: scalar("first"),
            epoch: scalar(augment::EPOCH),
        }
    }
}

impl Session {
    /// Lays out and allocates lasting memory.
    pub(super) fn new(network: Network, groups: &[GroupRequest], device: &Device) -> Result<Self> {
        let mut scalars: Vec<String> =
            network.loss_names().iter().map(|name| format!("normalizer/{name}")).collect();
        scalars.extend(["penalty_share", "first", augment::EPOCH].map(String::from));
        let lasting = Lasting::new(groups, &scalars);
        let executor = device.executor(&lasting)?;
        let controls = Controls::new(&network, &lasting);
        let mut session = Session { network, lasting, executor, controls };
        session.begin_states()?;
        Ok(session)
    }

    /// Lays out and allocates a network that only predicts: one group without updates.
    pub(super) fn frozen(network: Network, device: &Device) -> Result<Self> {
        let parameters = network.parameters().iter();
        let group = GroupRequest {
            name: "parameters".into(),
            parameters: parameters.map(|p| (p.name.clone(), network.shape(p))).collect(),
            rule: None,
        };
        Session::new(network, &[group], device)
    }

    /// Gives every state its initial value, where that is not the 0 that memory begins with.
    fn begin_states(&mut self) -> Result<()> {
        for update in &self.lasting.updates {
            let states = update.rule.states.iter().zip(&update.states);
            for (rule, &buffer) in states.filter(|(rule, _)| rule.initial.to_bits() != 0) {
                let elements = self.lasting.graph.ty(buffer).shape.elements(0);
                self.executor.write(buffer, &vec![rule.initial; elements])?;
            }
        }
        Ok(())
    }

    /// Draws initial parameters.
    pub(super) fn begin_parameters(&mut self, seed: u64) -> Result<()> {
        let parameters: Vec<_> = self.network.parameters().to_vec();
        for (i, parameter) in parameters.iter().enumerate() {
            let shape = self.network.shape(parameter);
            let values = parameter.init.sample(&shape, seed, i as u32);
            if let Some(buffer) = self.lasting.graph.find(&parameter.name) {
                self.executor.write(buffer, &values)?;
            }
        }
        Ok(())
    }

    /// A lasting buffer as a tensor.
    pub(super) fn tensor(&self, buffer: BufferId) -> Result<HostTensor> {
        let shape = self.lasting.graph.ty(buffer).shape.sizes(0);
        let mut elements = vec![0.0; shape.iter().product()];
        self.executor.read(buffer, &mut elements)?;
        Ok(HostTensor::f32(shape, elements).expect("invariant: sizes are the buffer's"))
    }

    /// All parameters by name.
    pub(super) fn parameters(&self) -> Result<Vec<(String, HostTensor)>> {
        let all = self.lasting.parameters();
        all.map(|p| Ok((p.name.clone(), self.tensor(p.parameter)?))).collect()
    }

    /// Row losses are divided by the sum of weights over all rows of a step, penalties by its
    /// number of passes. Rows whose weights are all 0 have a loss of 0.
    pub(super) fn set_share(&mut self, weight: f64, passes: usize) -> Result<()> {
        let normalizer = if weight > 0.0 { 1.0 / weight } else { 0.0 };
        for &buffer in &self.controls.normalizers {
            self.executor.write(buffer, &[normalizer as f32])?;
        }
        let share = (1.0 / passes as f64) as f32;
        Ok(self.executor.write(self.controls.penalty_share, &[share])?)
    }

    /// Lets steps change the parameters again, after one that was not finite.
    pub(super) fn proceed(&mut self) -> Result<()> {
        match self.lasting.halted {
            Some(flag) => Ok(self.executor.write(flag, &[0.0])?),
            None => Ok(()),
        }
    }

    /// Whether the next pass begins a step: its gradients overwrite, later ones add.
    pub(super) fn set_first(&mut self, first: bool) -> Result<()> {
        Ok(self.executor.write(self.controls.first, &[f32::from(u8::from(first))])?)
    }

    /// What augmentation draws by, beside seed and row; exact below 2^24.
    pub(super) fn set_epoch(&mut self, epoch: u64) -> Result<()> {
        Ok(self.executor.write(self.controls.epoch, &[epoch as f32])?)
    }

    pub(super) fn load(&mut self, request: PlanRequest<'_>) -> Result<LoadedPlan> {
        let plan = Arc::new(self.build(&request, request.capacity)?);
        let id = self.executor.load(plan.clone()).map_err(|error| match error {
            DeviceError::OutOfMemory { device, needed, free: Some(free), .. }
                if needed > free && request.mode == Mode::Training =>
            {
                let largest_batch = Some(self.largest_batch(&request, free));
                DeviceError::OutOfMemory { device, needed, free: Some(free), largest_batch }
            }
            error => error,
        })?;
        Ok(LoadedPlan { id, plan })
    }

    fn build(&self, request: &PlanRequest<'_>, capacity: usize) -> Result<Plan> {
        Plan::build(
            &Request {
                model: request.graph,
                outputs: self.network.outputs(),
                losses: &request.losses,
                mode: request.mode,
                capacity,
                accumulate: request.accumulate,
                clip: request.clip,
                gradients: &[],
            },
            &self.lasting,
        )
    }

    /// The most rows, below the request's, of a plan that fits into so many free bytes and leaves
    /// some for what comes with it: graphs, code, the table of a burst.
    fn largest_batch(&self, request: &PlanRequest<'_>, free: u64) -> usize {
        let room = free - (free / 64).min(RESERVE);
        let fits = |rows: usize| {
            let plan = self.build(request, rows).ok();
            plan.and_then(|plan| self.executor.bytes(&plan)).is_some_and(|bytes| bytes <= room)
        };
        let (mut most, mut too_many) = (0, request.capacity);
        while most + 1 < too_many {
            let rows = most + (too_many - most) / 2;
            match fits(rows) {
                true => most = rows,
                false => too_many = rows,
            }
        }
        most
    }

    /// Copies rows of a dataset into a plan's feeds.
    pub(super) fn feed(
        &mut self,
        plan: &LoadedPlan,
        data: &Dataset,
        rows: Taken<'_>,
    ) -> Result<()> {
        for (name, buffer) in &plan.plan.feeds {
            let source = self.source(name, data)?;
            let mut result = Ok(());
            self.executor.feed(plan.id, *buffer, rows.rows.len(), &mut |target| {
                result = gather(data, source, rows, target);
            })?;
            result?;
        }
        Ok(())
    }

    /// The column of a feed: by position where there is one of the kind, else by name.
    pub(super) fn source(&self, feed: &str, data: &Dataset) -> Result<Source, DataError> {
        if feed.starts_with("weights/") {
            return Ok(Source::Weights);
        }
        if feed == augment::ROW {
            return Ok(Source::Keys);
        }
        let (name, columns, single, make): (_, _, _, fn(usize) -> ColumnId) =
            match feed.strip_prefix("target/") {
                Some(name) => {
                    let single = self.network.outputs().len() == 1;
                    (name, data.targets(), single, ColumnId::Target)
                }
                None => {
                    let single = self.network.inputs().len() == 1;
                    (feed, data.inputs(), single, ColumnId::Input)
                }
            };
        let found = match columns {
            [_] if single => Some(0),
            _ => columns.iter().position(|c| c.name == name),
        };
        found.map(|i| Source::Column(make(i))).ok_or_else(|| {
            let names: Vec<_> = columns.iter().map(|c| format!("`{}`", c.name)).collect();
            DataError::Invalid(format!(
                "the model wants a column for `{feed}`, the data has {}",
                if names.is_empty() { "none".into() } else { names.join(", ") }
            ))
        })
    }

    /// A result of a plan.
    pub(super) fn fetch(
        &self,
        plan: &LoadedPlan,
        buffer: BufferId,
        rows: usize,
    ) -> Result<Vec<f32>> {
        let mut elements = vec![0.0; plan.plan.graph.ty(buffer).shape.elements(rows)];
        self.executor.fetch(plan.id, buffer, rows, &mut elements)?;
        Ok(elements)
    }

    /// Runs the forward pass over all rows in batches of the plan's capacity. `each` sees the
    /// batch's first row and number of rows after it ran.
    pub(super) fn forward_all(
        &mut self,
        plan: &LoadedPlan,
        data: &Dataset,
        seed: u64,
        mut each: impl FnMut(&Session, usize, usize) -> Result<()>,
    ) -> Result<()> {
        self.check(plan, data)?;
        let mut batch = Vec::with_capacity(plan.plan.capacity.min(data.len()));
        for first in (0..data.len()).step_by(plan.plan.capacity) {
            batch.clear();
            batch.extend(first..data.len().min(first + plan.plan.capacity));
            self.feed(plan, data, Taken::once(&batch))?;
            let live = Live { rows: batch.len(), seed, step: 0 };
            self.executor.run(plan.id, plan.plan.forward.clone(), &live)?;
            each(self, first, batch.len())?;
        }
        Ok(())
    }

    /// Writes tensors by name into lasting memory.
    ///
    /// # Errors
    /// If a tensor is missing or has another shape; nothing is written then.
    pub(super) fn restore(
        &mut self,
        places: &[(String, BufferId)],
        tensors: &std::collections::BTreeMap<String, HostTensor>,
    ) -> Result<()> {
        let sizes = |buffer: BufferId| self.lasting.graph.ty(buffer).shape.sizes(0);
        check_tensors(places.iter().map(|(name, buffer)| (name, sizes(*buffer))), tensors)?;
        for (name, buffer) in places {
            if let Some(elements) = tensors.get(name).and_then(HostTensor::as_f32) {
                self.executor.write(*buffer, elements)?;
            }
        }
        Ok(())
    }
}

/// Whether there is a tensor of these sizes under each of the names.
pub(super) fn check_tensors<'a>(
    wanted: impl Iterator<Item = (&'a String, Vec<usize>)>,
    tensors: &std::collections::BTreeMap<String, HostTensor>,
) -> Result<(), TrainError> {
    let mut wrong = Vec::new();
    for (name, wanted) in wanted {
        match tensors.get(name) {
            None => wrong.push(format!("`{name}` is missing")),
            Some(t) if t.shape() != wanted || t.as_f32().is_none() => wrong.push(format!(
                "`{name}` is {}{:?}, expected f32{wanted:?}",
                t.dtype(),
                t.shape()
            )),
            Some(_) => {}
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    wrong.truncate(20);
    Err(TrainError::State(format!("tensors do not fit: {}", wrong.join("; "))))
}

/// Copies rows of a column, or their weights.
pub(super) fn gather(
    data: &Dataset,
    source: Source,
    taken: Taken<'_>,
    target: FeedMut<'_>,
) -> Result<(), DataError> {
    let rows = taken.rows;
    match (source, target) {
        (Source::Column(column), FeedMut::F32(target)) => data.gather_f32(column, rows, target),
        (Source::Column(column), FeedMut::U32(target)) => data.gather_u32(column, rows, target),
        (Source::Weights, FeedMut::F32(target)) => {
            gather_weights(data, rows, target);
            Ok(())
        }
        (Source::Keys, FeedMut::U32(target)) => {
            target.iter_mut().zip(taken.keys(data)).for_each(|(target, key)| *target = key);
            Ok(())
        }
        (Source::Weights, FeedMut::U32(_)) | (Source::Keys, FeedMut::F32(_)) => Ok(()),
    }
}

/// Copies rows to place `at` of a target of `all` rows.
pub(super) fn gather_at(
    data: &Dataset,
    source: Source,
    taken: Taken<'_>,
    target: FeedMut<'_>,
    (at, all): (usize, usize),
) -> Result<(), DataError> {
    let range = |elements: usize| {
        let width = elements / all;
        at * width..(at + taken.rows.len()) * width
    };
    let target = match target {
        FeedMut::F32(target) => {
            let range = range(target.len());
            FeedMut::F32(&mut target[range])
        }
        FeedMut::U32(target) => {
            let range = range(target.len());
            FeedMut::U32(&mut target[range])
        }
    };
    gather(data, source, taken, target)
}

fn gather_weights(data: &Dataset, rows: &[usize], target: &mut [f32]) {
    match data.weights() {
        Some(weights) => rows.iter().zip(target).for_each(|(&row, t)| *t = weights[row]),
        None => target.fill(1.0),
    }
}
