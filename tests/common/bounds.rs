//! The only place with tolerances: each is derived from the operation and the element type.
//!
//! `U` is the unit roundoff of `f32`. A bound belongs to one output element; the reference is `f64`
//! on the same inputs, so rounding of inputs does not enter.

use std::sync::Arc;

use ironwarp::cpu::math;
use ironwarp::op::expression::{Binary, Builder, Expr, Node, Program, Unary};
use ironwarp::op::matmul::Matmul;
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::{Case, Op};

/// Unit roundoff of `f32`.
pub const U: f64 = 5.960_464_477_539_063e-8;

/// Relative error of central differences with five points and step 1e-3 in `f64`:
/// `h^4 f^(5) / 30 + u_f64 / h`, both below this for functions of moderate derivatives.
pub const FINITE_DIFFERENCES: f64 = 1e-9;

/// Difference of two `f64` computations of the same values, relative to `max(1, |value|)`: PyTorch
/// on two code paths differs by 1.3e-15 (tests/fixtures/README.md), and sums here are as short.
pub const PYTORCH: f64 = 1e-12;

/// The same where rounding is amplified by mean / deviation = 1e4 in the norms.
pub const PYTORCH_OFFSET: f64 = 1e-10;

/// Difference of the losses of two devices after some steps of their own, relative to
/// `max(1, |loss|)`: each step adds rounding errors of some 100 `U` of a weight, and Adam may turn
/// one into a step of its rate; 1e-3 is what runs of tens of steps are asked for.
pub const FREE_RUNNING: f64 = 1e-3;

/// Decibels of a log-mel spectrogram in f32 against librosa's of f64 samples: its filters are
/// rounded to f32 twice and their products summed in f64, 10 log10 makes a relative error of 3 `U`
/// an absolute one, and the result is rounded once.
pub fn log_mel(decibels: f64) -> f64 {
    10.0 * std::f64::consts::LOG10_E * 3.0 * U + decibels.abs() * U
}

/// A cepstral coefficient of so many bands in f32 against librosa's: each of the decibels is off as
/// above, rounding left out; the weights are at most √(2 / n) and n are added, in f64; the result is
/// rounded once.
pub fn mfcc(value: f64, bands: usize) -> f64 {
    (2.0 * bands as f64).sqrt() * log_mel(0.0) + value.abs() * U
}

/// A quantile transform rounded to f32 against scikit-learn's in f64. Of the share a few roundings
/// differ; the normal quantile's slope is at most 1.0e6 at shares cut to 1e-7, where scikit-learn
/// cuts at 1e-7 less an ulp, and its rational forms are right to 1e-15.
pub fn quantiles(value: f64) -> f64 {
    value.abs() * U + 1e6 * 4.0 * f64::EPSILON
}

/// A transform of a table rounded to f32 against scikit-learn's in f64, which differs by so many
/// roundings of numbers of this size.
pub fn table(value: f64, roundings: usize, size: f64) -> f64 {
    value.abs() * U + roundings as f64 * f64::EPSILON * size
}

/// Bounds of all elements of all outputs of a case with these inputs and reference results.
pub fn bounds(case: &Case, inputs: &[Vec<f64>], results: &[Vec<f64>]) -> Vec<Vec<f64>> {
    match case.op.name() {
        "pointwise" => pointwise(case, inputs),
        "matmul" => matmul(case, inputs),
        "reduce" => reduce(case, inputs, results),
        // They move elements.
        "concatenate" | "dropout" | "gather" | "pad" | "rectangles" | "reshape" | "roll"
        | "slice" | "transpose" => results.iter().map(|r| vec![0.0; r.len()]).collect(),
        "softmax_cross_entropy" | "softmax_cross_entropy_gradient" => {
            softmax_cross_entropy(case, inputs, results)
        }
        "softmax_cross_entropy_with_gradient" => cross_entropy_total(case, inputs, results),
        "softmax" | "softmax_gradient" => vec![softmax(case, inputs, results)],
        "layer_norm" => norm(inputs, results, true),
        "rms_norm" => norm(inputs, results, false),
        "layer_norm_gradient" => norm_gradient(inputs, results, true),
        "rms_norm_gradient" => norm_gradient(inputs, results, false),
        "gather_gradient" => gather_gradient(case, inputs),
        "draw" => draw(case, results),
        "warp" => warp(case, inputs),
        name => panic!("no bound for `{name}`: derive one"),
    }
}

