//! Ops, activations and layers against PyTorch: outputs and gradients by the reference, in `f64`.
//!
//! [`NOT_COVERED`] lists every case of these families that is not compared, with the reason.

mod common;
mod pytorch;

use std::sync::{Arc, Mutex};

use common::bounds;
use common::model::{Differentiator, SmallModel, run_reference};
use ironwarp::layer::activation::Activation;
use ironwarp::layer::value::{SharedTrace, Trace};
use ironwarp::layer::{Dense, LayerNorm, Value};
use ironwarp::op::matmul::Matmul;
use ironwarp::op::softmax_cross_entropy::SoftmaxCrossEntropy;
use ironwarp::op::warp::Warp;
use ironwarp::op::{BufferId, Op, Role, layer_norm, rms_norm};
use ironwarp::tensor::{DType, Shape, TensorType};
use pytorch::{Case, cases};

/// Family, which cases of it, and why they are not compared.
type Exception = (&'static str, fn(&Case) -> bool, &'static str);

const NOT_COVERED: &[Exception] = &[
    (
        "pointwise",
        |case| ACTIVATIONS.iter().all(|name| *name != case.text("op")),
        "functions of expressions, and activations that are not layers: tests/ops.rs",
    ),
    ("pointwise", |case| case.name.starts_with("softplus_2"), "softplus has no beta here"),
    (
        "pointwise",
        |case| case.name == "softplus.special",
        "PyTorch takes x for softplus above 20, 2e-9 off",
    ),
    (
        "reduce",
        |case| matches!(case.text("op"), "amin" | "logsumexp"),
        "no ops here: a minimum is a maximum of the negative, log-sum-exp a part of cross-entropy",
    ),
    (
        "reduce",
        |case| case.name == "amax_0_2.ties",
        "over axes that are apart, ties share the gradient axis by axis, not evenly",
    ),
    (
        "reduce",
        |case| case.name == "amax_1.special",
        "the gradient of a row with a NaN is 0 here, NaN there",
    ),
    ("matmul", |case| refused(case), "the right side is broadcast only where it has no batch"),
    ("cross_entropy", |case| case.find("in.class_weight").is_some(), "no class weights here"),
    ("layers", |case| case.name == "embedding_linear", "no embedding here"),
];

const ACTIVATIONS: [&str; 11] = [
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "sigmoid",
    "tanh",
    "softplus",
    "mish",
    "hard_swish",
];

/// Activations that are NaN in PyTorch where a limit exists.
const LIMITS: [&str; 4] = ["gelu", "silu", "mish", "hard_swish"];

/// A case on its way to a model.
struct Builder<'a> {
    case: &'a Case,
    trace: SharedTrace,
    feeds: Vec<(String, BufferId)>,
}

impl Builder<'_> {
    fn add(&mut self, name: &str, ty: TensorType) -> Value {
        let mut trace = self.trace.lock().expect("not poisoned");
        let id = trace.graph.add(name, ty, Role::Input);
        self.feeds.push((name.to_string(), id));
        Value::new(self.trace.clone(), id)
    }

    /// An input whose first dimension is the batch.
    fn rows(&mut self, name: &str, dtype: DType) -> Value {
        let shape = &self.case.get(&format!("in.{name}")).shape;
        self.add(name, TensorType::new(dtype, Shape::rows(&shape[1..])))
    }

    /// An input of known sizes.
    fn fixed(&mut self, name: &str) -> Value {
        let shape = &self.case.get(&format!("in.{name}")).shape;
        self.add(name, TensorType::f32(Shape::fixed(shape)))
    }

    /// `x`: as a batch, unless its only dimension is needed.
    fn x(&mut self) -> Value {
        match self.case.get("in.x").shape.len() {
            1 => self.fixed("x"),
            _ => self.rows("x", DType::F32),
        }
    }
}

fn activation(builder: &mut Builder<'_>) -> Value {
    let case = builder.case;
    let activation = match case.text("op") {
        "relu" => Activation::Relu,
        "leaky_relu" => Activation::LeakyRelu(case.number("negative_slope")),
        "elu" => Activation::Elu(case.number("alpha")),
        "selu" => Activation::Selu,
        "gelu" if case.text("approximate") == "tanh" => Activation::GeluTanh,
        "gelu" => Activation::Gelu,
        "silu" => Activation::Silu,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "softplus" => Activation::Softplus,
        "mish" => Activation::Mish,
        "hard_swish" => Activation::HardSwish,
        other => panic!("{}: unknown activation `{other}`", case.name),
    };
    builder.x().layer(activation)
}

