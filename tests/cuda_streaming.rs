//! Training on data that does not fit on the device: rows come in parts, which a thread gathers
//! while the device is at work. Only the emulator has so little memory.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use emulator::{Pace, Session, Settings};
use ironwarp::error::{DeviceError, Error};
use ironwarp::exec::cuda::Replay;
use ironwarp::prelude::*;
use ironwarp::train::Stop;
use ndarray::{Array1, Array2};

/// Features of a row, and rows.
const WIDTH: usize = 64;
const ROWS: usize = 799;
const BATCH: usize = 4;
/// Steps of an epoch.
const STEPS: usize = ROWS.div_ceil(BATCH);
/// Bytes that the device has beside the trainer's own.
const ROOM: usize = 120_000;
/// Bytes of it for the control blocks of a burst and its results.
const BESIDE: usize = 22_784;
/// Steps of a part: two of them take what that leaves of 80 % of the room, with a class beside each
/// row.
const PART: usize = (ROOM / 10 * 8 - BESIDE) / (2 * BATCH * 4 * (WIDTH + 1));

/// Rows of features and a class; a step may be given that overflows when rows keep their order.
fn classes(bad_step: Option<usize>) -> Dataset {
    let x = Array2::from_shape_fn((ROWS, WIDTH), |(i, j)| match bad_step {
        // Whatever the weights' signs are, one of these two overflows.
        Some(step) if i == step * BATCH + 1 => 3e38,
        Some(step) if i == step * BATCH + 2 => -3e38,
        _ => ((i * 7 + j * 13) % 23) as f32 / 23.0 - 0.5,
    });
    let y: Array1<u32> = (0..ROWS).map(|i| (i * 7 % 23 / 8) as u32).collect();
    Dataset::from_arrays(x, y).expect("sound data")
}

fn trainer(replay: Replay) -> Trainer {
    let model = Model::input(WIDTH).dense(6).relu().dropout(0.2).dense(3);
    let device = Device::cuda(0).expect("a device").replay(replay);
    Trainer::new(&model, Adam::new(0.01)).device(device).seed(3).build().expect("builds")
}

fn fit<'a>(epochs: usize) -> Fit<'a> {
    Fit::epochs(epochs).batch(BATCH).progress(Progress::Silent)
}

fn weights(trainer: &Trainer) -> Vec<u32> {
    let names = ["dense_1.weight", "dense_1.bias", "dense_2.weight", "dense_2.bias"];
    let all = names.iter().flat_map(|name| trainer.parameter(name).expect("a parameter"));
    all.map(f32::to_bits).collect()
}

struct Listener;

impl Callback for Listener {}

/// Bytes of a trainer that has trained step by step, for which nothing is held.
fn own_bytes(session: &Session, replay: Replay) -> u64 {
    let (mut trainer, mut listener) = (trainer(replay), Listener);
    let fit = fit(1).step_limit(1).callback(&mut listener);
    trainer.fit(&classes(None), fit).expect("trains");
    session.counts().device_bytes as u64
}

/// Lets the device have little memory.
fn limit(session: &Session, replay: Replay) {
    let memory = own_bytes(session, replay) + ROOM as u64;
    session.configure(Settings { memory, ..session.settings() });
}

/// Bursts that waited for a copy.
fn parts_sent(session: &Session) -> usize {
    session.calls().iter().filter(|name| *name == "cuStreamWaitEvent").count()
}

fn run(replay: Replay) -> (Vec<u32>, Vec<u64>) {
    let (data, mut trainer) = (classes(None), trainer(replay));
    let history = trainer.fit(&data, fit(2)).expect("trains");
    (weights(&trainer), history.epochs.iter().map(|e| e.loss.to_bits()).collect())
}

#[test]
fn emulated_data_that_does_not_fit_gives_the_same_bits() {
    let Some(session) = emulator::session() else { return };
    let held = run(Replay::Graph);
    assert_eq!(parts_sent(&session), 0);
    limit(&session, Replay::Graph);
    for pace in Pace::ALL {
        session.configure(Settings { pace, ..session.settings() });
        let before = parts_sent(&session);
        assert_eq!(run(Replay::Graph), held, "{pace:?}");
        assert_eq!(parts_sent(&session) - before, 2 * STEPS.div_ceil(PART), "{pace:?}");
    }
    assert_eq!(run(Replay::Steps), held, "launch by launch");
    assert!(session.counts().nothing_lives(), "{:?}", session.counts());
}