/// Additions along the longest path of a row's sum: 16 lanes, then a tree. On CUDA: the elements of a
/// thread, a tree over its team's lanes, then up to 16 warps in a row; for no width is that more.
fn lanes_depth(width: usize) -> f64 {
    width.div_ceil(16) as f64 + 4.0
}

fn reference(op: &dyn Op, case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    super::model::run_reference(op, case, inputs)
}

/// γ with the probabilistic analysis of Higham and Mary (2019): `6 √k u |A||B|`, and `u |A||B|` more
/// for each of at most k / 128 parts that a device cuts the sum into. With an epilogue it
/// is the bound of the program's first operand. Row sums are sums of as many.
fn matmul(case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let op = case.op.as_matmul().expect("a matrix product");
    let plain = Matmul { epilogue: Some(identity()), row_sums: false, ..op.clone() };
    let plain = Case { op: Arc::new(plain), ..case.clone() };
    let plain = Case { inputs: case.inputs[..2].to_vec(), ..plain };
    let absolute: Vec<Vec<f64>> =
        inputs[..2].iter().map(|x| x.iter().map(|x| x.abs()).collect()).collect();
    let elements = |i: usize| inputs[i].len() as f64;
    let products = reference(&*plain.op, &plain, &absolute).remove(0);
    // m·k · k·n / (m·n) = k², for every batch.
    let depth = (elements(0) * elements(1) / products.len() as f64).sqrt();
    let factor = 6.0 * depth.sqrt() + (depth / 128.0).floor();
    let bounds: Vec<f64> = products.iter().map(|c| factor * U * c).collect();
    let sums = op.row_sums.then(|| {
        let sums = reference(&*case.op, case, &[absolute, inputs[2..].to_vec()].concat());
        sums.last().expect("row sums").iter().map(|s| factor * U * s).collect::<Vec<_>>()
    });
    let Some(program) = &op.epilogue else { return std::iter::once(bounds).chain(sums).collect() };
    let mut types = case.inputs.clone();
    types.splice(..2, plain.op.outputs(&plain.inputs).expect("the case's types fit"));
    let mut operands = inputs.to_vec();
    operands.splice(..2, reference(&*plain.op, &plain, &inputs[..2]));
    let tail = Case { inputs: types, ..case.clone() };
    let results = running_error(program, &tail, &operands, &bounds);
    results.into_iter().chain(sums).collect()
}

/// The epilogue that changes nothing.
fn identity() -> Program {
    Program::new(1, &[Expr::input(0)])
}

/// Depth of the summation tree times `u Σ|x|`: 64 or 1024/16 in a block, then the blocks, then the
/// parts; squares and the division of a mean round once more. A maximum is exact. On CUDA a
/// thread's sum has at most one in 32 of the elements, or 16 if there are no more; trees follow.
fn reduce(case: &Case, inputs: &[Vec<f64>], results: &[Vec<f64>]) -> Vec<Vec<f64>> {
    if case.op.label().starts_with("max") {
        return results.iter().map(|r| vec![0.0; r.len()]).collect();
    }
    let absolute = vec![inputs[0].iter().map(|x| x.abs()).collect()];
    let sums = reference(&*case.op, case, &absolute);
    let length = inputs[0].len() as f64 / results[0].len() as f64;
    let depth = length.min(64.0) + 5.0 + length / 32.0 + 2.0;
    sums.iter().map(|s| s.iter().map(|s| depth * U * s).collect()).collect()
}

/// Uniform numbers are exact. A normal one is a radius, off by the logarithm's and three more
/// roundings of which the root halves the first two, times a sine or cosine of an angle below 2π that
/// was rounded twice.
fn draw(case: &Case, results: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let normal = case.op.attributes()["distribution"] == "normal";
    // The largest radius there is: of a uniform number with 24 bits.
    let largest = (48.0 * 2.0f64.ln()).sqrt();
    let relative = math::LOG_ULP + math::SIN_ULP.max(math::COS_ULP) * 2.0 + 4.0;
    let angle = 2.0 * std::f64::consts::TAU;
    let bound = |x: &f64| U * (relative * x.abs() + angle * largest);
    let each = |r: &Vec<f64>| r.iter().map(|x| if normal { bound(x) } else { 0.0 }).collect();
    results.iter().map(each).collect()
}

