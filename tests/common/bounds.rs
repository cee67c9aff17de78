//! The only place with tolerances: each is derived from the operation and the element type.
//!
//! `U` is the unit roundoff of `f32`. A bound belongs to one output element; the reference is `f64`
//! on the same inputs, so rounding of inputs does not enter.

use ironwarp::cpu::math;
use ironwarp::op::expression::{Binary, Node, Program, Unary};
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::{Case, Op};

/// Unit roundoff of `f32`.
pub const U: f64 = 5.960_464_477_539_063e-8;

/// Relative error of central differences with five points and step 1e-3 in `f64`:
/// `h^4 f^(5) / 30 + u_f64 / h`, both below this for functions of moderate derivatives.
pub const FINITE_DIFFERENCES: f64 = 1e-9;

/// Bounds of all elements of all outputs of a case with these inputs and reference results.
pub fn bounds(case: &Case, inputs: &[Vec<f64>], results: &[Vec<f64>]) -> Vec<Vec<f64>> {
    match case.op.name() {
        "pointwise" => pointwise(case, inputs),
        "matmul" => matmul(case, inputs),
        "reduce" => reduce(case, inputs, results),
        // They move elements.
        "concatenate" | "dropout" | "gather" | "pad" | "reshape" | "slice" | "transpose" => {
            results.iter().map(|r| vec![0.0; r.len()]).collect()
        }
        "softmax_cross_entropy" | "softmax_cross_entropy_gradient" => {
            softmax_cross_entropy(case, inputs, results)
        }
        "gather_gradient" => gather_gradient(case, inputs),
        name => panic!("no bound for `{name}`: derive one"),
    }
}

fn reference(op: &dyn Op, case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    crate::run_reference(op, case, inputs)
}

/// γ with the probabilistic analysis of Higham and Mary (2019): `6 √k u |A||B|`.
fn matmul(case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let absolute: Vec<Vec<f64>> =
        inputs.iter().map(|x| x.iter().map(|x| x.abs()).collect()).collect();
    let elements = |i: usize| inputs[i].len() as f64;
    let products = reference(&*case.op, case, &absolute);
    // m·k · k·n / (m·n) = k², for every batch.
    let depth = (elements(0) * elements(1) / products[0].len() as f64).sqrt();
    products.iter().map(|c| c.iter().map(|c| 6.0 * depth.sqrt() * U * c).collect()).collect()
}

/// Depth of the summation tree times `u Σ|x|`: 64 or 1024/16 in a block, then the blocks, then the
/// parts; squares and the division of a mean round once more. A maximum is exact.
fn reduce(case: &Case, inputs: &[Vec<f64>], results: &[Vec<f64>]) -> Vec<Vec<f64>> {
    if case.op.label().starts_with("max") {
        return results.iter().map(|r| vec![0.0; r.len()]).collect();
    }
    let absolute = vec![inputs[0].iter().map(|x| x.abs()).collect()];
    let sums = reference(&*case.op, case, &absolute);
    let length = inputs[0].len() as f64 / results[0].len() as f64;
    let depth = length.min(64.0) + 5.0 + length / 64.0 + 2.0;
    sums.iter().map(|s| s.iter().map(|s| depth * U * s).collect()).collect()
}

/// A plain sum: each of fewer additions than positions rounds once, `u Σ|x|` at most.
fn gather_gradient(case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let absolute = inputs[1].iter().map(|x| x.abs()).collect();
    let sums = reference(&*case.op, case, &[inputs[0].clone(), absolute]);
    let additions = inputs[0].len() as f64;
    sums.iter().map(|s| s.iter().map(|s| additions * U * s).collect()).collect()
}

/// `(|x − max| + c) u` relative for every exponential, plus the sum's tree; the loss is a
/// difference of numbers as large as the largest logit.
fn softmax_cross_entropy(case: &Case, inputs: &[Vec<f64>], results: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let classes = case.inputs[0].shape.last().unwrap_or(1) as f64;
    let largest = inputs[0].iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let depth = classes / 16.0 + 4.0;
    let relative = 2.0 * largest + math::EXP_ULP + math::LOG_ULP + depth + 4.0;
    let upstream = inputs.get(3).map_or(1.0, |g| g.iter().fold(0.0f64, |m, x| m.max(x.abs())));
    // Soft targets weigh: their sum may exceed 1.
    let mass = match case.inputs[1].dtype.is_float() {
        true => 1.0 + inputs[1].iter().map(|t| t.abs()).fold(0.0, f64::max) * classes,
        false => 1.0,
    };
    let scale = upstream * mass * (1.0 + 2.0 * largest + classes.ln());
    results.iter().map(|r| vec![2.0 * relative * U * scale; r.len()]).collect()
}

/// Running error analysis of the program, element by element: every node's bound follows from its
/// operands' bounds, its slope and its own rounding (Higham 2002, section 3.3).
fn pointwise(case: &Case, inputs: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let op = case.op.as_pointwise().expect("a pointwise op");
    let program = op.program();
    // One program whose results are all nodes gives every intermediate value by the reference.
    let count = program.nodes().len();
    let all = Pointwise::from_program(with_all_results(program));
    let values = reference(&all, case, inputs);
    let elements = values[0].len();
    let mut bounds = vec![vec![0.0; elements]; count];
    for i in 0..count {
        for e in 0..elements {
            let at = |n: usize| (values[n][e], bounds[n][e]);
            bounds[i][e] = node_bound(program.nodes()[i], values[i][e], at);
        }
    }
    program.outputs().iter().map(|&o| bounds[o].clone()).collect()
}

fn with_all_results(program: &Program) -> Program {
    let mut builder = ironwarp::op::expression::Builder::new(program.inputs());
    let mut places: Vec<usize> = Vec::new();
    for node in program.nodes() {
        let place = match *node {
            Node::Unary(op, a) => builder.push(Node::Unary(op, places[a])),
            Node::Binary(op, a, b) => builder.push(Node::Binary(op, places[a], places[b])),
            Node::Select(c, a, b) => builder.push(Node::Select(places[c], places[a], places[b])),
            other => builder.push(other),
        };
        places.push(place);
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
