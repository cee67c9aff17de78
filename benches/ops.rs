//! Op families on the CPU and every GPU, beside what the device reaches in the same run: a copy that
//! moves as many bytes, or a large product's arithmetic, whichever takes longer. An op that only reads
//! may be faster than a copy. A result that differs from the definition is not timed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ironwarp::bench::measure::Budget;
use ironwarp::bench::probe::Probe;
use ironwarp::bench::run::devices;
use ironwarp::exec::Device;
use ironwarp::op::Op;
use ironwarp::op::concatenate::Concatenate;
use ironwarp::op::draw::{Distribution, Draw};
use ironwarp::op::expression::Expr;
use ironwarp::op::gather::{Gather, GatherGradient};
use ironwarp::op::layer_norm::{LayerNorm, LayerNormGradient};
use ironwarp::op::matmul::Matmul;
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::rectangles::Rectangles;
use ironwarp::op::reduce::{Reduce, Reduction};
use ironwarp::op::rms_norm::{RmsNorm, RmsNormGradient};
use ironwarp::op::roll::Roll;
use ironwarp::op::slice::{Pad, Slice};
use ironwarp::op::softmax::{Softmax, SoftmaxGradient};
use ironwarp::op::softmax_cross_entropy::{
    SoftmaxCrossEntropy, SoftmaxCrossEntropyGradient, SoftmaxCrossEntropyWithGradient,
};
use ironwarp::op::transpose::Transpose;
use ironwarp::op::warp::Warp;
use ironwarp::tensor::{DType, Shape, TensorType};

/// Rows and width of every case: a few megabytes, past the second-level cache.
const ROWS: usize = 2048;
const WIDTH: usize = 512;

fn rows(dims: &[usize]) -> TensorType {
    TensorType::f32(Shape::rows(dims))
}

fn fixed(dims: &[usize]) -> TensorType {
    TensorType::f32(Shape::fixed(dims))
}

fn indices() -> TensorType {
    TensorType::new(DType::U32, Shape::rows(&[]))
}