/// A place is off by four roundings of numbers as large as it can get; between neighbours a value
/// changes by twice the largest, in each direction; and interpolation rounds six times.
fn warp(case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let sizes = case.inputs[0].shape.sizes(1);
    let (height, width) = (sizes[2] as f64, sizes[3] as f64);
    let fill = case.op.attributes()["fill"].as_f64().expect("a number");
    let most = largest(&inputs[0]).max(fill.abs());
    let of_row = |row: usize| {
        let [a, b, c, d, e, f] = std::array::from_fn(|k| inputs[1 + k][row].abs());
        let reach = |u: f64, v: f64, shift: f64| u * width + v * height + shift;
        let places = reach(a, b, c) + width + reach(d, e, f) + height;
        let bound = U * most * (4.0 * 2.0 * places + 6.0);
        std::iter::repeat_n(bound, sizes.iter().product())
    };
    vec![(0..case.rows).flat_map(of_row).collect()]
}

/// A plain sum: each of fewer additions than positions rounds once, `u Σ|x|` at most.
fn gather_gradient(case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let absolute = inputs[1].iter().map(|x| x.abs()).collect();
    let sums = reference(&*case.op, case, &[inputs[0].clone(), absolute]);
    let additions = inputs[0].len() as f64;
    sums.iter().map(|s| s.iter().map(|s| additions * U * s).collect()).collect()
}

/// `(|x − max| + c) u` relative for every exponential, plus the sum's tree; the loss is a
/// difference of numbers as large as the largest logit. Of rows that weigh `upstream`.
fn row_loss(case: &Case, inputs: &[Vec<f64>], upstream: f64) -> f64 {
    let classes = case.inputs[0].shape.last().unwrap_or(1) as f64;
    let largest = largest(&inputs[0]);
    let depth = classes / 16.0 + 4.0;
    let relative = 2.0 * largest + math::EXP_ULP + math::LOG_ULP + depth + 4.0;
    2.0 * relative * U * upstream * largest_loss(case, inputs)
}

/// Soft targets weigh: their sum may exceed 1.
fn largest_loss(case: &Case, inputs: &[Vec<f64>]) -> f64 {
    let classes = case.inputs[0].shape.last().unwrap_or(1) as f64;
    let mass = match case.inputs[1].dtype.is_float() {
        true => 1.0 + largest(&inputs[1]) * classes,
        false => 1.0,
    };
    mass * (1.0 + 2.0 * largest(&inputs[0]) + classes.ln())
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0f64, |m, x| m.max(x.abs()))
}

fn softmax_cross_entropy(case: &Case, inputs: &[Vec<f64>], results: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let upstream = inputs.get(3).map_or(1.0, |g| largest(g));
    let bound = row_loss(case, inputs, upstream);
    results.iter().map(|r| vec![bound; r.len()]).collect()
}

/// The losses' bounds add up as they weigh, and the sum rounds: 64 rows in a row, then those sums, or
/// fewer and a tree.
fn cross_entropy_total(case: &Case, inputs: &[Vec<f64>], results: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let classes = case.inputs[0].shape.last().unwrap_or(1);
    let rows = (inputs[0].len() / classes) as f64;
    let weight = rows * inputs[2].iter().map(|u| u.abs()).sum::<f64>() / inputs[2].len() as f64;
    let depth = rows.min(64.0) + rows / 64.0 + 16.0;
    let total = row_loss(case, inputs, weight) + depth * U * weight * largest_loss(case, inputs);
    vec![vec![total], vec![row_loss(case, inputs, largest(&inputs[2])); results[1].len()]]
}

