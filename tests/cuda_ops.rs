//! Every op's CUDA kernels, over the op's own cases, on the device: against the definition,
//! and the same bits in every order of threads and blocks and for every content of fresh memory.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use common::exact::ExactCases;
use common::model::{SmallModel, run_reference};
use common::{bounds, inputs};
use emulator::{Order, Settings};
use ironwarp::exec::cuda::{CudaExecutor, Replay};
use ironwarp::op::launch::{Launch, Launches};
use ironwarp::op::{CallTypes, Case, Registry, Target};

fn launches(case: &Case) -> Option<Launches> {
    let outputs = case.op.outputs(&case.inputs).expect("the case's types fit");
    let types = CallTypes { inputs: case.inputs.clone(), outputs };
    case.op.launches(&types, case.rows, &Target { capability: (9, 0) })
}

/// Dropout never stands in a plan.
fn has_cuda_form(case: &Case) -> bool {
    case.op.name() == "dropout" || launches(case).is_some()
}

/// The cases by their number of rows: one plan each, whose kernels compile side by side.
fn plans() -> BTreeMap<usize, Vec<Case>> {
    let mut plans: BTreeMap<usize, Vec<Case>> = BTreeMap::new();
    for case in Registry::standard().cases().into_iter().filter(has_cuda_form) {
        plans.entry(case.rows).or_default().push(case);
    }
    plans
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
}

/// The outputs of all cases, in each order of threads, from fresh memory filled by the settings.
fn run(cases: &[Case], replay: Replay, session: &emulator::Session) -> Vec<Vec<f32>> {
    let model = SmallModel::of_cases(cases);
    let inputs: Vec<_> = cases.iter().flat_map(|case| inputs(case, 0)).collect();
    let make = |lasting: &_| CudaExecutor::new(lasting, 0, replay).expect("a device");
    let mut loaded = model.load(make);
    let first = loaded.run(&inputs);
    for order in [Order::Reverse, Order::Random(1), Order::Random(2)] {
        session.configure(Settings {
            thread_order: order,
            block_order: order,
            ..session.settings()
        });
        let again = loaded.run(&inputs);
        for ((a, b), i) in bits(&first).iter().zip(&bits(&again)).zip(0..) {
            assert_eq!(a, b, "output {i} of {} depends on the order of threads", names(cases));
        }
    }
    first
}

fn names(cases: &[Case]) -> String {
    cases.iter().map(|case| case.op.label()).collect::<Vec<_>>().join("; ")
}

/// Compares with the definition and returns the largest error as a share of its bound.
fn compare(case: &Case, got: &[Vec<f32>]) -> f64 {
    let inputs = inputs(case, 0);
    let expected = run_reference(&*case.op, case, &inputs);
    let bounds = bounds::bounds(case, &inputs, &expected);
    let mut worst = 0.0f64;
    for (j, ((got, expected), bounds)) in got.iter().zip(&expected).zip(&bounds).enumerate() {
        assert_eq!(got.len(), expected.len(), "{}", case.op.label());
        for (i, ((g, e), b)) in got.iter().zip(expected).zip(bounds).enumerate() {
            let error = (f64::from(*g) - e).abs();
            assert!(
                error <= *b,
                "{} on {:?}: output {j}, element {i}: got {g}, expected {e}, error {error:e}, \
                 bound {b:e}",
                case.op.label(),
                case.inputs
            );
            if *b > 0.0 {
                worst = worst.max(error / b);
            }
        }
    }
    worst
}

/// What a reader of numbers sees first: not a number, one of the infinities, or an ordinary number.
fn kind(x: f32) -> u32 {
    match x {
        x if x.is_nan() => 2,
        x if x.is_infinite() => u32::from(x > 0.0),
        _ => 3,
    }
}