/// Resident, in parts and launch by launch rows are augmented alike.
#[test]
fn emulated_rows_are_augmented_by_their_numbers() {
    let Some(session) = emulator::session() else { return };
    let run = |replay: Replay, augment: Augment| {
        let (data, mut trainer) = (classes(None), trainer(replay));
        trainer.fit(&data, fit(2).augment(augment)).expect("trains");
        weights(&trainer)
    };
    let augment = || Augment::new().flip_horizontal(0.5).time_shift(3).noise(0.1).mixup(0.4);
    let held = run(Replay::Graph, augment());
    assert_eq!(parts_sent(&session), 0);
    assert_ne!(held, run(Replay::Graph, Augment::new()));
    limit(&session, Replay::Graph);
    assert_eq!(run(Replay::Graph, augment()), held, "in parts");
    assert!(parts_sent(&session) > 0);
    assert_eq!(run(Replay::Steps, augment()), held, "launch by launch");
    assert!(session.counts().nothing_lives(), "{:?}", session.counts());
}

/// Rows that are drawn come in parts, or one step at a time where somebody listens.
#[test]
fn emulated_drawn_rows_are_augmented_by_their_places() {
    let Some(session) = emulator::session() else { return };
    let run = |fit: Fit<'_>| {
        let (data, mut trainer) = (classes(None), trainer(Replay::Graph));
        trainer.fit(&data, fit).expect("trains");
        weights(&trainer)
    };
    let drawn = || fit(2).sample_balanced().augment(Augment::new().time_shift(3).noise(0.1));
    let parts = run(drawn());
    assert!(parts_sent(&session) > 0);
    let mut listener = Listener;
    assert_eq!(run(drawn().callback(&mut listener)), parts, "step by step");
}

/// Whatever the device has left: none of it must be taken for rows where steps need none.
#[test]
fn emulated_no_room_is_too_small_for_rows() {
    let Some(session) = emulator::session() else { return };
    let (held, own) = (run(Replay::Graph), own_bytes(&session, Replay::Graph));
    let mut ways = std::collections::BTreeSet::new();
    for room in [0, 10_000, BESIDE, 30_000, 33_000, 60_000, ROOM, 300_000, 400_000] {
        session.configure(Settings { memory: own + room as u64, ..session.settings() });
        let before = parts_sent(&session);
        assert_eq!(run(Replay::Graph), held, "{room} bytes");
        ways.insert(parts_sent(&session) > before);
    }
    assert_eq!(ways.len(), 2, "with parts and without");
}

/// The mistake that bits in parts are there to find.
#[test]
fn emulated_a_burst_that_does_not_wait_for_its_rows_is_found() {
    let Some(session) = emulator::session() else { return };
    let held = run(Replay::Graph);
    limit(&session, Replay::Graph);
    session.configure(Settings { pace: Pace::Late, deaf: true, ..session.settings() });
    let data = classes(None);
    match trainer(Replay::Graph).fit(&data, fit(2)) {
        Ok(history) => {
            let losses = history.epochs.iter().map(|e| e.loss.to_bits());
            assert_ne!(losses.collect::<Vec<_>>(), held.1);
        }
        // What lies in memory that was not written may be anything.
        Err(error) => assert!(matches!(error, Error::Train(_)), "{error}"),
    }
}

#[test]
fn emulated_memory_is_flat_while_parts_come() {
    let Some(session) = emulator::session() else { return };
    limit(&session, Replay::Graph);
    {
        let (data, mut trainer) = (classes(None), trainer(Replay::Graph));
        trainer.fit(&data, fit(1)).expect("trains");
        let counts = session.counts();
        trainer.fit(&data, fit(3).step_limit(STEPS as u64 + 40)).expect("trains");
        trainer.abandon_run();
        let after = session.counts();
        assert_eq!(
            (counts.device_bytes, counts.host_blocks),
            (after.device_bytes, after.host_blocks)
        );
        // All rows of less data fit; then those of more do not.
        trainer.fit(&data.rows(0..50), fit(1)).expect("trains");
        trainer.fit(&data, fit(1)).expect("trains");
        assert_eq!(counts.device_bytes, session.counts().device_bytes);
    }
    assert!(session.counts().nothing_lives(), "{:?}", session.counts());
}