/// An exponential of a rounded difference is off by `(|x − m| + 2 EXP_ULP) u`, a sum by its depth;
/// a relative error of the sum is an absolute one of its logarithm.
fn softmax(case: &Case, inputs: &[Vec<f64>], results: &[Vec<f64>]) -> Vec<f64> {
    let width = case.inputs[0].shape.last().expect("a known width");
    let depth = lanes_depth(width);
    let log = case.op.label().starts_with("log");
    let sum = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).sum::<f64>();
    let mut bounds = Vec::new();
    for (row, x) in inputs[0].chunks(width).enumerate() {
        let result = &results[0][row * width..][..width];
        let Some(g) = inputs.get(1).map(|g| &g[row * width..][..width]) else {
            let ends = x.iter().fold((x[0], x[0]), |(a, b), &x| (x.min(a), x.max(b)));
            let relative = 2.0 * (ends.1 - ends.0 + 2.0 * math::EXP_ULP) + depth + 3.0;
            let log_sum = 2.0 * math::LOG_ULP * (width as f64).ln();
            bounds.extend(result.iter().map(|y| match log {
                false => relative * U * y.abs(),
                true => (relative + log_sum + y.abs()) * U,
            }));
            continue;
        };
        let all = sum(&mut g.iter().zip(x).map(|(g, y)| if log { *g } else { g * y }));
        bounds.extend(x.iter().zip(g).map(|(y, g)| match log {
            false => U * y.abs() * ((depth + 3.0) * all + 2.0 * g.abs()),
            true => U * (y.exp() * (depth + 2.0 * math::EXP_ULP + 2.0) * all + g.abs()),
        }));
    }
    bounds
}

/// A mean is off by `(depth + 1) u mean|x|`; an error of the mean enters the variance squared
/// (two passes), each square adds `3 u`, and the root halves the relative error.
fn norm(inputs: &[Vec<f64>], results: &[Vec<f64>], centred: bool) -> Vec<Vec<f64>> {
    let reciprocals = results.last().expect("a norm's last output");
    let width = inputs[0].len() / reciprocals.len();
    let depth = lanes_depth(width);
    let mut bounds = vec![vec![]; results.len()];
    for (row, (x, r)) in inputs[0].chunks(width).zip(reciprocals).enumerate() {
        let size = x.iter().map(|x| x.abs()).sum::<f64>() / width as f64;
        let (mean, shift) = match centred {
            true => (results[1][row], (depth + 1.0) * U * size),
            false => (0.0, 0.0),
        };
        let relative = ((depth + 5.0) * U + (shift * r).powi(2)) / 2.0 + 2.0 * U;
        for (i, x) in x.iter().enumerate() {
            let weight = inputs.get(1).map_or(1.0, |w| w[i].abs());
            let scaled = (x - mean).abs() * r * weight;
            let y = results[0][row * width + i].abs();
            bounds[0].push(weight * r * shift + scaled * (relative + 4.0 * U) + U * y);
        }
        if centred {
            bounds[1].push(shift);
        }
        bounds[results.len() - 1].push(relative * r);
    }
    bounds
}

/// `r (h − A − x̂ B)` with `A = mean(h)`, `B = mean(h x̂)`: the depth of the means plus one rounding
/// for every other operation on the way. Gradients of parameters are sums over rows, in whatever order:
/// fewer additions than rows, and three roundings of each term.
fn norm_gradient(inputs: &[Vec<f64>], results: &[Vec<f64>], centred: bool) -> Vec<Vec<f64>> {
    let at = 1 + usize::from(centred);
    let (x, reciprocals, g, weight) =
        (&inputs[0], &inputs[at], &inputs[at + 1], inputs.get(at + 2));
    let width = x.len() / reciprocals.len();
    let (depth, count) = (lanes_depth(width), width as f64);
    let mut bounds = Vec::new();
    let mut parameters = vec![vec![0.0; width]; results.len() - 1];
    let each = (reciprocals.len() as f64 + 3.0) * U;
    for (row, r) in reciprocals.iter().enumerate() {
        let mean = if centred { inputs[1][row] } else { 0.0 };
        let part = row * width..(row + 1) * width;
        let normal: Vec<f64> = x[part.clone()].iter().map(|x| ((x - mean) * r).abs()).collect();
        let weighted = |(i, g): (usize, &f64)| (g * weight.map_or(1.0, |w| w[i])).abs();
        let h: Vec<f64> = g[part.clone()].iter().enumerate().map(weighted).collect();
        for (k, bounds) in parameters.iter_mut().enumerate() {
            for ((bound, g), n) in bounds.iter_mut().zip(&g[part.clone()]).zip(&normal) {
                *bound += each * g.abs() * if k == 0 { *n } else { 1.0 };
            }
        }
        let offset = if centred { h.iter().sum::<f64>() / count } else { 0.0 };
        let slope = h.iter().zip(&normal).map(|(h, n)| h * n).sum::<f64>() / count;
        bounds.extend(h.iter().zip(&normal).map(|(h, n)| {
            r.abs() * U * (5.0 * h + (depth + 6.0) * offset + (depth + 12.0) * n * slope)
        }));
    }
    std::iter::once(bounds).chain(parameters).collect()
}