/// Infinities, numbers that are none, and indices out of range show as they do on the CPU.
fn compare_kinds(cases: &[Case]) {
    let model = SmallModel::of_cases(cases);
    let mut all: Vec<Vec<f64>> = Vec::new();
    for case in cases {
        let mut inputs = inputs(case, 0);
        for (x, ty) in inputs.iter_mut().zip(&case.inputs) {
            match (ty.dtype.is_float(), x.len()) {
                (false, n) => x[n - 1] = 1e9,
                (true, 0..9) => continue,
                (true, n) => (x[0], x[n / 2], x[n - 1]) = (f64::NAN, f64::INFINITY, -1e9),
            }
        }
        all.extend(inputs);
    }
    let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Graph).expect("a device");
    let got = model.load(make).run(&all);
    for ((got, expected), i) in got.iter().zip(&model.run_cpu(1, &all)).zip(0..) {
        for ((&g, &e), at) in got.iter().zip(expected).zip(0..) {
            let place = || format!("output {i} of {}, element {at}", names(cases));
            assert_eq!(kind(g), kind(e), "{}: {g}, on the CPU {e}", place());
        }
    }
}

#[test]
fn kernels_agree_with_the_definitions_in_every_order() {
    let Some(session) = emulator::session() else { return };
    let (mut worst, mut count) = (0.0f64, 0);
    for cases in plans().values() {
        count += cases.len();
        let outputs = run(cases, Replay::Graph, &session);
        session.configure(Settings {
            poison: Settings::POISONS[1],
            thread_order: Order::Forward,
            ..session.settings()
        });
        let again = run(cases, Replay::Steps, &session);
        assert_eq!(bits(&outputs), bits(&again), "fresh memory or replay shows in the result");
        session.configure(Settings::default());
        let mut rest = &outputs[..];
        for case in cases {
            let count = case.op.outputs(&case.inputs).expect("the case's types fit").len();
            worst = worst.max(compare(case, &rest[..count]));
            rest = &rest[count..];
        }
        compare_kinds(cases);
    }
    println!(
        "counted: {count} cases on the device, {} orders of threads and blocks, {} contents of fresh \
         memory, {worst:.2} of a bound at most",
        if emulator::on_a_card() { 1 } else { Order::ALL.len() },
        if emulator::on_a_card() { 1 } else { Settings::POISONS.len() },
    );
}

#[test]
fn whole_numbers_are_exact() {
    let Some(session) = emulator::session() else { return };
    let mut orders = Order::ALL.iter().cycle();
    ExactCases::check("the device", has_cuda_form, |exact| {
        let order = *orders.next().expect("there are orders");
        let (thread_order, block_order) = (order, order);
        session.configure(Settings { thread_order, block_order, ..session.settings() });
        let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Graph).expect("a device");
        exact.model.load(make).run(&exact.inputs)
    });
}

/// Names a child of the test below.
const WIDE: &str = "IRONWARP_TEST_WIDE";

/// A child of the test below, without a cache of kernels; without a parent it does nothing. A case of
/// each entry of each kernel runs with indices of 32 bits and, as if it were large, of 64.
#[test]
fn child() {
    if std::env::var_os(WIDE).is_none() {
        return;
    }
    let mut known = BTreeSet::new();
    for mut cases in plans().into_values() {
        cases.retain(|case| {
            let list = launches(case).unwrap_or_default().list;
            let new = |l: &&Launch| known.insert((l.kernel.name().to_string(), l.entry));
            list.iter().filter(new).count() > 0
        });
        if cases.is_empty() {
            continue;
        }
        let run_once = |wide: bool| {
            let session = emulator::session().expect("the parent had one");
            if wide {
                session.patch("#if WIDE", "#if 1");
            }
            let inputs: Vec<_> = cases.iter().flat_map(|case| inputs(case, 0)).collect();
            let make =
                |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Graph).expect("a device");
            let outputs = SmallModel::of_cases(&cases).load(make).run(&inputs);
            assert_eq!(session.patched() > 0, wide, "{}", names(&cases));
            outputs
        };
        assert_eq!(bits(&run_once(false)), bits(&run_once(true)), "{}", names(&cases));
    }
    assert!(known.len() >= 15, "{known:?}");
    println!("counted: {} entries of kernels with indices of 64 bits", known.len());
}

#[test]
fn emulated_indices_of_64_bits_give_the_same_bits() {
    if emulator::session().is_none() {
        return;
    }
    let mut child = Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "child", "--nocapture"]).env(WIDE, "1").env("IRONWARP_CACHE", "off");
    assert!(child.status().expect("a child").success());
}
