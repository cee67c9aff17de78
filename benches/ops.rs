//! Op families on the CPU beside what the machine reaches in the same run: a copy that moves as many
//! bytes, or a large product's arithmetic, whichever takes longer. An op that only reads may be
//! faster than a copy. A result that differs from the definition is not timed.

use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ironwarp::exec::cpu::{CpuExecutor, default_threads};
use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::exec::{Executor, FeedMut, PlanId};
use ironwarp::op::concatenate::Concatenate;
use ironwarp::op::expression::Expr;
use ironwarp::op::gather::{Gather, GatherGradient};
use ironwarp::op::matmul::Matmul;
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::reduce::{Reduce, Reduction};
use ironwarp::op::softmax::Softmax;
use ironwarp::op::softmax_cross_entropy::SoftmaxCrossEntropy;
use ironwarp::op::{BufferId, Graph, Live, Mode, Op, Role};
use ironwarp::plan::{Clip, Lasting, Plan, Request};
use ironwarp::random;
use ironwarp::tensor::{DType, Shape, TensorType};

/// Rows of every case: a few megabytes, past the second-level cache.
const ROWS: usize = 2048;
const INDICES: u32 = 512;

fn rows(dims: &[usize]) -> TensorType {
    TensorType::f32(Shape::rows(dims))
}

fn fixed(dims: &[usize]) -> TensorType {
    TensorType::f32(Shape::fixed(dims))
}

fn indices() -> TensorType {
    TensorType::new(DType::U32, Shape::rows(&[]))
}

/// One op of each family at a size of practice.
fn cases() -> Vec<(&'static str, Arc<dyn Op>, Vec<TensorType>)> {
    let x = Expr::input(0);
    let gelu = x.clone() * 0.5 * ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0);
    let table = INDICES as usize;
    vec![
        ("matmul nt", Arc::new(Matmul::nt()), vec![rows(&[512]), fixed(&[512, 512])]),
        ("matmul tn", Arc::new(Matmul::tn()), vec![rows(&[512]), rows(&[512])]),
        (
            "pointwise add",
            Arc::new(Pointwise::new(2, &(&x + Expr::input(1)))),
            vec![rows(&[512]); 2],
        ),
        ("pointwise gelu", Arc::new(Pointwise::new(1, &gelu)), vec![rows(&[512])]),
        ("sum of rows", Arc::new(Reduce::new(Reduction::Sum, &[1], true)), vec![rows(&[512])]),
        ("sum of columns", Arc::new(Reduce::new(Reduction::Sum, &[0], true)), vec![rows(&[512])]),
        ("softmax", Arc::new(Softmax { log: false }), vec![rows(&[512])]),
        (
            "cross-entropy",
            Arc::new(SoftmaxCrossEntropy { label_smoothing: 0.0 }),
            vec![rows(&[512]), indices()],
        ),
        ("gather", Arc::new(Gather), vec![fixed(&[table, 512]), indices()]),
        (
            "gather gradient",
            Arc::new(GatherGradient { rows: table }),
            vec![indices(), rows(&[512])],
        ),
        ("concatenate", Arc::new(Concatenate { axis: 1 }), vec![rows(&[256]), rows(&[256])]),
    ]
}

/// Neither zero nor constant; integers below [`INDICES`].
fn value(feed: usize, i: usize) -> f64 {
    f64::from(random::uniform(1, feed as u32, 0, i as u64))
}

/// The op as a plan: feeds by position, its outputs kept.
struct Case {
    plan: Arc<Plan>,
    lasting: Lasting,
    feeds: Vec<BufferId>,
}

impl Case {
    fn new(op: Arc<dyn Op>, inputs: &[TensorType]) -> Case {
        let mut graph = Graph::default();
        let place =
            |(i, ty): (usize, &TensorType)| graph.add(format!("x{i}"), ty.clone(), Role::Input);
        let ids: Vec<_> = inputs.iter().enumerate().map(place).collect();
        let outputs: Vec<_> = graph
            .call(op, &ids, "op")
            .expect("types fit")
            .into_iter()
            .enumerate()
            .map(|(i, id)| (format!("y{i}"), id))
            .collect();
        let lasting = Lasting::new(&[], &[]);
        let request = Request {
            model: &graph,
            outputs: &outputs,
            losses: &[],
            mode: Mode::Evaluation,
            capacity: ROWS,
            accumulate: false,
            clip: Clip::None,
            gradients: &[],
        };
        let plan = Arc::new(Plan::build(&request, &lasting).expect("a plan"));
        let feeds = (0..inputs.len()).filter_map(|i| plan.feed(&format!("x{i}"))).collect();
        Case { plan, lasting, feeds }
    }

