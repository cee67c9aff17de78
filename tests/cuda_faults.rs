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
/// Those, and an invalid value, an invalid context, an uncorrectable memory error, a time-out, a
/// misaligned address.
const MORE_CODES: [i32; 8] = [1, 2, 201, 214, 700, 702, 716, 719];
/// Tells a child which call fails.
const CALL: &str = "IRONWARP_TEST_FAULT";

/// How the three steps reach the device.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// In a burst: what one gets without asking.
    Burst,
    /// One by one, since somebody listens; each is a graph.
    Graphs,
    /// One by one and launch by launch.
    Launches,
    /// In a burst, after all forms of the steps were measured.
    Tuned,
}

struct Listener;

impl Callback for Listener {}

/// An epoch of three steps on a device, and a look at what was learned.
fn train(way: Way) -> ironwarp::Result<Vec<f32>> {
    let x = Array2::from_shape_fn((12, 1), |(i, _)| (i * 5 % 7) as f32 / 7.0);
    let y: Array1<f32> = (0..12).map(|i| (i % 2) as f32).collect();
    let data = Dataset::from_arrays(x, y)?;
    let replay = if matches!(way, Way::Launches) { Replay::Steps } else { Replay::Graph };
    let device = Device::cuda(0)?.replay(replay);
    let model = Model::input(1).dense(1);
    let mut trainer = Trainer::new(&model, Sgd::new(0.1)).device(device).seed(1).build()?;
    let (fit, mut listener) = (Fit::epochs(1).batch(4).progress(Progress::Silent), Listener);
    if matches!(way, Way::Tuned) {
        trainer.tune(&data, &fit)?;
    }
    let listens = matches!(way, Way::Graphs | Way::Launches);
    let fit = if listens { fit.callback(&mut listener) } else { fit };
    trainer.fit(&data, fit)?;
    trainer.parameter("dense_1.weight")
}

/// Runs with one call failing; returns the call's name and whether the run failed.
fn fails(session: &Session, way: Way, call: u64, code: i32) -> (String, bool) {
    session.fail(call, code);
    let result = train(way);
    let Some(name) = session.calls().get(call as usize - 1).cloned() else {
        // How often a measurement repeats itself is up to the clock.
        assert!(
            matches!(way, Way::Tuned) && result.is_ok(),
            "call {call} was not made: {result:?}"
        );
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
            let kills = code == 214 || code >= 700;
            assert!(kills && message.contains(&format!("({code})")), "{place}: {message}");
            true
        }
        Err(Error::Device(DeviceError::Driver { message, .. })) => {
            let spares = code <= 201;
            assert!(spares && message.contains(&format!("({code})")), "{place}: {message}");
            true
        }
        Err(other) => panic!("{place}: {other}"),
    };
    assert!(session.counts().nothing_lives(), "{place}: {:?}", session.counts());
    assert_eq!(session.problems(), Vec::<String>::new(), "{place}");
    (name, failed)
}

/// Whether a call gives back what is not needed any more, so that the run may go on without it.
fn is_tidied(way: Way, name: &str) -> bool {
    let measured = ["Free", "Destroy", "Unload", "SetCurrent", "Synchronize"];
    let of_measuring = matches!(way, Way::Tuned) && measured.iter().any(|w| name.contains(w));
    name == "cuGraphDestroy" || of_measuring
}

/// Fails each call of a run with the codes that are chosen for it; returns how many calls it makes.
fn each_call_fails(way: Way, codes: impl Fn(u64) -> Vec<i32>) -> u64 {
    let session = || emulator::session().expect("there was one before");
    let (first, names) = {
        let session = session();
        // Once before, since a process asks for its cards only once.
        train(way).expect("trains");
        let before = session.calls().len();
        (train(way).expect("trains"), session.calls().split_off(before))
    };
    let calls = names.len() as u64;
    // The last time that the context is entered, everything is given back.
    let end = names.iter().rposition(|name| name == "cuCtxSetCurrent").expect("a context") as u64;
    let (mut injected, mut failed) = (0, 0);
    for call in 1..=calls {
        for code in codes(call) {
            let (name, reported) = fails(&session(), way, call, code);
            let may_pass = call > end || is_tidied(way, &name);
            assert!(reported || may_pass, "call {call}, {name}, code {code} went unnoticed");
            (injected, failed) = (injected + 1, failed + u64::from(reported));
        }
    }
    println!(
        "counted: {way:?}: {calls} calls, {injected} faults, {failed} errors, the rest when giving back"
    );
    assert!(failed > injected / 2, "{failed} of {injected} faults");
    let _session = session();
    assert_eq!(train(way).expect("trains as before"), first);
    calls
}

#[test]
fn emulated_each_call_of_three_steps_may_fail() {
    if emulator::session().is_some() {
        let one = |call: u64| vec![CODES[call as usize % CODES.len()]];
        let calls = each_call_fails(Way::Burst, one);
        assert!(calls <= 100, "a short run makes {calls} calls");
        each_call_fails(Way::Graphs, one);
    }
}

#[test]
#[ignore = "takes minutes: `just nightly`"]
fn emulated_each_call_may_fail_with_each_code() {
    if emulator::session().is_some() {
        for way in [Way::Burst, Way::Graphs, Way::Launches] {
            each_call_fails(way, |_| MORE_CODES.to_vec());
        }
        each_call_fails(Way::Tuned, |call| vec![CODES[call as usize % CODES.len()]]);
    }
}

/// A child of the test below; without a parent it does nothing.
#[test]
fn child() {
    let Ok(call) = std::env::var(CALL) else { return };
    let session = emulator::session().expect("the parent had one");
    session.fail(call.parse().expect("a number"), 999);
    let error = train(Way::Burst).expect_err("a call fails");
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

#[test]
fn emulated_a_kernel_fault_loses_no_checkpoint() {
    let Some(session) = emulator::session() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let x = Array2::from_shape_fn((12, 1), |(i, _)| (i * 5 % 7) as f32 / 7.0);
    let y: Array1<f32> = (0..12).map(|i| (i % 2) as f32).collect();
    let data = Dataset::from_arrays(x, y).expect("sound data");
    let (model, fit) = (Model::input(1).dense(1), || Fit::epochs(9).batch(4));
    let fit = || fit().progress(Progress::Silent).checkpoints(Checkpoints::new(folder.path()));
    let build = |device| {
        Trainer::new(&model, Sgd::new(0.1)).device(device).seed(1).build().expect("builds")
    };
    let mut trainer = build(Device::cuda(0).expect("a device"));
    trainer.fit(&data, fit().step_limit(4)).expect("trains");
    let saved = trainer.parameter("dense_1.weight").expect("a parameter");
    // A kernel of the next run writes where it must not; a later call tells.
    session.fail(session.calls().len() as u64 + 20, 700);
    for _ in 0..2 {
        let error = trainer.fit(&data, fit()).expect_err("the device is lost");
        let Error::Device(DeviceError::Lost { message, .. }) = &error else { panic!("{error}") };
        assert!(message.contains("CUDA_ERROR_ILLEGAL_ADDRESS (700)"), "{error}");
        assert!(error.to_string().contains("resume from the last checkpoint"), "{error}");
    }
    drop(trainer);
    assert!(session.counts().nothing_lives(), "{:?}", session.counts());
    let mut resumed = build(Device::cpu());
    resumed.resume(folder.path().join("last.safetensors")).expect("it is whole");
    assert_eq!(resumed.steps(), 4);
    assert_eq!(resumed.parameter("dense_1.weight").expect("a parameter"), saved);
}
