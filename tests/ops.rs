//! Every op, over its own cases: the fast CPU form against the definition, gradients against finite
//! differences, thread counts against each other, and the attributes through JSON.

mod common;

use std::num::NonZeroUsize;
use std::sync::Arc;

use common::{bounds, inputs};
use ironwarp::exec::cpu::CpuExecutor;
use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::exec::{Executor, FeedMut};
use ironwarp::op::expression::Expr;
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::reduce::{Reduce, Reduction};
use ironwarp::op::reshape::Reshape;
use ironwarp::op::{
    BufferId, CallTypes, Case, Graph, Live, Mode, Op, ReferenceCall, Registry, Role,
};
use ironwarp::plan::{Clip, Lasting, Plan, Request, RowLoss};
use ironwarp::tensor::{Shape, TensorType};

const SEED: u64 = 5;

fn live(case: &Case) -> Live {
    Live { rows: case.rows, seed: SEED, step: 3 }
}

/// The definition of an op on a case's inputs.
pub fn run_reference(op: &dyn Op, case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let outputs = op.outputs(&case.inputs).expect("the case's types fit");
    let types = CallTypes { inputs: case.inputs.clone(), outputs };
    op.reference(&ReferenceCall {
        types: &types,
        live: live(case),
        inputs: inputs.iter().map(Vec::as_slice).collect(),
        outputs: vec![&[]; types.outputs.len()],
    })
}

/// A case as a model: its inputs are feeds `x0`, `x1`, ...; its outputs are `y0`, `y1`, ...
struct CaseModel {
    graph: Graph,
    feeds: Vec<BufferId>,
    outputs: Vec<(String, BufferId)>,
}

fn model(case: &Case) -> CaseModel {
    let mut graph = Graph::default();
    let feeds: Vec<_> = case
        .inputs
        .iter()
        .enumerate()
        .map(|(i, ty)| graph.add(format!("x{i}"), ty.clone(), Role::Input))
        .collect();
    let outputs = graph.call(case.op.clone(), &feeds, "case").expect("the case's types fit");
    let outputs = outputs.into_iter().enumerate().map(|(i, id)| (format!("y{i}"), id)).collect();
    CaseModel { graph, feeds, outputs }
}

/// Adds the loss `Σ y · cotangent` over the outputs that have a gradient.
fn add_loss(case: &Case, model: &mut CaseModel) -> BufferId {
    let mut terms = Vec::new();
    for &j in &case.outputs {
        let output = model.outputs[j].1;
        let ty = model.graph.ty(output).clone();
        let axes: Vec<_> = (0..ty.shape.rank()).collect();
        let cotangent = model.graph.add(format!("cotangent{j}"), ty, Role::Input);
        let product = Pointwise::new(2, &(Expr::input(0) * Expr::input(1)));
        let mut call = |op: Arc<dyn Op>, inputs: &[BufferId]| {
            model.graph.call(op, inputs, "loss").expect("types fit")[0]
        };
        let mut term = call(Arc::new(product), &[output, cotangent]);
        if !axes.is_empty() {
            term = call(Arc::new(Reduce::new(Reduction::Sum, &axes, false)), &[term]);
        }
        terms.push(call(Arc::new(Reshape { shape: Shape::fixed(&[1]) }), &[term]));
    }
    let sum = (0..terms.len()).map(Expr::input).reduce(|a, b| a + b).expect("one output");
    let op = Pointwise::new(terms.len(), &sum);
    model.graph.call(Arc::new(op), &terms, "loss").expect("types fit")[0]
}

fn build(case: &Case, model: &CaseModel, loss: Option<BufferId>) -> (Arc<Plan>, Lasting) {
    let lasting = Lasting::new(&[], &["penalty_share".to_string()]);
    let losses: Vec<_> = loss
        .iter()
        .map(|&value| RowLoss { name: "sum".into(), value, factor: 1.0, weighted: false })
        .collect();
    let wanted: Vec<_> = case.wanted.iter().map(|&i| model.feeds[i]).collect();
    let request = Request {
        model: &model.graph,
        outputs: &model.outputs,
        losses: &losses,
        mode: if loss.is_some() { Mode::Training } else { Mode::Evaluation },
        capacity: case.rows,
        accumulate: false,
        clip: Clip::None,
        gradients: if loss.is_some() { &wanted } else { &[] },
    };
    (Arc::new(Plan::build(&request, &lasting).expect("a plan")), lasting)
}

fn run_cpu(case: &Case, threads: usize, inputs: &[Vec<f64>]) -> Vec<Vec<f32>> {
    let (plan, lasting) = build(case, &model(case), None);
    let threads = NonZeroUsize::new(threads).expect("not zero");
    let mut cpu = CpuExecutor::new(&lasting, threads).expect("threads start");
    let id = cpu.load(plan.clone()).expect("memory");
    for (name, feed) in &plan.feeds {
        let n: usize = name[1..].parse().expect("x and a number");
        cpu.feed(id, *feed, case.rows, &mut |target| match target {
            FeedMut::F32(t) => t.iter_mut().zip(&inputs[n]).for_each(|(t, x)| *t = *x as f32),
            FeedMut::U32(t) => t.iter_mut().zip(&inputs[n]).for_each(|(t, x)| *t = *x as u32),
        });
    }
    cpu.run(id, plan.forward.clone(), &live(case));
    plan.outputs
        .iter()
        .map(|(_, buffer)| {
            let mut elements = vec![0.0; plan.graph.ty(*buffer).shape.elements(case.rows)];
            cpu.fetch(id, *buffer, case.rows, &mut elements);
            elements
        })
        .collect()
}