    fn load(&self, executor: &mut dyn Executor) -> PlanId {
        let id = executor.load(self.plan.clone()).expect("memory");
        for (n, feed) in self.feeds.iter().enumerate() {
            let fill = &mut |target: FeedMut<'_>| match target {
                FeedMut::F32(t) => {
                    t.iter_mut().enumerate().for_each(|(i, t)| *t = value(n, i) as f32)
                }
                FeedMut::U32(t) => t
                    .iter_mut()
                    .enumerate()
                    .for_each(|(i, t)| *t = (value(n, i) * f64::from(INDICES)) as u32),
            };
            executor.feed(id, *feed, ROWS, fill).expect("memory");
        }
        executor.run(id, self.plan.forward.clone(), &LIVE).expect("the plan runs");
        id
    }

    /// Largest difference of a result from the definition, relative to the largest result.
    fn difference(&self, cpu: &CpuExecutor, id: PlanId) -> f64 {
        let mut judge = ReferenceExecutor::new(&self.lasting, Rounding::None);
        let reference = self.load(&mut judge);
        let mut worst = 0.0f64;
        for (_, output) in &self.plan.outputs {
            let mut got = vec![0.0; self.plan.graph.ty(*output).shape.elements(ROWS)];
            cpu.fetch(id, *output, ROWS, &mut got).expect("memory");
            let wanted = judge.fetch_f64(reference, *output, ROWS);
            let largest = wanted.iter().fold(1e-30f64, |m, x| m.max(x.abs()));
            let errors = got.iter().zip(&wanted).map(|(g, w)| (f64::from(*g) - w).abs() / largest);
            worst = errors.fold(worst, f64::max);
        }
        worst
    }

    fn bytes(&self) -> u64 {
        let outputs = self.plan.outputs.iter().map(|(_, id)| id);
        let each = self.feeds.iter().chain(outputs);
        each.map(|id| self.plan.graph.ty(*id).bytes(ROWS) as u64).sum()
    }

    fn flops(&self) -> u64 {
        let graph = &self.plan.graph;
        graph.steps.iter().map(|step| step.op.flops(&graph.call_types(step), ROWS)).sum()
    }
}

const LIVE: Live = Live { rows: ROWS, seed: 0, step: 1 };

/// Best of some runs, in seconds.
fn best(mut run: impl FnMut()) -> f64 {
    let once = |_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    };
    (0..20).map(once).fold(f64::INFINITY, f64::min)
}

fn ops(c: &mut Criterion) {
    let seconds = |case: &Case| {
        let mut cpu = CpuExecutor::new(&case.lasting, default_threads()).expect("threads start");
        let id = case.load(&mut cpu);
        best(|| cpu.run(id, case.plan.forward.clone(), &LIVE).expect("the plan runs"))
    };
    let product = Case::new(Arc::new(Matmul::nt()), &[rows(&[1024]), fixed(&[1024, 1024])]);
    let gemm = product.flops() as f64 / seconds(&product);
    println!("a product of {ROWS} x 1024 x 1024: {:.0} GFLOP/s", gemm / 1e9);
    let mut group = c.benchmark_group("ops");
    for (name, op, inputs) in cases() {
        let case = Case::new(op, &inputs);
        let mut cpu = CpuExecutor::new(&case.lasting, default_threads()).expect("threads start");
        let id = case.load(&mut cpu);
        // A sum of `ROWS` terms in f32 is off by far less, a wrong result by far more.
        assert!(
            case.difference(&cpu, id) < ROWS as f64 * f64::from(f32::EPSILON),
            "{name} is wrong"
        );
        let run = || cpu.run(id, case.plan.forward.clone(), &LIVE).expect("the plan runs");
        let width = (case.bytes() as usize / (8 * ROWS)).max(1);
        let copy = Pointwise::new(1, &(Expr::input(0) * 0.999));
        let copy = seconds(&Case::new(Arc::new(copy), &[rows(&[width])]));
        let limit = copy.max(case.flops() as f64 / gemm);
        println!("{name}: {:.0} % of the speed of a copy or product", 100.0 * limit / best(run));
        group.throughput(Throughput::Bytes(case.bytes())).sample_size(20);
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| cpu.run(id, case.plan.forward.clone(), &LIVE).expect("the plan runs"));
        });
    }
    group.finish();
}

criterion_group!(benches, ops);
criterion_main!(benches);
