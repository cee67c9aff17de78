//! Op families on the CPU beside what the machine reaches in the same run: a copy that moves as many
//! bytes, or a large product's arithmetic, whichever takes longer. An op that only reads may be
//! faster than a copy. A result that differs from the definition is not timed.

use std::sync::Arc;
use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ironwarp::bench::probe::Probe;
use ironwarp::exec::Device;
use ironwarp::op::Op;
use ironwarp::op::concatenate::Concatenate;
use ironwarp::op::expression::Expr;
use ironwarp::op::gather::{Gather, GatherGradient};
use ironwarp::op::layer_norm::{LayerNorm, LayerNormGradient};
use ironwarp::op::matmul::Matmul;
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::reduce::{Reduce, Reduction};
use ironwarp::op::rms_norm::{RmsNorm, RmsNormGradient};
use ironwarp::op::slice::{Pad, Slice};
use ironwarp::op::softmax::{Softmax, SoftmaxGradient};
use ironwarp::op::softmax_cross_entropy::{
    SoftmaxCrossEntropy, SoftmaxCrossEntropyGradient, SoftmaxCrossEntropyWithGradient,
};
use ironwarp::op::transpose::Transpose;
use ironwarp::tensor::{DType, Shape, TensorType};

/// Rows of every case: a few megabytes, past the second-level cache.
const ROWS: usize = 2048;
const WIDTH: usize = 512;
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

type Ops = Vec<(&'static str, Arc<dyn Op>, Vec<TensorType>)>;

/// One op of each family at a size of practice.
fn cases() -> Ops {
    let table = INDICES as usize;
    let wide = || rows(&[WIDTH]);
    let reduce = |reduction, axis| Arc::new(Reduce::new(reduction, &[axis], true));
    let mut cases: Ops = vec![
        ("matmul nt", Arc::new(Matmul::nt()), vec![wide(), fixed(&[512, WIDTH])]),
        ("matmul tn", Arc::new(Matmul::tn()), vec![wide(), wide()]),
        ("sum of rows", reduce(Reduction::Sum, 1), vec![wide()]),
        ("sum of columns", reduce(Reduction::Sum, 0), vec![wide()]),
        ("largest of rows", reduce(Reduction::Max, 1), vec![wide()]),
        ("largest of columns", reduce(Reduction::Max, 0), vec![wide()]),
        ("gather", Arc::new(Gather), vec![fixed(&[table, WIDTH]), indices()]),
        ("gather gradient", Arc::new(GatherGradient { rows: table }), vec![indices(), wide()]),
        ("concatenate", Arc::new(Concatenate { axis: 1 }), vec![rows(&[256]), rows(&[256])]),
        ("slice", Arc::new(Slice { axis: 1, range: 128..384 }), vec![wide()]),
        ("pad", Arc::new(Pad { axis: 1, before: 128, after: 128 }), vec![rows(&[256])]),
        ("transpose", Arc::new(Transpose { axes: vec![0, 2, 1] }), vec![rows(&[16, 32])]),
        (
            "transpose heads",
            Arc::new(Transpose { axes: vec![0, 2, 1, 3] }),
            vec![rows(&[4, 4, 32])],
        ),
    ];
    cases.extend(pointwise());
    cases.extend(of_rows());
    cases
}

fn pointwise() -> Ops {
    let x = Expr::input(0);
    let gelu = x.clone() * 0.5 * ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0);
    let add = &x + Expr::input(1);
    let wide = || rows(&[WIDTH]);
    vec![
        ("pointwise add", Arc::new(Pointwise::new(2, &add)), vec![wide(), wide()]),
        ("pointwise add bias", Arc::new(Pointwise::new(2, &add)), vec![wide(), fixed(&[WIDTH])]),
        ("pointwise gelu", Arc::new(Pointwise::new(1, &gelu)), vec![wide()]),
        ("pointwise tanh", Arc::new(Pointwise::new(1, &x.tanh())), vec![wide()]),
    ]
}

