//! A plan on one device with all that it reads filled in: to be checked against the definitions,
//! and timed range by range.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::measure::{Budget, Spread};
use crate::data::{ColumnId, Dataset};
use crate::error::{DeviceError, Result};
use crate::exec::reference::{ReferenceExecutor, Rounding};
use crate::exec::{Device, Executor, FeedMut, PlanId};
use crate::op::{BufferId, Graph, Live, Mode, Op, Role};
use crate::optim::{Optimizer, OptimizerStep};
use crate::plan::{Clip, Lasting, Plan, Request};
use crate::random;
use crate::tensor::{DType, Elements, TensorType};
use crate::train::Trainer;

/// What a plan reads.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// Lasting buffers; the others are zero.
    pub lasting: Vec<(BufferId, Vec<f32>)>,
    /// Feeds, one row after the other, for the plan's whole capacity or less.
    pub feeds: Vec<(BufferId, Elements)>,
}

impl Content {
    /// The feeds of a plan from the first rows of some data.
    ///
    /// # Errors
    /// If the data does not fit the plan.
    pub fn of_data(plan: &Plan, data: &Dataset, rows: usize) -> Result<Content> {
        let all: Vec<usize> = (0..rows).collect();
        let feed = |(name, buffer): &(String, BufferId)| {
            let target = name.starts_with("target/");
            let column = if target { ColumnId::Target(0) } else { ColumnId::Input(0) };
            let ty = plan.graph.ty(*buffer);
            let count = ty.shape.elements(rows);
            let elements = if ty.dtype == DType::U32 {
                let mut elements = vec![0; count];
                data.gather_u32(column, &all, &mut elements)?;
                Elements::U32(elements)
            } else {
                let mut elements = vec![0.0; count];
                data.gather_f32(column, &all, &mut elements)?;
                Elements::F32(elements)
            };
            Ok((*buffer, elements))
        };
        Ok(Content { lasting: vec![], feeds: plan.feeds.iter().map(feed).collect::<Result<_>>()? })
    }

    /// Adds a trainer's parameters.
    ///
    /// # Errors
    /// The device's.
    pub fn with_parameters(mut self, trainer: &Trainer) -> Result<Content> {
        for p in trainer.lasting().parameters() {
            self.lasting.push((p.parameter, trainer.parameter(&p.name)?));
        }
        Ok(self)
    }

    /// Adds the scalars of a first step on so many rows, and the initial values of states.
    pub fn with_scalars(
        mut self,
        lasting: &Lasting,
        optimizer: &dyn Optimizer,
        rows: usize,
    ) -> Self {
        let step =
            OptimizerStep { step: 1, learning_rate: optimizer.learning_rate(), decay_factor: 1.0 };
        for group in &lasting.groups {
            let mut scalars = vec![];
            optimizer.scalars(&step, &mut vec![], &mut scalars);
            let values = scalars.iter().map(|x| vec![*x as f32]);
            self.lasting.extend(group.scalars.iter().copied().zip(values));
        }
        for update in &lasting.updates {
            for (rule, buffer) in update.rule.states.iter().zip(&update.states) {
                let elements = lasting.graph.ty(*buffer).shape.elements(0);
                self.lasting.push((*buffer, vec![rule.initial; elements]));
            }
        }
        for (i, buffer) in lasting.graph.buffers.iter().enumerate() {
            let value = match buffer.name.strip_prefix("control/") {
                Some(name) if name.starts_with("normalizer/") => 1.0 / rows as f32,
                Some("first" | "penalty_share") => 1.0,
                _ => continue,
            };
            self.lasting.push((BufferId(i as u32), vec![value]));
        }
        self
    }

    fn fill(
        &self,
        executor: &mut dyn Executor,
        id: PlanId,
        plan: &Plan,
        rows: usize,
    ) -> Result<(), DeviceError> {
        for (buffer, elements) in &self.lasting {
            executor.write(*buffer, elements)?;
        }
        for (buffer, elements) in &self.feeds {
            let count = plan.graph.ty(*buffer).shape.elements(rows);
            executor.feed(id, *buffer, rows, &mut |target| match (target, elements) {
                (FeedMut::F32(target), Elements::F32(x)) => target.copy_from_slice(&x[..count]),
                (FeedMut::U32(target), Elements::U32(x)) => target.copy_from_slice(&x[..count]),
                _ => {}
            })?;
        }
        Ok(())
    }
}

/// A plan on a device.
pub struct Probe {
    /// The plan.
    pub plan: Arc<Plan>,
    /// Rows in use.
    pub rows: usize,
    lasting: Lasting,
    content: Content,
    executor: Box<dyn Executor>,
    id: PlanId,
    /// Seconds of a run without steps, once it was asked for.
    empty: Option<f64>,
}

