//! Memory of the device: told before a run, flat through it, given back after it, and what is said
//! where there is too little.

use std::collections::BTreeMap;

use emulator::{Session, Settings};
use ironwarp::error::{DeviceError, Error};
use ironwarp::prelude::*;
use ndarray::{Array1, Array2};

/// Rows of so many features and a class that follows from them.
fn rows_of(rows: usize, width: usize) -> Dataset {
    let value = |i: usize, j: usize| ((i * 7 + j * 13) % 23) as f32 / 11.0 - 1.0;
    let x = Array2::from_shape_fn((rows, width), |(i, j)| value(i, j));
    let y: Array1<u32> =
        x.outer_iter().map(|r| u32::from(r[0] + r[1] > 0.0) + u32::from(r[2] > 0.3)).collect();
    Dataset::from_arrays(x, y).expect("sound data")
}

fn classes(rows: usize) -> Dataset {
    rows_of(rows, 4)
}

fn trainer_of(width: usize) -> Trainer {
    let model = Model::input(width).dense(16).relu().dropout(0.2).dense(3);
    let builder = Trainer::new(&model, Adam::new(0.01)).device(cuda()).seed(3);
    builder.clip_norm(5.0).build().expect("builds")
}

fn trainer() -> Trainer {
    trainer_of(4)
}

fn fit<'a>(epochs: usize) -> Fit<'a> {
    Fit::epochs(epochs).batch(8).progress(Progress::Silent)
}

fn cuda() -> Device {
    Device::cuda(0).expect("a device")
}

/// The printed table of memory: bytes by what they are for.
fn printed(plan: &str) -> BTreeMap<String, i64> {
    let (_, table) = plan.split_once("memory of the device, in bytes\n").expect("a table");
    let each = table.lines().map(|line| {
        let (bytes, what) = line.trim().split_once("  ").expect("bytes, then what for");
        (what.to_string(), bytes.parse().expect("a number"))
    });
    each.collect()
}

/// Describes the plan, then trains by it: the driver has allocated just what was printed, before and
/// after.
fn check(
    session: &Session,
    trainer: &mut Trainer,
    data: &Dataset,
    fit: impl Fn() -> Fit<'static>,
) -> BTreeMap<String, i64> {
    let text = trainer.describe_plan(data, &fit()).expect("a plan");
    let (counts, table) = (session.counts(), printed(&text));
    let parts: i64 =
        table.iter().filter(|(what, _)| *what != "in all").map(|(_, bytes)| bytes).sum();
    assert_eq!((parts, table["in all"]), (counts.device_bytes, counts.device_bytes), "{text}");
    trainer.fit(data, fit()).expect("trains");
    let after = session.counts();
    assert_eq!((after.device_bytes, after.device_peak), (counts.device_bytes, counts.device_peak));
    assert_eq!(trainer.describe_plan(data, &fit()).expect("a plan"), text);
    table
}

const ALL_ROWS: &str = "rows of the data, all of them";
const RING: &str = "rows of the data, a ring of parts";
const BURSTS: &str = "bursts: control blocks and results";

#[test]
fn emulated_the_printed_plan_tells_every_byte() {
    let Some(session) = emulator::session() else { return };
    let data = classes(45);
    let table = check(&session, &mut trainer(), &data, || fit(2));
    // Four features and a class of each row.
    assert_eq!(table[ALL_ROWS], 45 * 5 * 4);
    assert!(table.contains_key(BURSTS) && !table.contains_key(RING), "{table:?}");
    let table = check(&session, &mut trainer(), &data, || fit(2).accumulate(2));
    assert!(!table.contains_key(ALL_ROWS) && !table.contains_key(BURSTS), "{table:?}");
    let validated = check(&session, &mut trainer(), &data, || fit(2).validate(&classes(20)));
    let both = validated["arenas of the plans"];
    assert!(both > table["arenas of the plans"], "a second plan evaluates: {validated:?}");
}

#[test]
fn emulated_a_ring_of_parts_is_told_too() {
    let Some(session) = emulator::session() else { return };
    let data = rows_of(799, 64);
    let table = check(&session, &mut trainer_of(64), &data, || fit(1));
    let own = table["in all"] - table[ALL_ROWS] - table[BURSTS];
    session.configure(Settings { memory: own as u64 + 120_000, ..session.settings() });
    let table = check(&session, &mut trainer_of(64), &data, || fit(2));
    assert!(table.contains_key(RING) && !table.contains_key(ALL_ROWS), "{table:?}");
}

/// The whole of what the driver holds, calls aside.
fn held(session: &Session) -> emulator::Counts {
    emulator::Counts { calls: 0, ..session.counts() }
}

