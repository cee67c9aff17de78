//! Capture and replay through the bindings' own types, streams, and events.

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use emulator::{Pace, Settings};

use crate::card::{Card, shape};
use crate::kernels::STEP;

const MODE: CUstreamCaptureMode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
const PLAIN: CUgraphInstantiate_flags = CUgraphInstantiate_flags(0);

/// Two steps and a copy in one graph, replayed three times, with work waiting or not.
#[test]
fn a_captured_list_replays_in_order() {
    let Some(session) = emulator::session() else { return };
    for pace in Pace::ALL {
        session.configure(Settings { pace, ..session.settings() });
        let card = Card::without_events().expect("a card");
        let kernel = card.kernel(STEP, "step").expect("the kernel");
        let mut a = card.upload(&[1.0; 64]).expect("room");
        let mut c = card.fresh(64).expect("room");
        let mut kept = card.fresh(64).expect("room");
        card.stream.begin_capture(MODE).expect("captures");
        card.launch(&kernel, shape(2, 32, 0), &[&a, &c]).expect("captured");
        card.stream.memcpy_dtod(&c, &mut kept).expect("captured");
        card.launch(&kernel, shape(2, 32, 0), &[&a, &c]).expect("captured");
        let graph = card.stream.end_capture(PLAIN).expect("ends").expect("a graph");
        assert!(session.launched().iter().all(|l| *l != "step 2"), "capturing runs nothing");
        graph.upload().expect("uploads");
        for _ in 0..3 {
            graph.launch().expect("runs");
        }
        assert_eq!(card.download(&a).expect("runs"), [7.0; 64]);
        assert_eq!(card.download(&c).expect("runs"), [36.0; 64]);
        assert_eq!(card.download(&kept).expect("runs"), [25.0; 64]);
        card.stream.memset_zeros(&mut a).expect("fills");
        card.stream.memcpy_htod(&[2.0f32; 64], &mut c).expect("copies");
        assert_eq!(card.download(&a).expect("runs"), [0.0; 64]);
        assert_eq!(card.download(&c).expect("runs"), [2.0; 64]);
    }
    assert!(session.counts().nothing_lives());
}

#[test]
fn a_fork_must_join() {
    let Some(_session) = emulator::session() else { return };
    for joins in [true, false] {
        let card = Card::without_events().expect("a card");
        let kernel = card.kernel(STEP, "step").expect("the kernel");
        let (a, c) = (card.upload(&[3.0; 32]).expect("room"), card.fresh(32).expect("room"));
        let side = Card {
            context: card.context.clone(),
            stream: card.context.new_stream().expect("a stream"),
        };
        card.stream.begin_capture(MODE).expect("captures");
        side.stream.join(&card.stream).expect("forks");
        side.launch(&kernel, shape(1, 32, 0), &[&a, &c]).expect("captured");
        if joins {
            card.stream.join(&side.stream).expect("joins");
        }
        let ended = card.stream.end_capture(PLAIN);
        assert_eq!(ended.is_ok(), joins);
        if let Ok(Some(graph)) = ended {
            graph.launch().expect("runs");
            assert_eq!(card.download(&c).expect("runs"), [9.0; 32]);
        }
    }
}

#[test]
fn what_a_capture_forbids_spoils_it() {
    let Some(session) = emulator::session() else { return };
    let card = Card::without_events().expect("a card");
    card.stream.begin_capture(MODE).expect("captures");
    assert!(card.stream.synchronize().is_err());
    assert!(card.stream.end_capture(PLAIN).is_err());
    card.stream.begin_capture(MODE).expect("captures again");
    assert!(card.fresh(4).is_err(), "memory in a capture");
    assert!(card.stream.end_capture(PLAIN).is_ok());
    card.stream.synchronize().expect("the stream works on");
    drop(card);
    assert!(session.counts().nothing_lives());
}

/// With late work a missing wait between streams shows; with the wait the result is right.
#[test]
fn a_missing_wait_shows_when_work_is_late() {
    let Some(session) = emulator::session() else { return };
    session.configure(Settings {
        pace: Pace::Late,
        poison: Settings::POISONS[1],
        ..session.settings()
    });
    for waits in [true, false] {
        let card = Card::without_events().expect("a card");
        let side = Card {
            context: card.context.clone(),
            stream: card.context.new_stream().expect("a stream"),
        };
        let kernel = card.kernel(STEP, "step").expect("the kernel");
        let (a, c) = (card.upload(&[3.0; 32]).expect("room"), card.fresh(32).expect("room"));
        card.launch(&kernel, shape(1, 32, 0), &[&a, &c]).expect("queued");
        if waits {
            side.stream.join(&card.stream).expect("waits");
        }
        assert_eq!(side.download(&c).expect("runs")[0] == 9.0, waits);
    }
}

/// A stream that must let another end before it overwrites shows at some random pace that it does not.
#[test]
fn work_that_is_too_early_shows_at_a_random_pace() {
    let Some(session) = emulator::session() else { return };
    let wrong = |waits: bool| {
        let results = (1..=20).map(|seed| {
            session.configure(Settings { pace: Pace::Random(seed), ..session.settings() });
            let card = Card::without_events().expect("a card");
            let side = Card {
                context: card.context.clone(),
                stream: card.context.new_stream().expect("a stream"),
            };
            let kernel = card.kernel(STEP, "step").expect("the kernel");
            let (mut a, c) =
                (card.upload(&[3.0; 32]).expect("room"), card.fresh(32).expect("room"));
            card.stream.synchronize().expect("runs");
            card.launch(&kernel, shape(1, 32, 0), &[&a, &c]).expect("queued");
            if waits {
                side.stream.join(&card.stream).expect("waits");
            }
            side.stream.memset_zeros(&mut a).expect("queued");
            let read = card.download(&c).expect("runs")[0];
            side.stream.synchronize().expect("runs");
            read != 9.0
        });
        results.filter(|wrong| *wrong).count()
    };
    assert_eq!(wrong(true), 0);
    assert!(wrong(false) > 0);
}

/// A driver that forgets all waits plants that mistake.
#[test]
fn a_deaf_driver_misses_waits() {
    let Some(session) = emulator::session() else { return };
    for deaf in [false, true] {
        session.configure(Settings {
            pace: Pace::Late,
            deaf,
            poison: Settings::POISONS[1],
            ..session.settings()
        });
        let card = Card::without_events().expect("a card");
        let side = Card {
            context: card.context.clone(),
            stream: card.context.new_stream().expect("a stream"),
        };
        let kernel = card.kernel(STEP, "step").expect("the kernel");
        let (a, c) = (card.upload(&[3.0; 32]).expect("room"), card.fresh(32).expect("room"));
        card.launch(&kernel, shape(1, 32, 0), &[&a, &c]).expect("queued");
        side.stream.join(&card.stream).expect("waits");
        assert_eq!(side.download(&c).expect("runs")[0] == 9.0, !deaf);
    }
}

#[test]
fn events_tell_time() {
    let Some(_session) = emulator::session() else { return };
    let card = Card::new().expect("a card");
    let timed = Some(cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT);
    let before = card.stream.record_event(timed).expect("records");
    let after = card.stream.record_event(timed).expect("records");
    after.synchronize().expect("waits");
    assert!(before.elapsed_ms(&after).expect("timed") >= 0.0);
    let untimed = card.stream.record_event(None).expect("records");
    assert!(before.elapsed_ms(&untimed).is_err());
}