#[test]
fn emulated_a_bad_step_anywhere_changes_nothing_though_parts_are_on_their_way() {
    let Some(session) = emulator::session() else { return };
    let clean = classes(None);
    limit(&session, Replay::Graph);
    let fit = || fit(1).shuffle(false);
    for bad in [0, PART - 1, PART, 2 * PART - 1, 2 * PART, STEPS - 1] {
        let before = {
            let mut trainer = trainer(Replay::Graph);
            if bad > 0 {
                trainer.fit(&clean, fit().step_limit(bad as u64)).expect("trains");
            }
            weights(&trainer)
        };
        let (data, mut trainer) = (classes(Some(bad)), trainer(Replay::Graph));
        let error = trainer.fit(&data, fit()).expect_err("a row overflows").to_string();
        let place = format!("the loss is not finite at epoch 1, step {} ", bad + 1);
        assert!(error.starts_with(&place), "{bad}: {error}");
        assert_eq!(trainer.steps(), bad as u64);
        assert_eq!(weights(&trainer), before, "step {bad}");
        let again = trainer.fit(&data, fit()).expect_err("the same row").to_string();
        assert_eq!((again, weights(&trainer)), (error, before), "step {bad} once more");
    }
}

#[test]
fn emulated_a_streamed_run_is_stopped_and_resumed_anywhere() {
    let Some(session) = emulator::session() else { return };
    let data = classes(None);
    let whole = run(Replay::Graph).0;
    limit(&session, Replay::Graph);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.safetensors");
    for stop in [1, PART, PART + 1, 2 * PART, STEPS - 1, STEPS, STEPS + PART + 2] {
        {
            let mut first = trainer(Replay::Graph);
            first.fit(&data, fit(2).step_limit(stop as u64)).expect("trains");
            assert_eq!(first.steps(), stop as u64);
            first.save_checkpoint(&path).expect("saves");
        }
        let mut second = trainer(Replay::Graph);
        second.resume(&path).expect("resumes");
        second.fit(&data, fit(2)).expect("trains");
        assert_eq!(whole, weights(&second), "stopped after {stop} steps");
    }
}

/// Names the folder that a child shares with its parent.
const FOLDER: &str = "IRONWARP_TEST_STREAMING";

/// A child of the test below: it trains until it is stopped. Without a parent it does nothing.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let session = emulator::session().expect("the parent had one");
    limit(&session, Replay::Graph);
    let mut trainer = trainer(Replay::Graph);
    let fit = fit(1_000_000).checkpoints(Checkpoints::new(&folder)).stop_on_interrupt();
    let history = trainer.fit(&classes(None), fit).expect("trains");
    assert_eq!(history.stop, Stop::Interrupt);
    assert!(parts_sent(&session) > 0);
    let steps = trainer.steps().to_string();
    std::fs::write(Path::new(&folder).join("steps"), steps).expect("a file");
}

#[test]
fn emulated_an_interrupt_counts_all_that_was_sent() {
    let Some(_session) = emulator::session() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let program = std::env::current_exe().expect("this program");
    let mut child = Command::new(program);
    let child = child.args(["--exact", "child", "--quiet"]).env(FOLDER, folder.path());
    let mut child = child.spawn().expect("a child");
    let last = folder.path().join("last.safetensors");
    while !last.exists() && child.try_wait().expect("a child").is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("`kill`").success());
    assert!(child.wait().expect("the child's end").success());
    let steps = std::fs::read_to_string(folder.path().join("steps")).expect("steps");
    let steps: u64 = steps.parse().expect("a number");
    let data = classes(None);
    let mut resumed = trainer(Replay::Graph);
    resumed.resume(&last).expect("a checkpoint");
    assert_eq!(resumed.steps(), steps);
    let mut straight = trainer(Replay::Graph);
    straight.fit(&data, fit(1_000_000).step_limit(steps)).expect("trains");
    assert_eq!(weights(&resumed), weights(&straight));
}

/// Wide rows in three bursts of one step each, the shortest run that uses a part twice.
fn short(streamed: bool) -> ironwarp::Result<Vec<f32>> {
    let x = Array2::from_shape_fn((3, 9000), |(i, j)| ((i * 5 + j * 3) % 7) as f32 / 7.0);
    let y: Array1<f32> = (0..3).map(|i| i as f32).collect();
    let data = Dataset::from_arrays(x, y)?;
    let (device, model) = (Device::cuda(0)?, Model::input(9000).dense(1));
    let mut trainer = Trainer::new(&model, Sgd::new(1e-4)).device(device).seed(1).build()?;
    let (fit, mut listener) = (Fit::epochs(1).batch(1).progress(Progress::Silent), Listener);
    trainer.fit(&data, if streamed { fit } else { fit.callback(&mut listener) })?;
    trainer.parameter("dense_1.weight")
}

