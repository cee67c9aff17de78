//! Dropout: its mask is binomial, new in each step, the same for the same seed and step, whatever
//! the number of threads, and the same backward as forward.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use ironwarp::exec::cpu::CpuExecutor;
use ironwarp::exec::{Executor, FeedMut};
use ironwarp::layer::value::Trace;
use ironwarp::layer::{Dropout, Value};
use ironwarp::op::{BufferId, Graph, Live, Mode, Role};
use ironwarp::plan::{Clip, Lasting, Plan, Request, RowLoss};
use ironwarp::tensor::{Shape, TensorType};

// Long lists are compared with `assert!(a == b)`: a failure prints no hundred thousand numbers.

const COLUMNS: usize = 1021;
const ROWS: usize = 97;
const COUNT: usize = COLUMNS * ROWS;

/// A traced model and its input.
fn trace(f: impl FnOnce(&Value) -> Vec<Value>) -> (Graph, BufferId, Vec<BufferId>) {
    let mut trace = Trace::default();
    let ty = TensorType::f32(Shape::rows(&[COLUMNS]));
    let x = trace.graph.add("x", ty, Role::Input);
    let trace = Arc::new(Mutex::new(trace));
    let values = f(&Value::new(trace.clone(), x));
    let trace = trace.lock().expect("no panic before");
    assert_eq!(trace.error, None);
    (trace.graph.clone(), x, values.iter().map(Value::id).collect())
}

/// A plan of the model with outputs `0`, `1`, ...; in training the loss is the sum of the first,
/// and `x.gradient` an output more.
fn plan(model: &(Graph, BufferId, Vec<BufferId>), mode: Mode) -> (Arc<Plan>, Lasting) {
    let (mut graph, x, values) = model.clone();
    let layer = "loss";
    let sum = ironwarp::op::reduce::Reduce::new(ironwarp::op::reduce::Reduction::Sum, &[1], false);
    let value = graph.call(Arc::new(sum), &values[..1], layer).expect("types fit")[0];
    let outputs: Vec<_> = values.iter().enumerate().map(|(i, &id)| (i.to_string(), id)).collect();
    let loss = RowLoss { name: "sum".into(), value, factor: 1.0, weighted: false };
    let training = mode == Mode::Training;
    let lasting = Lasting::new(&[], &["normalizer/sum".to_string()]);
    let request = Request {
        model: &graph,
        outputs: &outputs,
        losses: if training { std::slice::from_ref(&loss) } else { &[] },
        mode,
        capacity: ROWS,
        accumulate: false,
        clip: Clip::None,
        gradients: if training { std::slice::from_ref(&x) } else { &[] },
    };
    (Arc::new(Plan::build(&request, &lasting).expect("a plan")), lasting)
}

/// The plan's outputs for an input of ones.
fn run(plan: &(Arc<Plan>, Lasting), threads: usize, seed: u64, step: u64) -> Vec<Vec<f32>> {
    let (plan, lasting) = plan;
    let threads = NonZeroUsize::new(threads).expect("not zero");
    let mut cpu = CpuExecutor::new(lasting, threads).expect("threads start");
    let id = cpu.load(plan.clone()).expect("memory");
    cpu.write(lasting.scalar("normalizer/sum").expect("laid out"), &[1.0]).expect("memory");
    cpu.feed(id, plan.feed("x").expect("the input"), ROWS, &mut |target| match target {
        FeedMut::F32(target) => target.fill(1.0),
        FeedMut::U32(_) => panic!("floats"),
    })
    .expect("memory");
    cpu.run(id, 0..plan.backward.end, &Live { rows: ROWS, seed, step }).expect("the plan runs");
    let fetch = |(_, buffer): &(String, BufferId)| {
        let mut elements = vec![0.0; COUNT];
        cpu.fetch(id, *buffer, ROWS, &mut elements).expect("the plan runs");
        elements
    };
    plan.outputs.iter().map(fetch).collect()
}

fn training(probability: f64) -> (Arc<Plan>, Lasting) {
    plan(&trace(|x| vec![x.layer(Dropout::new(probability))]), Mode::Training)
}

fn zeros(values: &[f32]) -> usize {
    values.iter().filter(|v| **v == 0.0).count()
}

/// Whether `count` of `trials` is within five deviations of a binomial distribution's mean.
fn fits(count: usize, trials: usize, probability: f64) -> bool {
    let mean = trials as f64 * probability;
    let deviation = (mean * (1.0 - probability)).sqrt();
    (count as f64 - mean).abs() <= 5.0 * deviation
}

