//! Moves and look-ups, forward and backward, against what PyTorch computed.

use std::path::Path;
use std::sync::Arc;

use ironwarp::exec::Executor;
use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::op::concatenate::Concatenate;
use ironwarp::op::expression::Expr;
use ironwarp::op::gather::Gather;
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::reduce::{Reduce, Reduction};
use ironwarp::op::reshape::Reshape;
use ironwarp::op::slice::Slice;
use ironwarp::op::transpose::Transpose;
use ironwarp::op::{BufferId, Graph, Live, Mode, Op, Role};
use ironwarp::plan::{Clip, Lasting, Plan, Request, RowLoss};
use ironwarp::tensor::{DType, Shape, TensorType};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// One tensor of a fixture, integers as floats.
struct Array {
    dtype: DType,
    shape: Vec<usize>,
    values: Vec<f64>,
}

fn array(file: &SafeTensors<'_>, name: &str) -> Option<Array> {
    let view = file.tensor(name).ok()?;
    let words = view.data().chunks_exact(8).map(|c| c.try_into().expect("eight bytes"));
    let (dtype, values) = match view.dtype() {
        Dtype::F64 => (DType::F32, words.map(f64::from_le_bytes).collect()),
        Dtype::I64 => (DType::U32, words.map(|w| i64::from_le_bytes(w) as f64).collect()),
        other => panic!("{name} holds {other:?}"),
    };
    Some(Array { dtype, shape: view.shape().to_vec(), values })
}

/// A graph with constant-size feeds; the last step's result is the case's.
struct Builder {
    graph: Graph,
}

impl Builder {
    fn feed(&mut self, name: &str, array: &Array) -> BufferId {
        let ty = TensorType::new(array.dtype, Shape::fixed(&array.shape));
        self.graph.add(name, ty, Role::Input)
    }

    fn call(&mut self, op: impl Op, inputs: &[BufferId]) -> BufferId {
        self.graph.call(Arc::new(op), inputs, "case").expect("the fixture's shapes fit")[0]
    }

    /// What the fixture's parameters say, over the inputs in order.
    fn case(&mut self, parameters: &Value, inputs: &[BufferId]) -> BufferId {
        let number = |name: &str| parameters[name].as_u64().expect("a number") as usize;
        let list = |name: &str| -> Vec<usize> {
            let list = parameters[name].as_array().expect("a list");
            list.iter().map(|n| n.as_u64().expect("a number") as usize).collect()
        };
        match parameters["op"].as_str().expect("a name") {
            "embedding" => self.call(Gather, inputs),
            "index_select" => {
                // Gather takes the first axis: the wanted one changes places with it.
                let mut axes: Vec<_> = (0..self.graph.ty(inputs[0]).shape.rank()).collect();
                axes.swap(0, number("axis"));
                let turned = self.call(Transpose { axes: axes.clone() }, &inputs[..1]);
                let rows = self.call(Gather, &[turned, inputs[1]]);
                self.call(Transpose { axes }, &[rows])
            }
            "reshape" => self.call(Reshape { shape: Shape::fixed(&list("shape")) }, inputs),
            "permute" => self.call(Transpose { axes: list("axes") }, inputs),
            "cat" => self.call(Concatenate { axis: number("axis") }, inputs),
            "slice" => self.slice(
                number("axis"),
                number("start"),
                number("end"),
                number("step"),
                inputs[0],
            ),
            "broadcast" => {
                let shape = Shape::fixed(&list("shape"));
                self.call(Pointwise::new(1, &Expr::input(0)).with_shape(shape), inputs)
            }
            other => panic!("no op for `{other}`"),
        }
    }

    /// Slices have no steps: with one, single indices are joined.
    fn slice(
        &mut self,
        axis: usize,
        start: usize,
        end: usize,
        step: usize,
        x: BufferId,
    ) -> BufferId {
        if step == 1 {
            return self.call(Slice { axis, range: start..end }, &[x]);
        }
        let single = |i| Slice { axis, range: i..i + 1 };
        let parts: Vec<_> =
            (start..end).step_by(step).map(|i| self.call(single(i), &[x])).collect();
        self.call(Concatenate { axis }, &parts)
    }
}