pub(crate) type Ops = Vec<(&'static str, Arc<dyn Op>, Vec<TensorType>)>;

/// One op of each family on rows of this width, a multiple of 16; tables have as many rows.
pub(crate) fn cases(width: usize) -> Ops {
    let (half, quarter) = (width / 2, width / 4);
    let wide = || rows(&[width]);
    let reduce = |reduction, axis| Arc::new(Reduce::new(reduction, &[axis], true));
    let mut cases: Ops = vec![
        ("matmul nt", Arc::new(Matmul::nt()), vec![wide(), fixed(&[width, width])]),
        ("matmul tn", Arc::new(Matmul::tn()), vec![wide(), wide()]),
        ("sum of rows", reduce(Reduction::Sum, 1), vec![wide()]),
        ("sum of columns", reduce(Reduction::Sum, 0), vec![wide()]),
        ("largest of rows", reduce(Reduction::Max, 1), vec![wide()]),
        ("largest of columns", reduce(Reduction::Max, 0), vec![wide()]),
        ("gather", Arc::new(Gather), vec![fixed(&[width, width]), indices()]),
        ("gather gradient", Arc::new(GatherGradient { rows: width }), vec![indices(), wide()]),
        ("concatenate", Arc::new(Concatenate { axis: 1 }), vec![rows(&[half]), rows(&[half])]),
        ("slice", Arc::new(Slice { axis: 1, range: quarter..quarter + half }), vec![wide()]),
        ("pad", Arc::new(Pad { axis: 1, before: quarter, after: quarter }), vec![rows(&[half])]),
        ("transpose", Arc::new(Transpose { axes: vec![0, 2, 1] }), vec![rows(&[16, width / 16])]),
        (
            "transpose heads",
            Arc::new(Transpose { axes: vec![0, 2, 1, 3] }),
            vec![rows(&[4, 4, width / 16])],
        ),
    ];
    cases.extend(augmentation(width));
    cases.extend(pointwise(width));
    cases.extend(of_rows(width));
    cases
}

/// Ops that change rows of data.
fn augmentation(width: usize) -> Ops {
    let (one, (height, width)) = (rows(&[]), (16, width / 16));
    let (stream, count, distribution) = (1, 1, Distribution::Normal);
    let row = vec![height * width];
    let images = vec![rows(&[1, height, width])];
    vec![
        (
            "draw normal",
            Arc::new(Draw { stream, count, row, distribution }),
            vec![indices(), fixed(&[1])],
        ),
        ("warp", Arc::new(Warp { fill: 0.0 }), [images, vec![one.clone(); 6]].concat()),
        ("roll", Arc::new(Roll { shift: 1 }), vec![rows(&[1, height, width])]),
        ("rectangles", Arc::new(Rectangles { height, width }), vec![one; 4]),
    ]
}

fn pointwise(width: usize) -> Ops {
    let x = Expr::input(0);
    let gelu = x.clone() * 0.5 * ((x.clone() * std::f64::consts::FRAC_1_SQRT_2).erf() + 1.0);
    let add = &x + Expr::input(1);
    let wide = || rows(&[width]);
    vec![
        ("pointwise add", Arc::new(Pointwise::new(2, &add)), vec![wide(), wide()]),
        ("pointwise add bias", Arc::new(Pointwise::new(2, &add)), vec![wide(), fixed(&[width])]),
        ("pointwise gelu", Arc::new(Pointwise::new(1, &gelu)), vec![wide()]),
        ("pointwise tanh", Arc::new(Pointwise::new(1, &x.tanh())), vec![wide()]),
    ]
}

/// Ops that take whole rows.
fn of_rows(width: usize) -> Ops {
    let (wide, one, parameter) = (|| rows(&[width]), || rows(&[]), || fixed(&[width]));
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

/// An op on a device; indices are below the width.
pub(crate) fn probe(
    device: &Device,
    op: Arc<dyn Op>,
    inputs: &[TensorType],
    (rows, width): (usize, usize),
) -> Probe {
    Probe::of_op(device, op, inputs, rows, width as u32).expect("types fit")
}

/// So many runs, waited for.
pub(crate) fn run(probe: &mut Probe, count: u64) -> Duration {
    let whole = 0..probe.plan.graph.steps.len();
    let started = Instant::now();
    (0..count).for_each(|_| probe.run(whole.clone()).expect("the plan runs"));
    probe.wait().expect("the plan runs");
    started.elapsed()
}

/// Refuses a result that differs from the definition.
pub(crate) fn check(name: &str, probe: &mut Probe) {
    let (whole, rows) = (0..probe.plan.graph.steps.len(), probe.rows);
    let problem = probe.problem(whole, rows).expect("the plan runs");
    assert!(problem.is_none(), "{name}: {problem:?}");
}

/// Inputs and outputs.
fn bytes(probe: &Probe) -> u64 {
    let plan = &probe.plan;
    let each = plan.feeds.iter().chain(&plan.outputs);
    each.map(|(_, id)| plan.graph.ty(*id).bytes(probe.rows) as u64).sum()
}

/// Best of some runs, in seconds.
fn best(probe: &mut Probe) -> f64 {
    let whole = 0..probe.plan.graph.steps.len();
    probe.time(whole, Budget::TINY).expect("the plan runs").best
}

fn ops(c: &mut Criterion) {
    let (all, no_gpu) = devices();
    if let Some(reason) = no_gpu {
        println!("no GPU: {reason}");
    }
    all.iter().for_each(|device| ops_on(device, c));
}

fn ops_on(device: &Device, c: &mut Criterion) {
    let of = |op: Arc<dyn Op>, inputs: &[TensorType]| probe(device, op, inputs, (ROWS, WIDTH));
    let mut product = of(Arc::new(Matmul::nt()), &[rows(&[1024]), fixed(&[1024, 1024])]);
    let gemm = product.flops(0..1) as f64 / best(&mut product);
    println!("{device}: a product of {ROWS} x 1024 x 1024: {:.0} GFLOP/s", gemm / 1e9);
    let mut group = c.benchmark_group(format!("ops on {device}"));
    for (name, op, inputs) in cases(WIDTH) {
        let mut case = of(op, &inputs);
        check(name, &mut case);
        let width = (bytes(&case) as usize / (8 * ROWS)).max(1);
        let copy = Pointwise::new(1, &(Expr::input(0) * 0.999));
        let copy = best(&mut of(Arc::new(copy), &[rows(&[width])]));
        let limit = copy.max(case.flops(0..case.plan.graph.steps.len()) as f64 / gemm);
        let share = 100.0 * limit / best(&mut case);
        println!("{name}: {share:.0} % of the speed of a copy or product");
        group.throughput(Throughput::Bytes(bytes(&case))).sample_size(20);
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter_custom(|count| run(&mut case, count));
        });
    }
    group.finish();
}

criterion_group!(benches, ops);
criterion_main!(benches);
