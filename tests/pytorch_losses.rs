//! Losses against PyTorch: values and gradients of whole plans, in `f64`. Every case of the two
//! families is run; what is no loss of its own is composed here as a user would.

mod pytorch;

use std::sync::{Arc, Mutex};

use ironwarp::exec::Executor;
use ironwarp::exec::reference::{ReferenceExecutor, Rounding};
use ironwarp::layer::Value;
use ironwarp::layer::value::Trace;
use ironwarp::loss::{
    BinaryCrossEntropy, CrossEntropy, Hinge, Huber, KullbackLeibler, LogCosh, Loss,
    MeanAbsoluteError, MeanSquaredError, SoftCrossEntropy,
};
use ironwarp::op::{Live, Mode, Role};
use ironwarp::plan::{Clip, Lasting, Plan, Request, RowLoss};
use ironwarp::tensor::{Shape, TensorType};
use pytorch::{Case, assert_close, cases};

/// Rows of outputs and targets, row-major.
#[derive(Clone)]
struct Batch {
    rows: usize,
    columns: usize,
    output: Vec<f64>,
    target: Vec<f64>,
    /// One per row.
    weights: Option<Vec<f64>>,
    /// What the sum over rows is multiplied with.
    normalizer: f64,
}

/// Loss of each row, their weighted sum, and the gradient of the output.
struct Outcome {
    rows: Vec<f64>,
    total: f64,
    gradient: Vec<f64>,
}

fn run(loss: &dyn Loss, batch: &Batch) -> Outcome {
    let trace = Arc::new(Mutex::new(Trace::default()));
    let ty = TensorType::f32(Shape::rows(&[batch.columns]));
    let (y, t) = {
        let graph = &mut trace.lock().expect("not poisoned").graph;
        let y = graph.add("y", ty.clone(), Role::Input);
        (y, graph.add("t", loss.target(&ty), Role::Target))
    };
    let value = loss.forward(&Value::new(trace.clone(), y), &Value::new(trace.clone(), t));
    let trace = trace.lock().expect("not poisoned");
    assert!(trace.error.is_none(), "{}: {:?}", loss.name(), trace.error);
    let lasting = Lasting::new(&[], &["normalizer/loss".into()]);
    let weighted = batch.weights.is_some();
    let losses = [RowLoss { name: "loss".into(), value: value.id(), factor: 1.0, weighted }];
    let request = Request {
        model: &trace.graph,
        outputs: &[("rows".into(), value.id())],
        losses: &losses,
        mode: Mode::Training,
        capacity: batch.rows,
        accumulate: false,
        clip: Clip::None,
        gradients: &[y],
    };
    let plan = Arc::new(Plan::build(&request, &lasting).expect("a plan"));
    let mut executor = ReferenceExecutor::new(&lasting, Rounding::None);
    executor.write_f64(lasting.scalar("normalizer/loss").expect("laid out"), &[batch.normalizer]);
    let id = executor.load(plan.clone()).expect("memory");
    let feeds = [("y", Some(&batch.output)), ("t", Some(&batch.target))];
    for (name, values) in feeds.into_iter().chain([("weights/loss", batch.weights.as_ref())]) {
        // The gradient of some losses does without the output or the target.
        if let (Some(feed), Some(values)) = (plan.feed(name), values) {
            executor.feed_f64(id, feed, values);
        }
    }
    executor
        .run(id, 0..plan.update.end, &Live { rows: batch.rows, seed: 0, step: 1 })
        .expect("the plan runs");
    let output = |name: &str| {
        let (_, id) = plan.outputs.iter().find(|(n, _)| n == name).expect("an output");
        *id
    };
    Outcome {
        rows: executor.fetch_f64(id, output("rows"), batch.rows),
        total: executor.fetch_f64(id, plan.losses[0].1, batch.rows)[0],
        gradient: executor.fetch_f64(id, output("y.gradient"), batch.rows),
    }
}

/// The loss of a case of the family `losses`.
fn loss(case: &Case) -> Box<dyn Loss> {
    match case.text("op") {
        "mse" => Box::new(MeanSquaredError),
        "mae" => Box::new(MeanAbsoluteError),
        "huber" => Box::new(Huber { delta: case.number("delta") }),
        "smooth_l1" => {
            let delta = case.number("beta");
            Box::new(move |y: &Value, t: &Value| Huber { delta }.forward(y, t) / delta)
        }
        "log_cosh" => Box::new(LogCosh),
        "hinge" => Box::new(Hinge),
        "squared_hinge" => Box::new(|y: &Value, t: &Value| {
            y.map2(t, |y, t| 1.0 - y * t).relu().map(|x| x.square()).mean_per_row()
        }),
        "bce_with_logits" => Box::new(BinaryCrossEntropy::default()),
        "kl_div" => Box::new(KullbackLeibler),
        // The divergence is the cross-entropy less the target's entropy.
        "kl_div_of_logits" => Box::new(|y: &Value, t: &Value| {
            let entropy = t.map(|t| t.equal(0.0).select(0.0, t * t.log())).sum(&[1], false);
            SoftCrossEntropy::default().forward(y, t) + entropy
        }),
        other => panic!("{}: no loss `{other}`", case.name),
    }
}