fn pointwise(case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let op = case.op.as_pointwise().expect("a pointwise op");
    running_error(op.program(), case, inputs, &[])
}

/// Running error analysis of a program, element by element: every node's bound follows from its
/// operands' bounds, its slope and its own rounding (Higham 2002, section 3.3). Operand 0 is off by
/// `first`, or exact if that is empty; the others are exact.
fn running_error(
    program: &Program,
    case: &Case,
    inputs: &[Vec<f64>],
    first: &[f64],
) -> Vec<Vec<f64>> {
    // One program whose results are all nodes gives every intermediate value by the reference.
    let count = program.nodes().len();
    let ranges = case.op.as_pointwise().map_or(&[][..], Pointwise::ranges);
    let all = Pointwise::from_program(with_all_results(program)).in_ranges(ranges);
    let values = reference(&all, case, inputs);
    let elements = values[0].len();
    let mut bounds = vec![vec![0.0; elements]; count];
    for i in 0..count {
        for e in 0..elements {
            let at = |n: usize| (values[n][e], bounds[n][e]);
            bounds[i][e] = match program.nodes()[i] {
                Node::Input(0) => first.get(e).copied().unwrap_or(0.0),
                node => node_bound(node, values[i][e], at),
            };
        }
    }
    program.outputs().iter().map(|&o| bounds[o].clone()).collect()
}

fn with_all_results(program: &Program) -> Program {
    let (mut builder, mut places) = (Builder::new(program.inputs()), Vec::<usize>::new());
    for node in program.nodes() {
        places.push(match *node {
            Node::Unary(op, a) => builder.push(Node::Unary(op, places[a])),
            Node::Binary(op, a, b) => builder.push(Node::Binary(op, places[a], places[b])),
            Node::Select(c, a, b) => builder.push(Node::Select(places[c], places[a], places[b])),
            other => builder.push(other),
        });
    }
    builder.finish(places)
}

fn node_bound(node: Node, y: f64, at: impl Fn(usize) -> (f64, f64)) -> f64 {
    let own = U * y.abs();
    match node {
        Node::Input(_) | Node::Uniform(_) => 0.0,
        Node::Constant(_) => own,
        Node::Select(c, a, b) => at(if at(c).0 != 0.0 { a } else { b }).1,
        Node::Unary(op, a) => {
            let (x, e) = at(a);
            let ulps = |n: f64| 2.0 * n * own;
            match op {
                Unary::Neg | Unary::Abs | Unary::Sign | Unary::Floor => e,
                Unary::Exp => y.abs() * e.exp_m1() + ulps(math::EXP_ULP),
                Unary::Expm1 => (y + 1.0) * e.exp_m1() + ulps(math::EXPM1_ULP),
                Unary::Log => e / (x.abs() - e) + ulps(math::LOG_ULP),
                Unary::Log1p => e / (1.0 + x - e).abs() + ulps(math::LOG1P_ULP),
                Unary::Sqrt => e / y.abs().max(1e-30) + own,
                Unary::Sigmoid => e / 4.0 + ulps(math::SIGMOID_ULP),
                Unary::Tanh => e + ulps(math::TANH_ULP),
                Unary::Erf => e * std::f64::consts::FRAC_2_SQRT_PI + ulps(math::ERF_ULP),
                Unary::Sin => e + ulps(math::SIN_ULP),
                Unary::Cos => e + ulps(math::COS_ULP),
                _ => panic!("no bound for {op:?}: derive one"),
            }
        }
        Node::Binary(op, a, b) => {
            let ((x, ex), (z, ez)) = (at(a), at(b));
            match op {
                Binary::Add | Binary::Sub => ex + ez + own,
                Binary::Mul => x.abs() * ez + z.abs() * ex + ex * ez + own,
                Binary::Div => (ex + y.abs() * ez) / (z.abs() - ez) + own,
                Binary::Min | Binary::Max => ex.max(ez),
                Binary::Pow => {
                    let relative = z.abs() * ex / (x.abs() - ex) + ez * x.abs().ln().abs();
                    y.abs() * relative.exp_m1() + 2.0 * math::POW_ULP * own
                }
                Binary::Less | Binary::LessEqual | Binary::Equal => 0.0,
                _ => panic!("no bound for {op:?}: derive one"),
            }
        }
        _ => panic!("no bound for {node:?}: derive one"),
    }
}
