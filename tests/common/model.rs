//! Small models of one op or a few values: their plans, the CPU's results, and the gradients of
//! `Σ y · cotangent` by the reference in `f64`.

use std::num::NonZeroUsize;
use std::sync::Arc;

use ironwarp::error::DeviceError;
use ironwarp::exec::cpu::CpuExecutor;
use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::exec::{Executor, FeedMut, PlanId};
use ironwarp::model::Network;
use ironwarp::op::expression::Expr;
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::reduce::{Reduce, Reduction};
use ironwarp::op::reshape::Reshape;
use ironwarp::op::{BufferId, CallTypes, Case, Graph, Live, Mode, Op, ReferenceCall, Role};
use ironwarp::plan::{Clip, Lasting, Plan, Request, RowLoss};
use ironwarp::tensor::Shape;

const SEED: u64 = 5;

/// The step that everything runs in.
pub fn live(rows: usize) -> Live {
    Live { rows, seed: SEED, step: 3 }
}

/// The definition of an op on a case's inputs.
pub fn run_reference(op: &dyn Op, case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let outputs = op.outputs(&case.inputs).expect("the case's types fit");
    let types = CallTypes { inputs: case.inputs.clone(), outputs };
    op.reference(&ReferenceCall {
        types: &types,
        live: live(case.rows),
        inputs: inputs.iter().map(Vec::as_slice).collect(),
        outputs: vec![&[]; types.outputs.len()],
    })
}

/// A graph whose inputs are feeds.
pub struct SmallModel {
    /// Its calls.
    pub graph: Graph,
    /// Inputs by position.
    pub feeds: Vec<BufferId>,
    /// Outputs `y0`, `y1`, ...
    pub outputs: Vec<(String, BufferId)>,
    /// Positions of the outputs that have a gradient.
    pub differentiated: Vec<usize>,
    /// Positions of the inputs that a gradient is wanted for.
    pub wanted: Vec<usize>,
    /// Rows in use.
    pub rows: usize,
    /// What gradients are taken of; see [`SmallModel::with_gradients`].
    pub loss: Option<BufferId>,
}

impl SmallModel {
    /// A case as a model: its inputs are feeds `x0`, `x1`, ...
    pub fn of_case(case: &Case) -> Self {
        let mut graph = Graph::default();
        let feeds: Vec<_> = case
            .inputs
            .iter()
            .enumerate()
            .map(|(i, ty)| graph.add(format!("x{i}"), ty.clone(), Role::Input))
            .collect();
        let outputs = graph.call(case.op.clone(), &feeds, "case").expect("the case's types fit");
        let outputs =
            outputs.into_iter().enumerate().map(|(i, id)| (format!("y{i}"), id)).collect();
        let (differentiated, wanted) = (case.outputs.clone(), case.wanted.clone());
        SmallModel { graph, feeds, outputs, differentiated, wanted, rows: case.rows, loss: None }
    }

    /// A network without parameters as a model: all outputs and inputs have gradients.
    pub fn of_network(network: &Network, rows: usize) -> Self {
        let (inputs, outputs) = (network.inputs(), network.outputs().to_vec());
        SmallModel {
            graph: network.graph().clone(),
            feeds: inputs.iter().map(|(_, id)| *id).collect(),
            differentiated: (0..outputs.len()).collect(),
            outputs,
            wanted: (0..inputs.len()).collect(),
            rows,
            loss: None,
        }
    }

    /// The same with gradients of `Σ y · cotangent` among the outputs, if any is wanted: one more feed
    /// for each output that has a gradient.
    pub fn with_gradients(mut self) -> Self {
        if !self.differentiated.is_empty() && !self.wanted.is_empty() {
            self.loss = Some(self.add_loss());
        }
        self
    }

