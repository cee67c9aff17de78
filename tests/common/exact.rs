//! Which results are the same for every order of additions: whole numbers, small enough that every
//! partial sum is exact in `f32`. That follows from the steps of the plan.

use std::collections::{BTreeMap, HashMap};

use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::op::expression::{Binary, Node, Program, Unary};
use ironwarp::op::{BufferId, Case, Registry, Step};
use ironwarp::plan::Plan;

use super::model::SmallModel;
use super::{whole, whole_inputs};

/// Where every partial sum is such a multiple of a unit, additions round nothing.
const MOST_UNITS: f64 = 16_777_216.0; // 2^24

/// What is known of all elements of a buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    /// Multiples of `unit`, a power of two, and no larger than `most`.
    Exact { unit: f64, most: f64 },
    /// A quotient of exact values, or a constant: rounded once, everywhere alike.
    RoundedOnce,
    /// Rounded in an order that is not the same everywhere.
    Rounded,
}

use Value::{Exact, Rounded, RoundedOnce};

impl Value {
    /// What is fed, before a step writes anything; the scalar 1 also.
    const FED: Value = Exact { unit: 1.0, most: 3.0 };

    fn exact(unit: f64, most: f64) -> Value {
        if most / unit <= MOST_UNITS { Exact { unit, most } } else { Rounded }
    }

    fn constant(c: f64) -> Value {
        let units = [1.0, 0.5, 0.25, 0.125];
        let unit = units.into_iter().find(|unit| (c / unit).fract() == 0.0);
        unit.map_or(RoundedOnce, |unit| Value::exact(unit, c.abs()))
    }

    /// One or the other.
    fn or(self, other: Value) -> Value {
        match (self, other) {
            (Exact { unit, most }, Exact { unit: u, most: m }) => {
                Value::exact(unit.min(u), most.max(m))
            }
            (Rounded, _) | (_, Rounded) => Rounded,
            _ => RoundedOnce,
        }
    }

    /// A sum of so many of them.
    fn sum(self, count: usize) -> Value {
        match self {
            Exact { unit, most } => Value::exact(unit, most * count as f64),
            _ => Rounded,
        }
    }

    fn times(self, other: Value) -> Value {
        match (self, other) {
            (Exact { unit, most }, Exact { unit: u, most: m }) => Value::exact(unit * u, most * m),
            _ => Rounded,
        }
    }

    /// A quotient of exact values.
    fn quotient(self) -> Value {
        if matches!(self, Exact { .. }) { RoundedOnce } else { Rounded }
    }
}

fn of_program(program: &Program, inputs: &[Value]) -> Vec<Value> {
    let mut nodes: Vec<Value> = Vec::new();
    for node in program.nodes() {
        let all = node.operands().map(|i| nodes[i]).reduce(Value::or);
        let flag = || all.map_or(Rounded, |all| all.sum(1).times(Value::constant(0.0)));
        nodes.push(match *node {
            Node::Input(i) => inputs[i],
            Node::Constant(c) => Value::constant(c),
            Node::Select(_, a, b) if flag() != Rounded => nodes[a].or(nodes[b]),
            Node::Unary(Unary::Neg | Unary::Abs | Unary::Floor, a) => nodes[a].or(Value::FED),
            Node::Unary(Unary::Sign, _) => flag().or(Value::constant(1.0)),
            Node::Binary(Binary::Min | Binary::Max, a, b) => nodes[a].or(nodes[b]),
            Node::Binary(Binary::Less | Binary::LessEqual | Binary::Equal, ..) => {
                flag().or(Value::constant(1.0))
            }
            Node::Binary(Binary::Add | Binary::Sub, a, b) => nodes[a].or(nodes[b]).sum(2),
            Node::Binary(Binary::Mul, a, b) => nodes[a].times(nodes[b]),
            Node::Binary(Binary::Div, a, b) => nodes[a].or(nodes[b]).quotient(),
            _ => Rounded,
        });
    }
    program.outputs().iter().map(|&i| nodes[i]).collect()
}

/// Of a step's outputs; `elements` counts those of an input or output.
fn of_step(step: &Step, inputs: &[Value], elements: impl Fn(BufferId) -> usize) -> Vec<Value> {
    let all = inputs.iter().copied().reduce(Value::or).unwrap_or(Value::FED);
    let (ins, out) = (|i: usize| elements(step.inputs[i]), elements(step.outputs[0]));
    let value = match step.op.name() {
        "pad" => all.or(Value::constant(0.0)),
        "concatenate" | "gather" | "reshape" | "roll" | "slice" | "transpose" => all,
        "gather_gradient" => inputs[1].sum(ins(0)),
        "reduce" => match step.op.attributes()["reduction"].as_str() {
            Some("max") => all,
            Some("sum") => all.sum(ins(0) / out),
            Some("sumsquares") => all.times(all).sum(ins(0) / out),
            _ => all.sum(ins(0) / out).quotient(),
        },
        "matmul" => {
            let op = step.op.as_matmul().expect("a matrix product");
            // m·k · k·n / (m·n) = k², for every batch.
            let product = inputs[0].times(inputs[1]);
            let product = |m: usize| product.sum((ins(0) * ins(1) / m).isqrt());
            match &op.epilogue {
                Some(program) => {
                    let first = product(out);
                    let operands: Vec<_> = [first].iter().chain(&inputs[2..]).copied().collect();
                    return of_program(program, &operands);
                }
                None => product(out),
            }
        }
        "pointwise" => {
            let op = step.op.as_pointwise().expect("a pointwise op");
            return of_program(op.program(), inputs);
        }
        _ => Rounded,
    };
    vec![value; step.outputs.len()]
}