/// Output and target of a case, unweighted; vectors are rows of one element.
fn batch(case: &Case) -> Batch {
    let (y, t) = (case.get("in.y"), case.get("in.t"));
    Batch {
        rows: y.shape[0],
        columns: y.shape.get(1).copied().unwrap_or(1),
        output: y.elements.clone(),
        target: t.elements.clone(),
        weights: None,
        normalizer: 1.0,
    }
}

/// Weights of the elements, broadcast, and 1 where a case has none.
fn element_weights(case: &Case, batch: &Batch) -> Vec<f64> {
    let count = batch.rows * batch.columns;
    match case.find("in.weight") {
        None => vec![1.0; count],
        Some(w) if w.elements.len() == count => w.elements.clone(),
        Some(w) => (0..count).map(|i| w.elements[i / batch.columns]).collect(),
    }
}

/// A case with one loss per element, or weights per element: every element is a row.
fn by_element(case: &Case, loss: &dyn Loss) -> (Vec<f64>, f64, Vec<f64>) {
    let whole = batch(case);
    let count = whole.rows * whole.columns;
    let weights = element_weights(case, &whole);
    let upstream = match case.text("reduction") {
        "none" => case.get("cotangent.loss").elements.clone(),
        _ => vec![1.0; count],
    };
    let normalizer = if case.text("reduction") == "mean" { 1.0 / count as f64 } else { 1.0 };
    let product = weights.iter().zip(&upstream).map(|(w, u)| w * u).collect();
    let batch =
        Batch { rows: count, columns: 1, weights: Some(product), normalizer, ..whole.clone() };
    let outcome = run(loss, &batch);
    let rows = outcome.rows.iter().zip(&weights).map(|(l, w)| l * w).collect();
    (rows, outcome.total, outcome.gradient)
}

/// A case with a weight of positives for each column: every column has a loss of its own.
fn by_column(case: &Case, weights: &[f64]) -> (Vec<f64>, f64, Vec<f64>) {
    let whole = batch(case);
    let count = whole.rows * whole.columns;
    let elements = element_weights(case, &whole);
    let (mut rows, mut total, mut gradient) = (vec![0.0; count], 0.0, vec![0.0; count]);
    for (column, &positive_weight) in weights.iter().enumerate() {
        let places: Vec<_> = (0..whole.rows).map(|r| r * whole.columns + column).collect();
        let pick = |from: &[f64]| places.iter().map(|&i| from[i]).collect::<Vec<_>>();
        let upstream = match case.text("reduction") {
            "none" => pick(&case.get("cotangent.loss").elements),
            _ => vec![1.0; whole.rows],
        };
        let own = pick(&elements);
        let batch = Batch {
            columns: 1,
            output: pick(&whole.output),
            target: pick(&whole.target),
            weights: Some(own.iter().zip(upstream).map(|(w, u)| w * u).collect()),
            normalizer: if case.text("reduction") == "mean" { 1.0 / count as f64 } else { 1.0 },
            ..whole
        };
        let outcome = run(&BinaryCrossEntropy { positive_weight }, &batch);
        total += outcome.total;
        for (r, &place) in places.iter().enumerate() {
            rows[place] = outcome.rows[r] * own[r];
            gradient[place] = outcome.gradient[r];
        }
    }
    (rows, total, gradient)
}

/// A case whose rows are rows.
fn by_row(case: &Case, loss: &dyn Loss) -> (Vec<f64>, f64, Vec<f64>) {
    let mut batch = batch(case);
    match case.text("reduction") {
        // One value per row: the divergence.
        "none" => batch.weights = Some(case.get("cotangent.loss").elements.clone()),
        "sum" => batch.normalizer = batch.columns as f64,
        _ => {
            batch.weights = case.find("in.sample_weight").map(|w| w.elements.clone());
            let sum = batch.weights.as_ref().map_or(batch.rows as f64, |w| w.iter().sum());
            batch.normalizer = 1.0 / sum;
        }
    }
    let outcome = run(loss, &batch);
    (outcome.rows, outcome.total, outcome.gradient)
}

fn compare(case: &Case, gradient: &str, (rows, total, got): (Vec<f64>, f64, Vec<f64>)) {
    let expected = &case.get("out.loss").elements;
    match case.text("reduction") {
        "none" => assert_close(&case.name, &rows, expected),
        _ => assert_close(&case.name, &[total], expected),
    }
    let what = format!("{}, gradient", case.name);
    assert_close(&what, &got, &case.get(gradient).elements);
}