    /// Adds the loss `Σ y · cotangent` over the outputs that have a gradient.
    fn add_loss(&mut self) -> BufferId {
        let mut terms = Vec::new();
        for &j in &self.differentiated {
            let output = self.outputs[j].1;
            let ty = self.graph.ty(output).clone();
            let axes: Vec<_> = (0..ty.shape.rank()).collect();
            let cotangent = self.graph.add(format!("cotangent{j}"), ty, Role::Input);
            self.feeds.push(cotangent);
            let product = Pointwise::new(2, &(Expr::input(0) * Expr::input(1)));
            let mut call = |op: Arc<dyn Op>, inputs: &[BufferId]| {
                self.graph.call(op, inputs, "loss").expect("types fit")[0]
            };
            let mut term = call(Arc::new(product), &[output, cotangent]);
            if !axes.is_empty() {
                term = call(Arc::new(Reduce::new(Reduction::Sum, &axes, false)), &[term]);
            }
            terms.push(call(Arc::new(Reshape { shape: Shape::fixed(&[1]) }), &[term]));
        }
        let sum = (0..terms.len()).map(Expr::input).reduce(|a, b| a + b).expect("one output");
        let op = Pointwise::new(terms.len(), &sum);
        self.graph.call(Arc::new(op), &terms, "loss").expect("types fit")[0]
    }

    /// Rows that there is memory for: one is not in use and must not show.
    pub fn capacity(&self) -> usize {
        self.rows + 1
    }

    /// The plan and its lasting memory.
    pub fn build(&self) -> (Arc<Plan>, Lasting) {
        let lasting = Lasting::new(&[], &["penalty_share".to_string()]);
        let loss = self.loss;
        let losses: Vec<_> = loss
            .iter()
            .map(|&value| RowLoss { name: "sum".into(), value, factor: 1.0, weighted: false })
            .collect();
        let wanted: Vec<_> = self.wanted.iter().map(|&i| self.feeds[i]).collect();
        let request = Request {
            model: &self.graph,
            outputs: &self.outputs,
            losses: &losses,
            mode: if loss.is_some() { Mode::Training } else { Mode::Evaluation },
            capacity: self.capacity(),
            accumulate: false,
            clip: Clip::None,
            gradients: if loss.is_some() { &wanted } else { &[] },
        };
        (Arc::new(Plan::build(&request, &lasting).expect("a plan")), lasting)
    }

    /// Several cases of one number of rows as one model: feeds and outputs case after case.
    pub fn of_cases(cases: &[Case]) -> Self {
        let mut all = SmallModel::of_case(&cases[0]);
        for case in &cases[1..] {
            let start = all.feeds.len();
            assert_eq!(case.rows, all.rows, "one plan, one number of rows");
            all.differentiated.extend(case.outputs.iter().map(|j| all.outputs.len() + j));
            all.wanted.extend(case.wanted.iter().map(|i| start + i));
            for (i, ty) in case.inputs.iter().enumerate() {
                all.feeds.push(all.graph.add(format!("x{}", start + i), ty.clone(), Role::Input));
            }
            let outputs = all.graph.call(case.op.clone(), &all.feeds[start..], "case");
            for id in outputs.expect("the case's types fit") {
                all.outputs.push((format!("y{}", all.outputs.len()), id));
            }
        }
        all
    }

    /// The outputs by the CPU executor.
    pub fn run_cpu(&self, threads: usize, inputs: &[Vec<f64>]) -> Vec<Vec<f32>> {
        let threads = NonZeroUsize::new(threads).expect("not zero");
        let make = |lasting: &Lasting| CpuExecutor::new(lasting, threads).expect("threads start");
        self.load(make).run(inputs)
    }

    /// The model on an executor: its forward pass, and its backward pass if it has gradients.
    pub fn load<E: Executor>(&self, make: impl FnOnce(&Lasting) -> E) -> Loaded<E> {
        self.try_load(|lasting| Ok(make(lasting))).expect("the plan loads")
    }

    /// The same, failures as values. Rows that are not in use hold NaN, or an index out of range.
    pub fn try_load<E: Executor>(
        &self,
        make: impl FnOnce(&Lasting) -> Result<E, DeviceError>,
    ) -> Result<Loaded<E>, DeviceError> {
        let (plan, lasting) = self.build();
        let mut executor = make(&lasting)?;
        executor.write(lasting.scalar("penalty_share").expect("laid out"), &[1.0])?;
        let id = executor.load(plan.clone())?;
        let feed = |id: &BufferId| plan.feed(&self.graph.buffer(*id).name);
        let feeds: Vec<_> = self.feeds.iter().map(feed).collect();
        for feed in feeds.iter().flatten() {
            executor.feed(id, *feed, plan.capacity, &mut |target: FeedMut<'_>| match target {
                FeedMut::F32(t) => t.fill(f32::NAN),
                FeedMut::U32(t) => t.fill(u32::MAX),
            })?;
        }
        Ok(Loaded { executor, plan, id, feeds, rows: self.rows })
    }
}

