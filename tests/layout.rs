//! Layers that move elements: names, shapes, refusals; indices out of range.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use ironwarp::exec::cpu::CpuExecutor;
use ironwarp::exec::{Executor, FeedMut};
use ironwarp::layer::value::Trace;
use ironwarp::layer::{Dense, Embedding, Flatten, Reshape, Residual, Value};
use ironwarp::op::gather::{Gather, GatherGradient};
use ironwarp::op::{Graph, Live, Mode, Op, Role};
use ironwarp::plan::{Clip, Lasting, Plan, Request};
use ironwarp::tensor::{DType, Shape, TensorType};

fn input(dtype: DType, sizes: &[usize]) -> Value {
    let mut trace = Trace::default();
    let x = trace.graph.add("x", TensorType::new(dtype, Shape::rows(sizes)), Role::Input);
    Value::new(Arc::new(Mutex::new(trace)), x)
}

fn error(value: &Value) -> Option<String> {
    value.trace().lock().expect("no panic before").error.as_ref().map(ToString::to_string)
}

#[test]
fn layers_have_their_shapes_and_names() {
    let ids = input(DType::U32, &[4]);
    let y = ids.slice(1, 1..3).layer(Embedding::new(7, 3)).layer(Flatten);
    let y = y.layer(Residual::new(Dense::new(6))).layer(Reshape::new(&[3, 2]));
    let y = y.concatenate(&[&y], 2).transpose(&[0, 2, 1]);
    assert_eq!(error(&y), None);
    assert_eq!(y.shape(), Shape::rows(&[4, 3]));
    let trace = y.trace().lock().expect("no panic before");
    let names: Vec<_> = trace.parameters.iter().map(|p| p.name.as_str()).collect();
    let dense = ["residual_1.dense_1.weight", "residual_1.dense_1.bias"];
    assert_eq!(names, ["embedding_1.weight", dense[0], dense[1]]);
}

#[test]
fn what_does_not_fit_is_refused() {
    type Layer = fn(&Value) -> Value;
    let refusals: [(&str, Layer); 8] = [
        ("rows", |x| x.transpose(&[1, 0])),
        ("once", |x| x.transpose(&[0, 0])),
        ("rows", |x| x.slice(0, 0..1)),
        ("0..4", |x| x.slice(1, 3..5)),
        ("no such axis", |x| x.concatenate(&[x], 2)),
        ("rows", |x| x.concatenate(&[x], 0)),
        ("u32", |x| x.layer(Embedding::new(3, 2))),
        ("keep the shape", |x| x.layer(Residual::new(Dense::new(1)))),
    ];
    for (part, f) in refusals {
        let message = error(&f(&input(DType::F32, &[4]))).expect("refused");
        assert!(message.contains(part), "{message}");
    }
}

/// Runs one op on the CPU: indices, then floats.
fn run(op: impl Op, types: [TensorType; 2], floats: &[f32], indices: &[u32]) -> Vec<f32> {
    let mut graph = Graph::default();
    let feeds = types.map(|ty| graph.add(format!("{}", ty.dtype), ty, Role::Input));
    let result = graph.call(Arc::new(op), &feeds, "case").expect("types fit")[0];
    let lasting = Lasting::new(&[], &[]);
    let request = Request {
        model: &graph,
        outputs: &[("y".to_string(), result)],
        losses: &[],
        mode: Mode::Evaluation,
        capacity: 1,
        accumulate: false,
        clip: Clip::None,
        gradients: &[],
    };
    let plan = Arc::new(Plan::build(&request, &lasting).expect("a plan"));
    let mut cpu = CpuExecutor::new(&lasting, NonZeroUsize::MIN).expect("threads start");
    let id = cpu.load(plan.clone()).expect("memory");
    for (_, feed) in &plan.feeds {
        cpu.feed(id, *feed, 1, &mut |target| match target {
            FeedMut::F32(target) => target.copy_from_slice(floats),
            FeedMut::U32(target) => target.copy_from_slice(indices),
        })
        .expect("memory");
    }
    cpu.run(id, plan.forward.clone(), &Live { rows: 1, seed: 0, step: 0 }).expect("the plan runs");
    let mut elements = vec![0.0; graph.ty(result).shape.elements(1)];
    cpu.fetch(id, plan.outputs[0].1, 1, &mut elements).expect("the plan runs");
    elements
}

#[test]
fn an_index_out_of_range_gives_nan_and_no_gradient() {
    let table = TensorType::f32(Shape::fixed(&[2, 2]));
    let indices = TensorType::new(DType::U32, Shape::fixed(&[3]));
    let upstream = TensorType::f32(Shape::fixed(&[3, 2]));
    for wrong in [2, 3, u32::MAX] {
        let at = [1, wrong, 1];
        let y = run(Gather, [table.clone(), indices.clone()], &[1.0, 2.0, 3.0, 4.0], &at);
        assert_eq!([y[0], y[1], y[4], y[5]], [3.0, 4.0, 3.0, 4.0]);
        assert!(y[2].is_nan() && y[3].is_nan());
        let op = GatherGradient { rows: 2 };
        let floats = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let gradient = run(op, [indices.clone(), upstream.clone()], &floats, &at);
        assert_eq!(gradient, [0.0, 0.0, 6.0, 8.0]);
    }
}