#[test]
fn losses_follow_pytorch() {
    let cases = cases("losses");
    assert_eq!(cases.len(), 90);
    for case in cases {
        let loss = loss(&case);
        let divergence = case.text("op").starts_with("kl_div");
        let elements = case.text("reduction") == "none" || case.find("in.weight").is_some();
        let outcome = match case.find("in.pos_weight") {
            Some(weights) => by_column(&case, &weights.elements),
            None if elements && !divergence => by_element(&case, &*loss),
            None => by_row(&case, &*loss),
        };
        compare(&case, "grad.y", outcome);
    }
}

/// Weights of the rows and what the mean divides by, after `tests/fixtures/README.md`.
fn row_weights(case: &Case, rows: usize, by_label: bool) -> (Vec<f64>, f64) {
    let target = &case.get("in.target").elements;
    let classes = case.find("in.class_weight").filter(|_| by_label);
    let samples = case.find("in.sample_weight");
    let weights: Vec<f64> = (0..rows)
        .map(|r| {
            let class = classes.map_or(1.0, |w| w.elements[target[r] as usize]);
            class * samples.map_or(1.0, |w| w.elements[r])
        })
        .collect();
    let sum = weights.iter().sum();
    (weights, sum)
}

/// Labels or distributions as weighted distributions: PyTorch's class weights also weigh the mass
/// that smoothing spreads.
fn weighted_target(case: &Case, rows: usize, classes: usize) -> Vec<f64> {
    let (target, smoothing) = (case.get("in.target"), case.number("label_smoothing"));
    let weight = case.find("in.class_weight");
    let share = |i: usize| match target.shape.len() {
        1 => f64::from(target.elements[i / classes] == (i % classes) as f64),
        _ => target.elements[i],
    };
    (0..rows * classes)
        .map(|i| {
            let weight = weight.map_or(1.0, |w| w.elements[i % classes]);
            weight * ((1.0 - smoothing) * share(i) + smoothing / classes as f64)
        })
        .collect()
}

#[test]
fn cross_entropy_follows_pytorch() {
    let cases = cases("cross_entropy");
    assert_eq!(cases.len(), 67);
    for case in cases {
        let logits = case.get("in.logits");
        let (rows, columns) = (logits.shape[0], logits.shape[1]);
        let hard = case.get("in.target").shape.len() == 1;
        let label_smoothing = case.number("label_smoothing");
        let class_weighted = case.find("in.class_weight").is_some();
        // Class weights of labels are weights of rows, unless some mass is spread over classes.
        let as_rows = hard && label_smoothing == 0.0;
        let as_target = class_weighted && !as_rows;
        let (loss, target): (Box<dyn Loss>, _) = match (hard, as_target) {
            (_, true) => {
                (Box::new(SoftCrossEntropy::default()), weighted_target(&case, rows, columns))
            }
            (true, false) => {
                (Box::new(CrossEntropy { label_smoothing }), case.get("in.target").elements.clone())
            }
            (false, false) => (
                Box::new(SoftCrossEntropy { label_smoothing }),
                case.get("in.target").elements.clone(),
            ),
        };
        let (weights, _) = row_weights(&case, rows, as_rows);
        let normalizer = match case.text("reduction") {
            // Smoothing or not, the mean over labels divides by the weights of the labels.
            "mean" => 1.0 / row_weights(&case, rows, hard).1,
            _ => 1.0,
        };
        let upstream = match case.text("reduction") {
            "none" => case.get("cotangent.loss").elements.clone(),
            _ => vec![1.0; rows],
        };
        let product = weights.iter().zip(upstream).map(|(w, u)| w * u).collect();
        let output = logits.elements.clone();
        let batch = Batch { rows, columns, output, target, weights: Some(product), normalizer };
        let outcome = run(&*loss, &batch);
        let values = outcome.rows.iter().zip(&weights).map(|(l, w)| l * w).collect();
        compare(&case, "grad.logits", (values, outcome.total, outcome.gradient));
    }
}

#[test]
fn parameters_out_of_range_are_refused() {
    let losses: [(Box<dyn Loss>, &str); 3] = [
        (Box::new(Huber { delta: 0.0 }), "`delta` is 0"),
        (Box::new(BinaryCrossEntropy { positive_weight: -1.0 }), "`positive_weight` is -1"),
        (Box::new(CrossEntropy { label_smoothing: 1.0 }), "label smoothing must be in 0..1"),
    ];
    for (loss, message) in losses {
        let trace = Arc::new(Mutex::new(Trace::default()));
        let ty = TensorType::f32(Shape::rows(&[3]));
        let (y, t) = {
            let graph = &mut trace.lock().expect("not poisoned").graph;
            let y = graph.add("y", ty.clone(), Role::Input);
            (y, graph.add("t", loss.target(&ty), Role::Target))
        };
        loss.forward(&Value::new(trace.clone(), y), &Value::new(trace.clone(), t));
        let trace = trace.lock().expect("not poisoned");
        let error = trace.error.as_ref().expect("an error").to_string();
        assert!(error.contains(message), "{error}");
    }
}