/// A small model on an executor.
pub struct Loaded<E> {
    executor: E,
    plan: Arc<Plan>,
    id: PlanId,
    feeds: Vec<Option<BufferId>>,
    rows: usize,
}

impl<E: Executor> Loaded<E> {
    /// Feeds the inputs, runs both passes and returns the outputs, gradients last.
    pub fn run(&mut self, inputs: &[Vec<f64>]) -> Vec<Vec<f32>> {
        self.try_run(inputs, self.rows).expect("the plan runs")
    }

    /// The same, failures as values; `shown` rows of each output, up to [`Loaded::capacity`].
    pub fn try_run(
        &mut self,
        inputs: &[Vec<f64>],
        shown: usize,
    ) -> Result<Vec<Vec<f32>>, DeviceError> {
        for (feed, values) in self.feeds.iter().zip(inputs) {
            let Some(feed) = *feed else { continue };
            let fill = &mut |target: FeedMut<'_>| match target {
                FeedMut::F32(t) => t.iter_mut().zip(values).for_each(|(t, x)| *t = *x as f32),
                FeedMut::U32(t) => t.iter_mut().zip(values).for_each(|(t, x)| *t = *x as u32),
            };
            self.executor.feed(self.id, feed, self.rows, fill)?;
        }
        self.executor.run(self.id, 0..self.plan.backward.end, &live(self.rows))?;
        let fetch = |(_, buffer): &(String, BufferId)| {
            let mut elements = vec![0.0; self.plan.graph.ty(*buffer).shape.elements(shown)];
            self.executor.fetch(self.id, *buffer, shown, &mut elements)?;
            Ok(elements)
        };
        self.plan.outputs.iter().map(fetch).collect()
    }

    /// Rows that there is memory for.
    pub fn capacity(&self) -> usize {
        self.plan.capacity
    }
}

/// Runs the reference in `f64` and returns loss, outputs and gradients of the wanted inputs.
pub struct Differentiator {
    plan: Arc<Plan>,
    executor: ReferenceExecutor,
    id: PlanId,
    feeds: Vec<String>,
    live: Live,
}

impl Differentiator {
    /// Plans the model with the loss `Σ y · cotangent`; `cotangent(j, i)` is that of element `i` of
    /// output `j`.
    pub fn new(model: SmallModel, cotangent: impl Fn(usize, usize) -> f64) -> Self {
        let model = model.with_gradients();
        let (plan, lasting) = model.build();
        let mut executor = ReferenceExecutor::new(&lasting, Rounding::None);
        let share = lasting.scalar("penalty_share").expect("laid out");
        executor.write_f64(share, &[1.0]);
        let id = executor.load(plan.clone()).expect("memory");
        for &j in &model.differentiated {
            if let Some(feed) = plan.feed(&format!("cotangent{j}")) {
                let count = plan.graph.ty(feed).shape.elements(model.rows);
                let values: Vec<_> = (0..count).map(|i| cotangent(j, i)).collect();
                executor.feed_f64(id, feed, &values);
            }
        }
        let feeds = model.feeds.iter().map(|&id| model.graph.buffer(id).name.clone()).collect();
        Differentiator { plan, executor, id, feeds, live: live(model.rows) }
    }

    /// Runs both passes and returns the loss.
    pub fn loss(&mut self, inputs: &[Vec<f64>]) -> f64 {
        for (name, values) in self.feeds.iter().zip(inputs) {
            if let Some(feed) = self.plan.feed(name) {
                self.executor.feed_f64(self.id, feed, values);
            }
        }
        self.executor.run(self.id, 0..self.plan.backward.end, &self.live).expect("the plan runs");
        self.executor.fetch_f64(self.id, self.plan.losses[0].1, self.live.rows)[0]
    }

    /// Output `j`.
    pub fn output(&self, j: usize) -> Vec<f64> {
        self.fetch(&format!("y{j}"))
    }

    /// Gradient of input `i`.
    pub fn gradient(&self, i: usize) -> Vec<f64> {
        self.fetch(&format!("{}.gradient", self.feeds[i]))
    }

    fn fetch(&self, name: &str) -> Vec<f64> {
        let found = self.plan.outputs.iter().find(|(n, _)| n == name);
        let (_, buffer) = found.expect("the output was asked for");
        self.executor.fetch_f64(self.id, *buffer, self.live.rows)
    }
}
