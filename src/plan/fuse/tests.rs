use std::sync::Arc;

use crate::op::expression::{Expr, Program};
use crate::op::matmul::Matmul;
use crate::op::pointwise::Pointwise;
use crate::op::reduce::{Reduce, Reduction};
use crate::op::{AnyOp, BufferId, Graph, Mode, Role};
use crate::plan::{Clip, Lasting, Plan, Request, RowLoss};
use crate::tensor::{Shape, TensorType};

/// A graph over `x` of `[B, 4]` and `w` of `[4, 4]`, and their product.
fn product() -> (Graph, [BufferId; 3]) {
    let mut graph = Graph::default();
    let x = graph.add("x", TensorType::f32(Shape::rows(&[4])), Role::Input);
    let w = graph.add("w", TensorType::f32(Shape::fixed(&[4, 4])), Role::Input);
    let y = call(&mut graph, Matmul::nn(), &[x, w]);
    (graph, [x, w, y])
}

fn call(graph: &mut Graph, op: impl crate::op::Op, inputs: &[BufferId]) -> BufferId {
    let op: AnyOp = Arc::new(op);
    graph.call(op, inputs, "test").expect("types fit")[0]
}

/// The labels of the steps that compute these values.
fn steps(model: &Graph, outputs: &[BufferId]) -> Vec<String> {
    let outputs: Vec<_> = outputs.iter().map(|&id| (format!("y{}", id.0), id)).collect();
    let request = Request {
        model,
        outputs: &outputs,
        losses: &[],
        mode: Mode::Evaluation,
        capacity: 8,
        accumulate: false,
        clip: Clip::None,
        gradients: &[],
    };
    let plan = Plan::build(&request, &Lasting::new(&[], &[])).expect("a plan");
    plan.graph.steps.iter().map(|s| format!("{} -> {}", s.op.label(), s.outputs.len())).collect()
}

#[test]
fn an_activation_ends_the_product() {
    let (mut graph, [x, _, y]) = product();
    let sum = call(&mut graph, Pointwise::new(2, &(Expr::input(0) + Expr::input(1))), &[x, y]);
    let end = call(&mut graph, Pointwise::new(1, &Expr::input(0).tanh()), &[sum]);
    assert_eq!(steps(&graph, &[end]), ["matmul nn + tanh((x1 + x0)) -> 1"]);
    assert_eq!(steps(&graph, &[end, sum]), ["matmul nn + tanh((x1 + x0)); (x1 + x0) -> 2"]);
    assert_eq!(steps(&graph, &[end, y]), ["matmul nn + tanh((x1 + x0)); x0 -> 2"]);
}

#[test]
fn pointwise_steps_are_joined_before_the_product() {
    let (mut graph, [x, _, y]) = product();
    let square = call(&mut graph, Pointwise::new(1, &Expr::input(0).square()), &[x]);
    let gated = Pointwise::new(2, &(Expr::input(0) * Expr::input(1)));
    let end = call(&mut graph, gated, &[y, square]);
    assert_eq!(steps(&graph, &[end]), ["matmul nn + (x0 * (x1 * x1)) -> 1"]);
}

#[test]
fn a_step_that_reads_the_product_in_between_keeps_them_apart() {
    let (mut graph, [.., y]) = product();
    let sum = call(&mut graph, Reduce::new(Reduction::Sum, &[1], true), &[y]);
    let end = call(&mut graph, Pointwise::new(2, &(Expr::input(0) / Expr::input(1))), &[y, sum]);
    let expected = ["matmul nn -> 1", "sum over [1] -> 1", "pointwise (x0 / x1) -> 1"];
    assert_eq!(steps(&graph, &[end]), expected);
}

#[test]
fn two_products_keep_their_own_steps() {
    let (mut graph, [x, w, y]) = product();
    let other = call(&mut graph, Matmul::nt(), &[x, w]);
    let gated = Pointwise::new(2, &(Expr::input(0) * Expr::input(1).sigmoid()));
    let end = call(&mut graph, gated, &[y, other]);
    assert_eq!(steps(&graph, &[end]), ["matmul nn -> 1", "matmul nt + (x1 * sigmoid(x0)) -> 1"]);
}

#[test]
fn a_sum_of_rows_goes_with_the_product_that_reads_them_too() {
    let make = |read_between: bool| {
        let mut graph = Graph::default();
        let of = |width| TensorType::f32(Shape::rows(&[width]));
        let g = graph.add("g", of(4), Role::Input);
        let x = graph.add("x", of(3), Role::Input);
        let sum = call(&mut graph, Reduce::new(Reduction::Sum, &[0], false), &[g]);
        if read_between {
            call(&mut graph, Pointwise::new(1, &Expr::input(0).square()), &[sum]);
        }
        let product = call(&mut graph, Matmul::tn(), &[g, x]);
        let end = graph.steps.len();
        let left = super::join_row_sums(&mut graph, 0..end);
        assert_eq!(left, graph.steps.len());
        let last = graph.steps.last().expect("a step");
        (last.op.label(), last.outputs.clone(), [product, sum])
    };
    let (label, outputs, both) = make(false);
    assert_eq!((label.as_str(), outputs), ("matmul tn, row sums", both.to_vec()));
    let (label, outputs, [product, _]) = make(true);
    assert_eq!((label.as_str(), outputs), ("matmul tn", vec![product]));
}

#[test]
fn a_product_with_an_epilogue_is_not_differentiated() {
    let mut graph = Graph::default();
    let x = graph.add("x", TensorType::f32(Shape::rows(&[4])), Role::Input);
    let w = graph.add("w", TensorType::f32(Shape::fixed(&[4, 1])), Role::Input);
    let op = Matmul::nn().with_epilogue(Program::new(1, &[Expr::input(0).tanh()]));
    let y = call(&mut graph, op, &[x, w]);
    let value = call(&mut graph, Reduce::new(Reduction::Sum, &[1], false), &[y]);
    let losses = [RowLoss { name: "sum".into(), value, factor: 1.0, weighted: false }];
    let request = Request {
        model: &graph,
        outputs: &[],
        losses: &losses,
        mode: Mode::Training,
        capacity: 8,
        accumulate: false,
        clip: Clip::None,
        gradients: &[x],
    };
    let lasting = Lasting::new(&[], &["normalizer/sum".to_string()]);
    let error = Plan::build(&request, &lasting).expect_err("no gradient").to_string();
    assert!(error.contains("a matmul with an epilogue or row sums has no gradient"), "{error}");
}