fn name(case: &Case) -> String {
    let types: Vec<_> = case.inputs.iter().map(TensorType::to_string).collect();
    format!("{} on {} with {} rows", case.op.label(), types.join(", "), case.rows)
}

#[test]
fn fast_forms_agree_with_the_definitions() {
    let mut worst = (0.0, String::new());
    for case in Registry::standard().cases() {
        for seed in 0..2 {
            let inputs = inputs(&case, seed);
            let expected = run_reference(&*case.op, &case, &inputs);
            let bounds = bounds::bounds(&case, &inputs, &expected);
            let got = run_cpu(&case, 2, &inputs);
            for (j, ((got, expected), bounds)) in got.iter().zip(&expected).zip(&bounds).enumerate()
            {
                assert_eq!(got.len(), expected.len(), "{}", name(&case));
                for (i, ((g, e), b)) in got.iter().zip(expected).zip(bounds).enumerate() {
                    let error = (f64::from(*g) - e).abs();
                    assert!(
                        error <= *b,
                        "{}: output {j}, element {i}: got {g}, expected {e}, error {error:e}, \
                         bound {b:e}",
                        name(&case)
                    );
                    if *b > 0.0 && error / b > worst.0 {
                        worst = (error / b, name(&case));
                    }
                }
            }
        }
    }
    println!("largest error is {:.2} of its bound: {}", worst.0, worst.1);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for case in Registry::standard().cases() {
        let inputs = inputs(&case, 0);
        let one: Vec<Vec<u32>> = bits(&run_cpu(&case, 1, &inputs));
        for threads in [2, 3, 8] {
            assert_eq!(one, bits(&run_cpu(&case, threads, &inputs)), "{}", name(&case));
        }
    }
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
}

/// Runs the reference in `f64` and returns loss and gradients of the wanted inputs.
struct Differentiator {
    plan: Arc<Plan>,
    executor: ReferenceExecutor,
    id: ironwarp::exec::PlanId,
    live: Live,
}

impl Differentiator {
    fn new(case: &Case) -> Self {
        let mut model = model(case);
        let loss = add_loss(case, &mut model);
        let (plan, lasting) = build(case, &model, Some(loss));
        let mut executor = ReferenceExecutor::new(&lasting, Rounding::None);
        let share = lasting.scalar("penalty_share").expect("laid out");
        executor.write_f64(share, &[1.0]);
        let id = executor.load(plan.clone()).expect("memory");
        for &j in &case.outputs {
            if let Some(feed) = plan.feed(&format!("cotangent{j}")) {
                let count = plan.graph.ty(feed).shape.elements(case.rows);
                let values: Vec<_> =
                    (0..count).map(|i| common::sample(900 + j as u32, i, (0.2, 1.0))).collect();
                executor.feed_f64(id, feed, &values);
            }
        }
        Differentiator { plan, executor, id, live: live(case) }
    }

    fn loss(&mut self, inputs: &[Vec<f64>]) -> f64 {
        for (i, values) in inputs.iter().enumerate() {
            if let Some(feed) = self.plan.feed(&format!("x{i}")) {
                self.executor.feed_f64(self.id, feed, values);
            }
        }
        self.executor.run(self.id, 0..self.plan.backward.end, &self.live);
        self.executor.fetch_f64(self.id, self.plan.losses[0].1, self.live.rows)[0]
    }

    fn gradient(&self, i: usize) -> Vec<f64> {
        let name = format!("x{i}.gradient");
        let found = self.plan.outputs.iter().find(|(n, _)| *n == name);
        let (_, buffer) = found.expect("the gradient was asked for");
        self.executor.fetch_f64(self.id, *buffer, self.live.rows)
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    const STEP: f64 = 1e-3;
    for case in Registry::standard().cases().iter().filter(|c| !c.outputs.is_empty()) {
        let inputs = inputs(case, 0);
        let mut differentiator = Differentiator::new(case);
        differentiator.loss(&inputs);
        let gradients: Vec<_> = case.wanted.iter().map(|&i| differentiator.gradient(i)).collect();
        // A random direction over all wanted inputs.
        let direction: Vec<Vec<f64>> = case
            .wanted
            .iter()
            .map(|&i| {
                let stream = 700 + i as u32;
                (0..inputs[i].len()).map(|e| common::sample(stream, e, (-1.0, 1.0))).collect()
            })
            .collect();
        let dot = |a: &[Vec<f64>], b: &[Vec<f64>]| -> f64 {
            a.iter().flatten().zip(b.iter().flatten()).map(|(x, y)| x * y).sum()
        };
        let length = dot(&direction, &direction).sqrt();
        let mut at = |scale: f64| {
            let mut moved = inputs.clone();
            for (n, &i) in case.wanted.iter().enumerate() {
                for (x, d) in moved[i].iter_mut().zip(&direction[n]) {
                    *x += scale * STEP * d / length;
                }
            }
            differentiator.loss(&moved)
        };
        let numeric = (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * STEP);
        let symbolic = dot(&gradients, &direction) / length;
        let scale = dot(&gradients, &gradients).sqrt().max(at(0.0).abs()).max(1.0);
        assert!(
            (numeric - symbolic).abs() <= bounds::FINITE_DIFFERENCES * scale,
            "{}: gradient {symbolic}, finite differences {numeric}",
            name(case)
        );
    }
}

#[test]
fn ops_come_back_from_their_attributes() {
    let registry = Registry::standard();
    for case in registry.cases() {
        let again = registry.make(case.op.name(), case.op.attributes()).expect("known attributes");
        assert_eq!(format!("{again:?}"), format!("{:?}", case.op));
        assert_eq!(again.attributes(), case.op.attributes());
    }
}