impl Probe {
    /// Loads a plan and fills in what it reads, for as many rows as `rows` says.
    ///
    /// # Errors
    /// The device's.
    pub fn new(
        device: &Device,
        lasting: &Lasting,
        plan: Arc<Plan>,
        content: Content,
        rows: usize,
    ) -> Result<Probe> {
        let mut executor = device.executor(lasting)?;
        let id = executor.load(plan.clone())?;
        content.fill(&mut *executor, id, &plan, rows)?;
        Ok(Probe { plan, rows, lasting: lasting.clone(), content, executor, id, empty: None })
    }

    /// One op as a plan: its inputs are feeds, floats in `0..1` and integers below `integers`, neither
    /// zero nor constant; its outputs are kept.
    ///
    /// # Errors
    /// If the op refuses the types, and the device's.
    pub fn of_op(
        device: &Device,
        op: Arc<dyn Op>,
        inputs: &[TensorType],
        rows: usize,
        integers: u32,
    ) -> Result<Probe> {
        let mut graph = Graph::default();
        let place =
            |(i, ty): (usize, &TensorType)| graph.add(format!("x{i}"), ty.clone(), Role::Input);
        let ids: Vec<_> = inputs.iter().enumerate().map(place).collect();
        let outputs =
            graph.call(op, &ids, "op").map_err(|e| crate::error::PlanError::Unsupported(e.0))?;
        let outputs: Vec<_> =
            outputs.into_iter().enumerate().map(|(i, id)| (format!("y{i}"), id)).collect();
        let lasting = Lasting::new(&[], &[]);
        let plan = Arc::new(evaluation(&graph, &outputs, rows, &lasting)?);
        let feeds = plan.feeds.iter().enumerate().map(|(i, (_, buffer))| {
            let ty = plan.graph.ty(*buffer);
            (*buffer, numbers(ty, rows, i as u32, integers))
        });
        let content = Content { lasting: vec![], feeds: feeds.collect() };
        Probe::new(device, &lasting, plan, content, rows)
    }

    /// Runs a range of steps, not waiting for it.
    ///
    /// # Errors
    /// The device's.
    pub fn run(&mut self, steps: Range<usize>) -> Result<(), DeviceError> {
        let live = Live { rows: self.rows, seed: 0, step: 1 };
        self.executor.run(self.id, steps, &live)
    }

    /// Seconds that a range of steps takes, device waited for, less what a run without steps takes:
    /// waking threads, or sending the control block. What the range reads must have been written.
    ///
    /// # Errors
    /// The device's.
    pub fn time(&mut self, steps: Range<usize>, budget: Budget) -> Result<Spread, DeviceError> {
        let empty = match self.empty {
            Some(seconds) => seconds,
            None => self.time_all(0..0, Budget::TINY)?.best,
        };
        self.empty = Some(empty);
        Ok(self.time_all(steps, budget)?.less(empty))
    }

    fn time_all(&mut self, steps: Range<usize>, budget: Budget) -> Result<Spread, DeviceError> {
        budget.per_call(|repeat| {
            (0..repeat).try_for_each(|_| self.run(steps.clone()))?;
            self.executor.wait()
        })
    }

    /// Waits for what runs.
    ///
    /// # Errors
    /// The device's.
    pub fn wait(&mut self) -> Result<(), DeviceError> {
        self.executor.wait()
    }

    /// Fills in anew what the plan reads.
    ///
    /// # Errors
    /// The device's.
    pub fn reset(&mut self) -> Result<(), DeviceError> {
        self.content.fill(&mut *self.executor, self.id, &self.plan, self.rows)
    }

    /// Bytes of the plan's arena and of lasting memory.
    pub fn bytes(&self) -> usize {
        self.plan.bytes + self.lasting.bytes
    }

    /// Kernels that a range launches; on the CPU its steps, save those that only name a part of a
    /// buffer.
    pub fn launches(&self, steps: Range<usize>) -> usize {
        let own = self.plan.graph.steps[steps.clone()].iter().filter(|step| !step.op.is_view());
        self.executor.launches(self.id, steps).unwrap_or_else(|| own.count())
    }

    /// Bytes that were filled in.
    pub fn content_bytes(&self) -> usize {
        let lasting = self.content.lasting.iter().map(|(_, values)| values.len());
        let feeds = self.content.feeds.iter().map(|(_, elements)| elements.len());
        4 * lasting.chain(feeds).sum::<usize>()
    }

    /// Floating-point operations of a range.
    pub fn flops(&self, steps: Range<usize>) -> u64 {
        let graph = &self.plan.graph;
        let each = graph.steps[steps].iter();
        each.map(|step| step.op.flops(&graph.call_types(step), self.rows)).sum()
    }