fn reduce(builder: &mut Builder<'_>) -> Value {
    let (case, x) = (builder.case, builder.x());
    let axes: Vec<usize> =
        serde_json::from_value(case.parameters["axes"].clone()).expect("a list of axes");
    match case.text("op") {
        "sum" => x.sum(&axes, case.flag("keepdim")),
        "mean" => x.mean(&axes, case.flag("keepdim")),
        "amax" => x.max(&axes, case.flag("keepdim")),
        "softmax" => x.softmax(),
        "log_softmax" => x.log_softmax(),
        other => panic!("{}: unknown reduction `{other}`", case.name),
    }
}

fn norm(builder: &mut Builder<'_>) -> Value {
    let (case, x) = (builder.case, builder.x());
    let (axes, epsilon) = (case.number("normalized_axes") as usize, case.number("eps"));
    let names = ["weight", "bias"].into_iter();
    let parameters: Vec<Value> = names
        .filter(|name| case.find(&format!("in.{name}")).is_some())
        .map(|name| builder.fixed(name))
        .collect();
    let parameters: Vec<&Value> = parameters.iter().collect();
    match case.text("op") {
        "layer_norm" => x.call(layer_norm::LayerNorm { axes, epsilon }, &parameters),
        "rms_norm" => x.call(rms_norm::RmsNorm { axes, epsilon }, &parameters),
        other => panic!("{}: unknown norm `{other}`", case.name),
    }
    .swap_remove(0)
}

fn matmul_op(case: &Case) -> Matmul {
    Matmul::new(case.flag("transpose_a"), case.flag("transpose_b"))
}

fn refused(case: &Case) -> bool {
    let ty = |role| TensorType::f32(Shape::fixed(&case.get(role).shape));
    let batch = |role| {
        let shape = &case.get(role).shape;
        shape[..shape.len() - 2].to_vec()
    };
    let (left, right) = (batch("in.a"), batch("in.b"));
    let served = left == right || (right.is_empty() && !case.flag("transpose_a"));
    let accepted = matmul_op(case).outputs(&[ty("in.a"), ty("in.b")]).is_ok();
    assert_eq!(accepted, served, "{}", case.name);
    !served
}

fn matmul(builder: &mut Builder<'_>) -> Value {
    let (a, b) = (builder.fixed("a"), builder.fixed("b"));
    a.one(matmul_op(builder.case), &[&b])
}

fn cross_entropy(builder: &mut Builder<'_>) -> Value {
    let case = builder.case;
    let logits = builder.rows("logits", DType::F32);
    let hard = case.get("in.target").shape.len() == 1;
    let target = builder.rows("target", if hard { DType::U32 } else { DType::F32 });
    let op = SoftmaxCrossEntropy { label_smoothing: case.number("label_smoothing") };
    let losses = logits.one(op, &[&target]);
    if case.find("in.sample_weight").is_some() {
        let weight = builder.rows("sample_weight", DType::F32);
        return (&losses * &weight).sum(&[0], false) / weight.sum(&[0], false);
    }
    match case.text("reduction") {
        "none" => losses,
        "sum" => losses.sum(&[0], false),
        "mean" => losses.mean(&[0], false),
        other => panic!("{}: unknown reduction `{other}`", case.name),
    }
}

fn layer(builder: &mut Builder<'_>) -> Value {
    let (case, x) = (builder.case, builder.x());
    let y = match case.text("layer") {
        "linear" => {
            let outputs = case.get("in.weight").shape[0];
            x.named("linear", Dense::new(outputs).bias(case.find("in.bias").is_some()))
        }
        "residual" => &x + &x.named("fc1", Dense::new(5)).relu().named("fc2", Dense::new(6)),
        "pre_norm_residual" => {
            let hidden = x.named("norm", LayerNorm::new()).named("fc1", Dense::new(7));
            &x + &hidden.gelu().named("fc2", Dense::new(6))
        }
        "attention" => {
            let dense = || Dense::new(6).bias(false);
            let [q, k, v] = ["q", "k", "v"].map(|name| x.named(name, dense()));
            let scores = (q.matmul_transposed(&k) / 6f64.sqrt()).softmax();
            scores.matmul(&v).named("out", dense())
        }
        other => panic!("{}: unknown layer `{other}`", case.name),
    };
    // Parameters become inputs, under the names of the fixture.
    let mut trace = builder.trace.lock().expect("not poisoned");
    for parameter in trace.parameters.clone() {
        trace.graph.buffers[parameter.buffer.index()].role = Role::Input;
        let name = parameter.name.strip_prefix("linear.").unwrap_or(&parameter.name);
        builder.feeds.push((name.to_string(), parameter.buffer));
    }
    y
}