#[test]
fn emulated_memory_is_flat_over_ten_thousand_steps() {
    let Some(session) = emulator::session() else { return };
    let data = classes(1000);
    let model = Model::input(4).dense(8).relu().dense(3);
    let build = || Trainer::new(&model, Adam::new(0.01)).device(cuda()).seed(3).build();
    let mut trainer = build().expect("builds");
    let fit = || Fit::epochs(80).batch(8).validate(&classes(20)).progress(Progress::Silent);
    let text = trainer.describe_plan(&data, &fit()).expect("a plan");
    trainer.fit(&data, fit().step_limit(200)).expect("trains");
    let begin = held(&session);
    assert_eq!(printed(&text)["in all"], begin.device_bytes);
    for steps in [1000, 5000, 10_000] {
        trainer.fit(&data, fit().step_limit(steps - trainer.steps())).expect("trains");
        assert_eq!((trainer.steps(), held(&session)), (steps, begin));
    }
}

/// Pinned memory of the host that is short is told as such, by its bytes.
#[test]
fn emulated_too_little_pinned_memory_is_told() {
    let data = classes(45);
    let run = || trainer().fit(&data, fit(1));
    let call = {
        let Some(session) = emulator::session() else { return };
        run().expect("trains");
        session.calls().iter().position(|name| name == "cuMemHostAlloc").expect("it is pinned")
    };
    let session = emulator::session().expect("there was one before");
    session.fail(call as u64 + 1, 2);
    let text = run().expect_err("none is left").to_string();
    let expected = "out of memory on `pinned memory of the host for cuda:0`: ";
    assert!(text.starts_with(expected) && text.contains(" bytes are needed; "), "{text}");
}

#[test]
fn emulated_memory_is_flat_and_given_back() {
    let Some(session) = emulator::session() else { return };
    let data = classes(45);
    {
        let (mut one, mut two) = (trainer(), trainer());
        one.fit(&data, fit(1)).expect("trains");
        let bytes = session.counts().device_bytes;
        one.fit(&data, fit(3)).expect("trains");
        assert_eq!(
            bytes,
            session.counts().device_bytes,
            "after the first step nothing is allocated"
        );
        two.fit(&data, fit(1)).expect("trains");
        drop(one);
        assert!(session.counts().device_bytes < 2 * bytes, "a trainer's memory goes with it");
        two.evaluate(&data).expect("the other lives on");
    }
    assert!(session.counts().nothing_lives(), "{:?}", session.counts());
}

#[test]
fn emulated_too_little_memory_is_an_error_and_a_smaller_batch_fits() {
    let Some(session) = emulator::session() else { return };
    session.configure(Settings { memory: 3 << 20, ..session.settings() });
    let data = classes(20_000);
    let mut trainer = trainer();
    let mut train = |batch: usize| {
        let fit = Fit::epochs(1).batch(batch).step_limit(1).progress(Progress::Silent);
        trainer.fit(&data, fit).map(|_| trainer.abandon_run())
    };
    let error = train(20_000).expect_err("3 MiB");
    let text = error.to_string();
    let Error::Device(DeviceError::OutOfMemory { needed, free, largest_batch, .. }) = error else {
        panic!("{text}")
    };
    let (free, largest) = (free.expect("it is known"), largest_batch.expect("there is one"));
    assert!(needed > free && free < 3 << 20 && largest > 0, "{text}");
    for part in [
        "out of memory on `cuda:0`",
        &format!("{needed} bytes are needed"),
        &format!("{free} are free"),
        &format!("the largest batch that fits has {largest} rows"),
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let more = train(largest + largest / 16).expect_err("larger");
    assert!(more.to_string().contains(&largest.to_string()), "{more}");
    train(largest).expect("the batch that was named fits");
    train(8).expect("a smaller one does too");
}

#[test]
fn emulated_where_not_one_row_fits_the_error_says_so() {
    let Some(session) = emulator::session() else { return };
    let model = Model::input(4).dense(3000).relu().dense(3000).relu().dense(3);
    let build = || Trainer::new(&model, GradientDescent::new(0.1)).device(cuda()).build();
    session.configure(Settings { memory: 1 << 20, ..session.settings() });
    let text = build().err().expect("the weights take 36 MB").to_string();
    assert!(text.contains(" are free; use a smaller batch or model"), "{text}");
    let lasting = 2 * 4 * (4 * 3000 + 3000 * 3000 + 3 * 3000 + 2 * 3000 + 3);
    session.configure(Settings { memory: lasting + 4096, ..session.settings() });
    let mut trainer = build().expect("the weights fit");
    let text = trainer.fit(&classes(10), fit(1)).expect_err("nothing else does").to_string();
    assert!(text.contains("not one row would fit, so use a smaller model"), "{text}");
}
