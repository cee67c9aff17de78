//! Each call of the driver in a short training run fails in turn: an error that says so, no panic,
//! and nothing is left on the device.

use std::process::Command;

use emulator::Session;
use ironwarp::error::{DeviceError, Error};
use ironwarp::exec::cuda::Replay;
use ironwarp::prelude::*;
use ndarray::{Array1, Array2};

/// Out of memory, an illegal address, a launch that failed; the latter two kill the context.
const CODES: [i32; 3] = [2, 700, 719];
/// Tells a child which call fails.
const CALL: &str = "IRONWARP_TEST_FAULT";

/// Three steps on a device, and a look at what was learned; before that all forms of the steps are
/// measured, if told so.
fn train(replay: Replay, tune: bool) -> ironwarp::Result<Vec<f32>> {
    let x = Array2::from_shape_fn((12, 3), |(i, j)| ((i * 5 + j * 3) % 7) as f32 / 7.0);
    let y: Array1<u32> = (0..12).map(|i| i % 2).collect();
    let data = Dataset::from_arrays(x, y)?;
    let device = Device::cuda(0)?.replay(replay);
    let model = Model::input(3).dense(2);
    let mut trainer = Trainer::new(&model, Adam::new(0.1)).device(device).seed(1).build()?;
    let fit = Fit::epochs(1).batch(4).progress(Progress::Silent);
    if tune {
        trainer.tune(&data, &fit)?;
    }
    trainer.fit(&data, fit)?;
    trainer.parameter("dense_1.weight")
}

/// Runs with one call failing; returns the call's name and whether the run failed.
fn fails(
    session: &Session,
    (replay, tune): (Replay, bool),
    call: u64,
    code: i32,
) -> (String, bool) {
    session.fail(call, code);
    let result = train(replay, tune);
    let Some(name) = session.calls().get(call as usize - 1).cloned() else {
        // How often a measurement repeats itself is up to the clock.
        assert!(tune && result.is_ok(), "call {call} was not made: {result:?}");
        return (String::new(), true);
    };
    let place = format!("call {call}, {name}, code {code}");
    let failed = match result {
        Ok(_) => false,
        Err(Error::Device(DeviceError::OutOfMemory { .. })) => {
            assert_eq!((code, name.contains("Alloc")), (2, true), "{place}");
            true
        }
        Err(Error::Device(DeviceError::Lost { message, .. })) => {
            assert!(code >= 700 && message.contains(&format!("({code})")), "{place}: {message}");
            true
        }
        Err(Error::Device(DeviceError::Driver { message, .. })) => {
            assert!(code == 2 && message.contains("(2)"), "{place}: {message}");
            true
        }
        Err(other) => panic!("{place}: {other}"),
    };
    assert!(session.counts().nothing_lives(), "{place}: {:?}", session.counts());
    assert_eq!(session.problems(), Vec::<String>::new(), "{place}");
    (name, failed)
}

/// Fails each call of a run with the codes that are chosen for it.
fn each_call_fails(run: (Replay, bool), codes: impl Fn(u64) -> Vec<i32>) {
    let train = || train(run.0, run.1);
    let session = || emulator::session().expect("there was one before");
    let (first, calls) = {
        let session = session();
        // Once before, since a process asks for its cards only once.
        train().expect("trains");
        let before = session.counts().calls;
        (train().expect("trains"), (session.counts().calls - before) as u64)
    };
    println!("{run:?}: {calls} calls");
    let releases = ["Free", "Destroy", "Unload", "Release", "SetCurrent", "Synchronize"];
    let mut failed = 0;
    for call in 1..=calls {
        for code in codes(call) {
            let (name, reported) = fails(&session(), run, call, code);
            let may_pass = releases.iter().any(|word| name.contains(word));
            assert!(reported || may_pass, "call {call}, {name}, code {code} went unnoticed");
            failed += u64::from(reported);
        }
    }
    assert!(failed > calls / 2, "{failed} of {calls} calls");
    let _session = session();
    assert_eq!(train().expect("trains as before"), first);
}

#[test]
fn emulated_each_call_of_three_steps_may_fail() {
    if emulator::session().is_some() {
        each_call_fails((Replay::Graph, false), |call| vec![CODES[call as usize % CODES.len()]]);
    }
}

#[test]
#[ignore = "takes minutes: `just nightly`"]
fn emulated_each_call_may_fail_with_each_code() {
    if emulator::session().is_some() {
        each_call_fails((Replay::Graph, false), |_| CODES.to_vec());
        each_call_fails((Replay::Steps, false), |_| CODES.to_vec());
        each_call_fails((Replay::Graph, true), |call| vec![CODES[call as usize % CODES.len()]]);
    }
}

/// A child of the test below; without a parent it does nothing.
#[test]
fn child() {
    let Ok(call) = std::env::var(CALL) else { return };
    let session = emulator::session().expect("the parent had one");
    session.fail(call.parse().expect("a number"), 999);
    let error = train(Replay::Graph, false).expect_err("a call fails");
    assert!(matches!(error, Error::Device(DeviceError::Unusable { .. })), "{error}");
    assert!(session.counts().nothing_lives(), "{:?}", session.counts());
}

#[test]
fn emulated_a_driver_that_does_not_start() {
    if emulator::session().is_none() {
        return;
    }
    let program = std::env::current_exe().expect("this program");
    // All calls with which the cards are asked for: version, start, count, and what is asked of a card.
    for call in 1..=8 {
        let mut child = Command::new(&program);
        let output = child.args(["--exact", "child"]).env(CALL, call.to_string()).output();
        let output = output.expect("a child");
        assert!(
            output.status.success(),
            "call {call}: {}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