#[test]
fn emulated_each_call_of_a_streamed_run_may_fail() {
    let session = || emulator::session().expect("there was one before");
    let Some(first) = emulator::session() else { return };
    let expected = short(false).expect("trains");
    // Two rows fit into 80 % of this room and three do not.
    let memory = first.counts().device_peak as u64 + 120_000;
    drop(first);
    let limited = || {
        let session = session();
        session.configure(Settings { memory, ..session.settings() });
        session
    };
    let names = {
        let session = limited();
        assert_eq!(short(true).expect("trains"), expected);
        assert_eq!(parts_sent(&session), 3, "bursts of one step");
        session.calls()
    };
    // After the weights were read all is given back, which has nobody to tell.
    let read = names.iter().rposition(|name| name.starts_with("cuMemcpyDtoH")).expect("read");
    let gives_back = |i: usize| {
        let enters = names[i] == "cuCtxSetCurrent";
        let frees = names[i..].iter().take(if enters { 3 } else { 1 });
        i > read + 1
            || names[i] == "cuGraphDestroy"
            || frees.into_iter().any(|n| n == "cuMemFreeHost")
    };
    let mut failed = 0;
    for (i, name) in names.iter().enumerate() {
        let (session, code) = (limited(), [2, 700, 719][i % 3]);
        session.fail(i as u64 + 1, code);
        let place = format!("call {}, {name}, code {code}", i + 1);
        match short(true) {
            Ok(_) => assert!(gives_back(i), "{place}: unnoticed"),
            Err(Error::Device(error)) => {
                let lost = matches!(error, DeviceError::Lost { .. });
                assert_eq!(lost, code >= 700, "{place}: {error}");
                failed += 1;
            }
            Err(other) => panic!("{place}: {other}"),
        }
        assert!(session.counts().nothing_lives(), "{place}: {:?}", session.counts());
        assert_eq!(session.problems(), Vec::<String>::new(), "{place}");
    }
    println!("{} calls, {failed} errors", names.len());
    let _session = limited();
    assert_eq!(short(true).expect("trains as before"), expected);
}

/// Rows that stay in files come in windows, and then in parts, whatever room the device has.
#[test]
fn emulated_windows_of_a_file_come_in_parts_with_the_bits_of_single_steps() {
    let Some(session) = emulator::session() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("images");
    let (rows, width) = (301u32, 6u32);
    let sizes = [rows, width].map(u32::to_be_bytes);
    let pixels = (0..rows * width).map(|i| (i * 37 % 251) as u8);
    let file = [&[0, 0, 8, 2], sizes.as_flattened()].concat();
    std::fs::write(&path, file.into_iter().chain(pixels).collect::<Vec<u8>>()).expect("a file");
    let labels = folder.path().join("labels");
    let file = [&[0, 0, 8, 1], &rows.to_be_bytes()[..]].concat();
    let classes = (0..rows).map(|i| (i * 7 % 23 / 8) as u8);
    std::fs::write(&labels, file.into_iter().chain(classes).collect::<Vec<u8>>()).expect("a file");
    let data = Dataset::stream_idx(&path, &labels).expect("sound files").with_memory(100 * 28);
    assert!(data.windows().is_some());
    let mut trainers = [0, 1].map(|_| {
        let model = Model::input(width as usize).dense(6).relu().dropout(0.2).dense(3);
        let device = Device::cuda(0).expect("a device");
        Trainer::new(&model, Adam::new(0.01)).device(device).seed(3).build().expect("builds")
    });
    let before = parts_sent(&session);
    // In three runs, the second of which begins and ends within a window and a part.
    for steps in [10, 90, 1000] {
        trainers[0].fit(&data, fit(2).step_limit(steps)).expect("trains");
    }
    assert!(parts_sent(&session) > before, "parts are sent");
    let mut listener = Listener;
    trainers[1].fit(&data, fit(2).callback(&mut listener)).expect("trains step by step");
    assert_eq!(weights(&trainers[0]), weights(&trainers[1]));
}