/// Ops that take whole rows.
fn of_rows() -> Ops {
    let (wide, one, parameter) = (|| rows(&[WIDTH]), || rows(&[]), || fixed(&[WIDTH]));
    let (axes, epsilon, label_smoothing) = (1, 1e-5, 0.0);
    let statistic = || rows(&[1]);
    vec![
        ("softmax", Arc::new(Softmax { log: false }), vec![wide()]),
        ("softmax gradient", Arc::new(SoftmaxGradient { log: false }), vec![wide(), wide()]),
        (
            "cross-entropy",
            Arc::new(SoftmaxCrossEntropy { label_smoothing }),
            vec![wide(), indices()],
        ),
        (
            "cross-entropy gradient",
            Arc::new(SoftmaxCrossEntropyGradient { label_smoothing }),
            vec![wide(), indices(), one(), one()],
        ),
        (
            "cross-entropy with gradient",
            Arc::new(SoftmaxCrossEntropyWithGradient { label_smoothing }),
            vec![wide(), indices(), fixed(&[1])],
        ),
        (
            "layer norm",
            Arc::new(LayerNorm { axes, epsilon }),
            vec![wide(), parameter(), parameter()],
        ),
        (
            "layer norm gradient",
            Arc::new(LayerNormGradient { axes, bias: true }),
            vec![wide(), statistic(), statistic(), wide(), parameter()],
        ),
        ("rms norm", Arc::new(RmsNorm { axes, epsilon }), vec![wide(), parameter()]),
        (
            "rms norm gradient",
            Arc::new(RmsNormGradient { axes }),
            vec![wide(), statistic(), wide(), parameter()],
        ),
    ]
}

fn probe(op: Arc<dyn Op>, inputs: &[TensorType]) -> Probe {
    Probe::of_op(&Device::cpu(), op, inputs, ROWS, INDICES).expect("types fit")
}

/// Inputs and outputs.
fn bytes(probe: &Probe) -> u64 {
    let plan = &probe.plan;
    let each = plan.feeds.iter().chain(&plan.outputs);
    each.map(|(_, id)| plan.graph.ty(*id).bytes(ROWS) as u64).sum()
}

/// Best of some runs, in seconds.
fn best(probe: &mut Probe) -> f64 {
    let whole = 0..probe.plan.graph.steps.len();
    let mut once = || {
        let started = Instant::now();
        probe.run(whole.clone()).expect("the plan runs");
        started.elapsed().as_secs_f64()
    };
    (0..20).map(|_| once()).fold(f64::INFINITY, f64::min)
}

fn ops(c: &mut Criterion) {
    let mut product = probe(Arc::new(Matmul::nt()), &[rows(&[1024]), fixed(&[1024, 1024])]);
    let gemm = product.flops(0..1) as f64 / best(&mut product);
    println!("a product of {ROWS} x 1024 x 1024: {:.0} GFLOP/s", gemm / 1e9);
    let mut group = c.benchmark_group("ops");
    for (name, op, inputs) in cases() {
        let mut case = probe(op, &inputs);
        let whole = 0..case.plan.graph.steps.len();
        let problem = case.problem(whole.clone(), ROWS).expect("the plan runs");
        assert!(problem.is_none(), "{name}: {problem:?}");
        let width = (bytes(&case) as usize / (8 * ROWS)).max(1);
        let copy = Pointwise::new(1, &(Expr::input(0) * 0.999));
        let copy = best(&mut probe(Arc::new(copy), &[rows(&[width])]));
        let limit = copy.max(case.flops(whole.clone()) as f64 / gemm);
        let share = 100.0 * limit / best(&mut case);
        println!("{name}: {share:.0} % of the speed of a copy or product");
        group.throughput(Throughput::Bytes(bytes(&case))).sample_size(20);
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| case.run(whole.clone()).expect("the plan runs"));
        });
    }
    group.finish();
}

criterion_group!(benches, ops);
criterion_main!(benches);