/// Whether each output of a plan is rounded once at most when its feeds are small whole numbers.
fn exact_outputs(plan: &Plan, rows: usize) -> Vec<bool> {
    let mut values: HashMap<BufferId, Value> = HashMap::new();
    let elements = |id| plan.graph.ty(id).shape.elements(rows);
    let root = |id| plan.graph.root(id).0;
    for step in &plan.graph.steps[..plan.backward.end] {
        let of = |id: &BufferId| values.get(&root(*id)).copied().unwrap_or(Value::FED);
        let inputs: Vec<_> = step.inputs.iter().map(of).collect();
        for (&id, value) in step.outputs.iter().zip(of_step(step, &inputs, elements)) {
            let before = values.get(&root(id)).copied();
            values.insert(root(id), before.map_or(value, |before| before.or(value)));
        }
    }
    let is_exact = |id| values.get(&root(id)).is_none_or(|value| *value != Rounded);
    plan.outputs.iter().map(|(_, id)| is_exact(*id)).collect()
}

/// Ops' cases of one number of rows with their gradients, on whole numbers.
pub struct ExactCases {
    /// One plan of all.
    pub model: SmallModel,
    /// How many cases.
    pub count: usize,
    /// For its feeds.
    pub inputs: Vec<Vec<f64>>,
    /// For its outputs; none for those that are not exact.
    expected: Vec<Option<Vec<f32>>>,
}

impl ExactCases {
    /// Compares all cases of `wanted` ops, as `run` computes them on a device of this name, and tells
    /// how many there were.
    pub fn check(
        place: &str,
        wanted: impl Fn(&Case) -> bool,
        mut run: impl FnMut(&ExactCases) -> Vec<Vec<f32>>,
    ) {
        let (mut cases, mut numbers, mut others) = (0, 0, 0);
        for exact in Self::all(wanted) {
            let [more, not_zero] = exact.compare(&run(&exact));
            (cases, numbers, others) = (cases + exact.count, numbers + more, others + not_zero);
        }
        println!(
            "counted: {cases} cases of whole numbers on {place}, {numbers} results, {others} of them \
             not zero: all exact"
        );
        assert!(2 * others > numbers, "mostly zeros show little");
    }

    /// All cases with an exact output or gradient among those that are wanted.
    fn all(wanted: impl Fn(&Case) -> bool) -> Vec<ExactCases> {
        let mut by_rows: BTreeMap<usize, Vec<Case>> = BTreeMap::new();
        for case in Registry::standard().cases().into_iter().filter(wanted) {
            let (plan, _) = SmallModel::of_case(&case).with_gradients().build();
            if exact_outputs(&plan, case.rows).contains(&true) {
                by_rows.entry(case.rows).or_default().push(case);
            }
        }
        by_rows.into_values().map(|cases| ExactCases::new(&cases)).collect()
    }

    fn new(cases: &[Case]) -> ExactCases {
        let model = SmallModel::of_cases(cases).with_gradients();
        let (plan, _) = model.build();
        let mut inputs: Vec<_> = cases.iter().flat_map(|case| whole_inputs(case, 0)).collect();
        for (stream, feed) in (800..).zip(&model.feeds[inputs.len()..]) {
            let elements = model.graph.ty(*feed).shape.elements(model.rows);
            inputs.push((0..elements).map(|i| whole(stream, i)).collect());
        }
        let judge = |lasting: &_| ReferenceExecutor::new(lasting, Rounding::None);
        let results = model.load(judge).run(&inputs);
        let exact = exact_outputs(&plan, model.rows).into_iter();
        let expected = results.into_iter().zip(exact).map(|(x, exact)| exact.then_some(x));
        ExactCases { model, count: cases.len(), inputs, expected: expected.collect() }
    }

    /// Compares exactly and returns how many numbers there were, and how many of them are not zero.
    fn compare(&self, got: &[Vec<f32>]) -> [usize; 2] {
        let mut counts = [0; 2];
        assert_eq!(got.len(), self.expected.len());
        for (i, (got, expected)) in got.iter().zip(&self.expected).enumerate() {
            let Some(expected) = expected else { continue };
            assert_eq!(got.len(), expected.len(), "output {i}");
            for (at, (g, e)) in got.iter().zip(expected).enumerate() {
                // 0 / 0 is not a number anywhere.
                let equal = g == e || g.is_nan() && e.is_nan();
                assert!(equal, "output {i}, element {at}: {g}, and exactly {e}");
            }
            let others = expected.iter().filter(|x| **x != 0.0).count();
            counts = [counts[0] + expected.len(), counts[1] + others];
        }
        counts
    }
}