/// Builds the case's model, runs both passes and compares.
fn compare(case: &Case, build: fn(&mut Builder<'_>) -> Value, bound: f64) {
    let trace: SharedTrace = Arc::new(Mutex::new(Trace::default()));
    let mut builder = Builder { case, trace: trace.clone(), feeds: vec![] };
    let output = build(&mut builder);
    let feeds = builder.feeds;
    let trace = trace.lock().expect("not poisoned");
    assert_eq!(trace.error, None, "{}", case.name);
    let role = |kind: &str, name: &str| format!("{kind}.{name}");
    let tensors: Vec<_> = feeds.iter().map(|(name, _)| case.get(&role("in", name))).collect();
    let has_rows = feeds.iter().map(|(_, id)| trace.graph.ty(*id).shape.has_rows());
    let rows = has_rows.zip(&tensors).find(|(rows, _)| *rows).map_or(1, |(_, t)| t.shape[0]);
    let wanted: Vec<_> =
        (0..feeds.len()).filter(|&i| case.find(&role("grad", &feeds[i].0)).is_some()).collect();
    let model = SmallModel {
        graph: trace.graph.clone(),
        feeds: feeds.iter().map(|(_, id)| *id).collect(),
        outputs: vec![("y0".into(), output.id())],
        differentiated: vec![0],
        wanted: wanted.clone(),
        rows,
        loss: None,
    };
    drop(trace);
    let result = ["y", "loss"].into_iter().find(|n| case.find(&role("out", n)).is_some());
    let result = result.expect("a result");
    let cotangent = &case.get(&role("cotangent", result)).elements;
    let mut differentiator = Differentiator::new(model, |_, i| cotangent[i]);
    let inputs: Vec<_> = tensors.iter().map(|t| t.elements.clone()).collect();
    differentiator.loss(&inputs);
    let expected = &case.get(&role("out", result)).elements;
    assert_agrees(&format!("{}, {result}", case.name), &differentiator.output(0), expected, bound);
    for i in wanted {
        let name = role("grad", &feeds[i].0);
        let expected = &case.get(&name).elements;
        let what = format!("{}, {name}", case.name);
        assert_agrees(&what, &differentiator.gradient(i), expected, bound);
    }
}

/// Within `bound`, relative to `max(1, |value|)`. Where an activation of PyTorch is NaN, the limit may
/// stand: its formulas meet 0 · ∞.
#[track_caller]
fn assert_agrees(what: &str, got: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(got.len(), expected.len(), "{what}: number of elements");
    for (i, (&g, &e)) in got.iter().zip(expected).enumerate() {
        let nan = e.is_nan() && (g.is_nan() || LIMITS.iter().any(|name| what.starts_with(name)));
        let agrees = g == e || nan || (g - e).abs() <= bound * e.abs().max(1.0);
        assert!(agrees, "{what}: element {i} is {g}, expected {e}");
    }
}

/// Compares all cases of a family but the exceptions; each exception must be needed.
fn compare_family(family: &str, build: fn(&mut Builder<'_>) -> Value) {
    let exceptions: Vec<_> = NOT_COVERED.iter().filter(|e| e.0 == family).collect();
    let mut met = vec![0; exceptions.len()];
    let mut compared = 0;
    for case in cases(family) {
        let excepted = exceptions.iter().position(|(_, is_one, _)| is_one(&case));
        if let Some(excepted) = excepted {
            met[excepted] += 1;
            continue;
        }
        let offset = case.name.ends_with("_offset");
        let bound = if offset { bounds::PYTORCH_OFFSET } else { bounds::PYTORCH };
        compare(&case, build, bound);
        compared += 1;
    }
    println!("{family}: {compared} cases compared");
    for ((_, _, reason), met) in exceptions.iter().zip(met) {
        println!("{family}: {met} cases not compared: {reason}");
        assert!(met > 0, "no case needs the exception: {reason}");
    }
    assert!(compared > 0, "no case of {family} was compared");
}

#[test]
fn activations_agree() {
    compare_family("pointwise", activation);
}

#[test]
fn reductions_and_softmax_agree() {
    compare_family("reduce", reduce);
}

#[test]
fn norms_agree() {
    compare_family("norm", norm);
}

#[test]
fn matrix_products_agree() {
    compare_family("matmul", matmul);
}

#[test]
fn cross_entropy_agrees() {
    compare_family("cross_entropy", cross_entropy);
}

#[test]
fn layers_agree() {
    compare_family("layers", layer);
}

#[test]
fn warps_agree_with_pytorch() {
    let all = cases("warp");
    for case in &all {
        let (x, maps) = (case.get("in.x"), case.get("in.map"));
        let mut inputs = vec![x.elements.clone()];
        inputs.extend((0..6).map(|k| maps.elements.iter().skip(k).step_by(6).copied().collect()));
        let mut types = vec![TensorType::f32(Shape::rows(&x.shape[1..]))];
        types.resize(7, TensorType::f32(Shape::rows(&[])));
        let op = Warp { fill: 0.0 };
        let call = ironwarp::op::Case::new(op, types, x.shape[0]);
        let got = run_reference(&op, &call, &inputs).remove(0);
        pytorch::assert_close(&case.name, &got, &case.get("out.y").elements);
    }
    assert_eq!(all.len(), 14);
}