#[test]
fn the_mask_is_binomial_and_the_rest_is_scaled() {
    for probability in [0.1, 0.5, 0.9] {
        let plan = training(probability);
        for step in 0..3 {
            let y = &run(&plan, 2, 7, step)[0];
            let dropped = zeros(y);
            assert!(fits(dropped, COUNT, probability), "{probability}: {dropped} of {COUNT}");
            let kept = 1.0 / (1.0 - f64::from(probability as f32)) as f32;
            assert!(y.iter().all(|&y| y == 0.0 || y == kept));
            // The mean of the input, 1, is kept: mean and share of the kept ones say the same.
            let mean = y.iter().map(|&y| f64::from(y)).sum::<f64>() / COUNT as f64;
            let deviation = (probability / (1.0 - probability) / COUNT as f64).sqrt();
            assert!((mean - 1.0).abs() <= 5.0 * deviation, "{probability}: mean {mean}");
            // Neighbours are independent: so are both of a pair dropped.
            let pairs = y.chunks_exact(2).filter(|p| zeros(p) == 2).count();
            assert!(fits(pairs, COUNT / 2, probability * probability), "{probability}: {pairs}");
        }
    }
}

#[test]
fn probabilities_0_and_1_keep_and_drop_everything() {
    assert!(run(&training(0.0), 1, 7, 0) == vec![vec![1.0; COUNT]; 2]);
    assert!(run(&training(1.0), 1, 7, 0) == vec![vec![0.0; COUNT]; 2]);
}

#[test]
fn the_mask_depends_on_seed_step_and_layer_alone() {
    let plan = training(0.5);
    let y = run(&plan, 1, 7, 3);
    for threads in [1, 2, 3, 8] {
        assert!(run(&plan, threads, 7, 3) == y);
    }
    let differ = |other: &[f32]| y[0].iter().zip(other).filter(|(a, b)| a != b).count();
    assert!(fits(differ(&run(&plan, 1, 7, 4)[0]), COUNT, 0.5), "another step");
    assert!(fits(differ(&run(&plan, 1, 8, 3)[0]), COUNT, 0.5), "another seed");
    let two = trace(|x| vec![x.dropout(0.5), x.dropout(0.5)]);
    let both = run(&self::plan(&two, Mode::Training), 1, 7, 3);
    assert!(both[0] == y[0]);
    assert!(fits(differ(&both[1]), COUNT, 0.5), "another layer");
}

#[test]
fn backward_uses_the_mask_of_forward() {
    let plan = training(0.3);
    for step in 0..3 {
        let outputs = run(&plan, 2, 7, step);
        // The input is ones and so is the upstream gradient: both are mask / (1 - p).
        assert!(outputs[0] == outputs[1]);
        assert!(zeros(&outputs[1]) > 0);
    }
    // Also where something stands between, and after it is fused.
    let chain = trace(|x| vec![((x * 2.0).dropout(0.3) * 4.0).transpose(&[0, 1])]);
    let outputs = run(&self::plan(&chain, Mode::Training), 2, 7, 0);
    assert!(outputs[0] == outputs[1]);
    assert!(fits(zeros(&outputs[0]), COUNT, 0.3));
}

#[test]
fn evaluation_has_no_step_for_it() {
    let direct =
        plan(&trace(|x| vec![x.dropout(0.5), x.dropout(0.5).dropout(0.1)]), Mode::Evaluation);
    assert_eq!(direct.0.graph.steps.len(), 0);
    assert!(run(&direct, 1, 7, 0) == vec![vec![1.0; COUNT]; 2]);
    let inside = plan(&trace(|x| vec![(x * 2.0).dropout(0.5) + x]), Mode::Evaluation);
    assert_eq!(inside.0.graph.steps.len(), 1);
    assert!(run(&inside, 1, 7, 0) == [vec![3.0; COUNT]]);
}

#[test]
fn a_wrong_probability_is_refused() {
    for probability in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        let mut trace = Trace::default();
        let ty = TensorType::f32(Shape::rows(&[2]));
        let x = trace.graph.add("x", ty, Role::Input);
        let trace = Arc::new(Mutex::new(trace));
        Value::new(trace.clone(), x).layer(Dropout::new(probability));
        let error = trace.lock().expect("no panic before").error.clone();
        let message = error.expect("refused").to_string();
        assert!(message.contains("dropout_1") && message.contains("0..=1"), "{message}");
    }
}