/// Result, and gradients of the float inputs, of one case.
fn run(parameters: &Value, inputs: &[(String, Array)], cotangent: &Array) -> Vec<Vec<f64>> {
    let mut builder = Builder { graph: Graph::default() };
    let feeds: Vec<_> = inputs.iter().map(|(name, array)| builder.feed(name, array)).collect();
    let result = builder.case(parameters, &feeds);
    assert_eq!(builder.graph.ty(result).shape, Shape::fixed(&cotangent.shape));
    let upstream = builder.feed("cotangent", cotangent);
    let product = Pointwise::new(2, &(Expr::input(0) * Expr::input(1)));
    let mut loss = builder.call(product, &[result, upstream]);
    let axes: Vec<_> = (0..cotangent.shape.len()).collect();
    if !axes.is_empty() {
        loss = builder.call(Reduce::new(Reduction::Sum, &axes, false), &[loss]);
    }
    let value = builder.call(Reshape { shape: Shape::fixed(&[1]) }, &[loss]);
    let lasting = Lasting::new(&[], &["penalty_share".to_string()]);
    let wanted: Vec<_> =
        feeds.iter().copied().filter(|&id| builder.graph.ty(id).dtype.is_float()).collect();
    let request = Request {
        model: &builder.graph,
        outputs: &[("y".to_string(), result)],
        losses: &[RowLoss { name: "sum".into(), value, factor: 1.0, weighted: false }],
        mode: Mode::Training,
        capacity: 1,
        accumulate: false,
        clip: Clip::None,
        gradients: &wanted,
    };
    let plan = Arc::new(Plan::build(&request, &lasting).expect("a plan"));
    let mut executor = ReferenceExecutor::new(&lasting, Rounding::None);
    let id = executor.load(plan.clone()).expect("memory");
    executor.write_f64(lasting.scalar("penalty_share").expect("laid out"), &[1.0]);
    for (name, array) in inputs {
        executor.feed_f64(id, plan.feed(name).expect("a feed"), &array.values);
    }
    executor.feed_f64(id, plan.feed("cotangent").expect("a feed"), &cotangent.values);
    executor
        .run(id, 0..plan.backward.end, &Live { rows: 1, seed: 0, step: 0 })
        .expect("the plan runs");
    plan.outputs.iter().map(|(_, buffer)| executor.fetch_f64(id, *buffer, 1)).collect()
}

/// Runs every case of a family; moved elements are equal, sums of gradients nearly so.
fn check(family: &str, expected_cases: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(family);
    let bytes = std::fs::read(path.with_extension("safetensors")).expect("the fixture is there");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
    let metadata = header.metadata().as_ref().expect("metadata");
    let cases: Value = serde_json::from_str(&metadata["cases"]).expect("JSON");
    let cases = cases.as_object().expect("an object");
    assert_eq!(cases.len(), expected_cases, "cases of {family}");
    for (case, parameters) in cases {
        let names: &[&str] = match parameters["op"].as_str() {
            Some("embedding") => &["table", "indices"],
            Some("index_select") => &["x", "indices"],
            Some("cat") => &["x0", "x1", "x2"],
            _ => &["x"],
        };
        let inputs: Vec<_> = names
            .iter()
            .filter_map(|n| Some((n.to_string(), array(&file, &format!("{case}/in.{n}"))?)))
            .collect();
        let cotangent = array(&file, &format!("{case}/cotangent.y")).expect("a cotangent");
        let got = run(parameters, &inputs, &cotangent);
        let gradients = inputs.iter().filter(|(_, a)| a.dtype.is_float());
        let gradients = gradients.map(|(n, _)| format!("{case}/grad.{n}"));
        let wanted: Vec<_> = std::iter::once(format!("{case}/out.y")).chain(gradients).collect();
        assert_eq!(got.len(), wanted.len(), "{case}");
        for (got, name) in got.iter().zip(&wanted) {
            let expected = array(&file, name).expect("recorded").values;
            assert_eq!(got.len(), expected.len(), "{name}");
            // At most 200 terms are added: 200 u = 2.2e-14 of their absolute sum, which is tens.
            let summed = name.contains("/grad.")
                && !["cat", "permute", "reshape", "slice"].iter().any(|p| case.starts_with(p));
            let bound = if summed { 1e-12 } else { 0.0 };
            for (g, e) in got.iter().zip(&expected) {
                assert!((g - e).abs() <= bound * e.abs().max(1.0), "{name}: {g}, not {e}");
            }
        }
    }
}

#[test]
fn look_ups_agree_with_pytorch() {
    check("gather", 12);
}

#[test]
fn moves_agree_with_pytorch() {
    check("layout", 28);
}