    /// Runs some steps on the plan's first rows from the beginning, by the device and by the
    /// definitions in `f64`, and says what differs by more than roundings explain, if anything does.
    /// Afterwards all is as it was when made.
    ///
    /// # Errors
    /// The device's.
    pub fn problem(&mut self, steps: Range<usize>, rows: usize) -> Result<Option<String>> {
        let live = Live { rows, seed: 0, step: 1 };
        let mut judge = ReferenceExecutor::new(&self.lasting, Rounding::None);
        let judged = judge.load(self.plan.clone())?;
        for (executor, id) in [(&mut *self.executor, self.id), (&mut judge, judged)] {
            // What comes before is run for what these steps read of it.
            for range in [0..steps.start, steps.clone()].into_iter().filter(|r| !r.is_empty()) {
                self.content.fill(executor, id, &self.plan, rows)?;
                executor.run(id, range, &live)?;
            }
        }
        let allowed = self.allowed(&steps, rows);
        let mut problem = None;
        for (name, buffer, lasting) in self.results(&steps) {
            let mut got = vec![0.0; self.plan.graph.ty(buffer).shape.elements(rows)];
            match lasting {
                true => self.executor.read(buffer, &mut got)?,
                false => self.executor.fetch(self.id, buffer, rows, &mut got)?,
            }
            let wanted = match lasting {
                true => judge.read_f64(buffer),
                false => judge.fetch_f64(judged, buffer, rows),
            };
            let difference = distance(&got, &wanted);
            if difference > allowed {
                problem.get_or_insert(format!(
                    "`{name}` differs from the definition by {difference:.1e} of its length, \
                     roundings explain {allowed:.1e}"
                ));
            }
        }
        self.reset()?;
        Ok(problem)
    }

    /// What is compared: outputs, losses, gradients and parameters that some of the steps write;
    /// whether each is lasting.
    fn results(&self, steps: &Range<usize>) -> Vec<(String, BufferId, bool)> {
        let graph = &self.plan.graph;
        let own = self.plan.outputs.iter().chain(&self.plan.losses);
        let own = own.map(|(name, id)| (name.clone(), *id, false));
        let lasting = self.lasting.parameters().flat_map(|p| {
            let gradient = p.gradient.map(|id| (format!("{}.gradient", p.name), id, true));
            gradient.into_iter().chain([(p.name.clone(), p.parameter, true)])
        });
        let written = graph.steps[steps.clone()].iter().flat_map(|step| &step.outputs);
        let written: BTreeSet<_> = written.map(|id| graph.root(*id).0).collect();
        own.chain(lasting).filter(|(_, id, _)| written.contains(&graph.root(*id).0)).collect()
    }

    /// The part of a result's length that it may be off: half a unit in the last place for each
    /// operation behind an element of it, along the longest way through the plan, where every step
    /// is taken to follow the one before.
    fn allowed(&self, steps: &Range<usize>, rows: usize) -> f64 {
        let graph = &self.plan.graph;
        let operations = graph.steps[steps.clone()].iter().map(|step| {
            let types = graph.call_types(step);
            let elements =
                |types: &[TensorType]| types.iter().map(|t| t.shape.elements(rows)).max();
            let outputs = elements(&types.outputs).unwrap_or(1).max(1) as f64;
            let inputs = elements(&types.inputs).unwrap_or(0) as f64;
            1.0 + (step.op.flops(&types, rows) as f64).max(inputs) / outputs
        });
        operations.sum::<f64>() * f64::from(f32::EPSILON) / 2.0
    }
}

/// A plan for evaluation.
pub(super) fn evaluation(
    model: &Graph,
    outputs: &[(String, BufferId)],
    capacity: usize,
    lasting: &Lasting,
) -> Result<Plan> {
    let request = Request {
        model,
        outputs,
        losses: &[],
        mode: Mode::Evaluation,
        capacity,
        accumulate: false,
        clip: Clip::None,
        gradients: &[],
    };
    Plan::build(&request, lasting)
}

/// Numbers for a feed of this type.
fn numbers(ty: &TensorType, rows: usize, stream: u32, integers: u32) -> Elements {
    let count = ty.shape.elements(rows);
    if ty.dtype == DType::U32 {
        let each = (0..count as u64).map(|i| random::word(1, stream, 0, i) % integers);
        return Elements::U32(each.collect());
    }
    let mut values = vec![0.0; count];
    random::fill_uniform(1, stream, 0, 0, &mut values);
    Elements::F32(values)
}

/// The length of the difference relative to that of `wanted`; infinite where something is not finite.
fn distance(got: &[f32], wanted: &[f64]) -> f64 {
    let squares = got.iter().zip(wanted).map(|(g, w)| (f64::from(*g) - w).powi(2)).sum::<f64>();
    let length = wanted.iter().map(|w| w * w).sum::<f64>();
    match (squares / length).sqrt() {
        _ if squares == 0.0 => 0.0,
        distance if distance.is_finite() => distance,
        _ => f64::INFINITY,
    }
}
