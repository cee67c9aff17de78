//! Bugs planted into the kernels, one at a time: the checks that every kernel passes find each of
//! them. The bug is planted in what the stand-in compiler is handed, so all of the product runs as
//! it is.

mod common;
#[path = "planted/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};

use common::model::{SmallModel, run_reference};
use common::{bounds, inputs};
use emulator::{Order, Sanitizer, Session, Settings};
use ironwarp::exec::cuda::{CudaExecutor, Replay};
use ironwarp::op::{Case, Registry};
use table::{BUGS, Bug};

/// Tells a child which share of the bugs is its own: "0/2".
const SHARE: &str = "IRONWARP_TEST_PLANTED";

fn case_of(bug: &Bug) -> Case {
    let described = |case: &Case| {
        let inputs: Vec<_> = case.inputs.iter().map(ToString::to_string).collect();
        format!("{} {}", case.op.label(), inputs.join(", "))
    };
    let mut cases = Registry::standard().cases().into_iter();
    let found = cases.find(|case| case.op.name() == bug.op && described(case).contains(bug.case));
    found.unwrap_or_else(|| panic!("no case {} of {}", bug.case, bug.op))
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
}

/// What the checks find in a case's kernels, each check by its name.
fn findings(case: &Case, session: &Session) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut first: Option<Vec<Vec<u32>>> = None;
    let (own, others) = (inputs(case, 0), inputs(case, 1));
    for poison in Settings::POISONS {
        session.configure(Settings { poison, ..Settings::default() });
        let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Steps);
        let mut loaded = SmallModel::of_case(case).try_load(make).expect("the kernel compiles");
        let mut here: Option<Vec<Vec<u32>>> = None;
        let capacity = loaded.capacity();
        for order in Order::ALL {
            // Other inputs before, so that no result of an earlier turn passes for one of this.
            session.configure(Settings { poison, ..Settings::default() });
            let before = loaded.try_run(&others, capacity);
            let (thread_order, block_order) = (order, order);
            session.configure(Settings { thread_order, block_order, ..session.settings() });
            let Ok(outputs) = before.and_then(|_| loaded.try_run(&own, capacity)) else {
                let problems = session.problems().join("; ");
                found.insert(format!("refused ({problems})"));
                return found;
            };
            if !case_agrees(case, &own, &outputs) {
                found.insert("values".into());
            }
            if !unused_rows_are_untouched(case, &outputs) {
                found.insert("rows".into());
            }
            if bits(&outputs) != *here.get_or_insert_with(|| bits(&outputs)) {
                found.insert("orders".into());
            }
        }
        let here = here.expect("orders ran");
        if here != *first.get_or_insert_with(|| here.clone()) {
            found.insert("poison".into());
        }
        drop(loaded);
        if !session.problems().is_empty() {
            found.insert("guards".into());
        }
    }
    found
}

/// Whether the thread sanitizer finds a race in a case's kernels: what one thread overwrites while
/// others still read it shows in no order in which threads run to their next barrier.
fn has_race(case: &Case, session: &Session) -> bool {
    let folder = format!("{}/races {}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder).expect("a folder");
    session.record(folder);
    let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Steps).expect("a device");
    SmallModel::of_case(case).load(make).run(&inputs(case, 0));
    let replay = emulator::Replay::new(session, Sanitizer::Thread).expect("the sanitizer is there");
    let found = replay.run(folder, &[]).expect("the launches run again");
    std::fs::remove_dir_all(folder).expect("its folder");
    !found.is_empty()
}

/// Whether the rows in use are what the definition says.
fn case_agrees(case: &Case, inputs: &[Vec<f64>], outputs: &[Vec<f32>]) -> bool {
    let expected = run_reference(&*case.op, case, inputs);
    let bounds = bounds::bounds(case, inputs, &expected);
    outputs.iter().zip(&expected).zip(&bounds).all(|((got, expected), bounds)| {
        let mut each = got.iter().zip(expected).zip(bounds);
        each.all(|((g, e), b)| (f64::from(*g) - e).abs() <= *b)
    })
}

/// Rows that are not in use are zero, as fresh memory is.
fn unused_rows_are_untouched(case: &Case, outputs: &[Vec<f32>]) -> bool {
    let types = case.op.outputs(&case.inputs).expect("the case's types fit");
    let used = types.iter().map(|ty| ty.shape.elements(case.rows));
    outputs.iter().zip(used).all(|(got, used)| got[used..].iter().all(|x| x.to_bits() == 0))
}

/// A child of the test below, without a cache of kernels; without a parent it does nothing.
#[test]
fn child() {
    let Ok(share) = std::env::var(SHARE) else { return };
    let (number, children) = share.split_once('/').expect("the parent says");
    let [number, children]: [usize; 2] =
        [number, children].map(|text| text.parse().expect("a number"));
    let mut clean = ("", "");
    for bug in BUGS.chunks(BUGS.len().div_ceil(children)).nth(number).unwrap_or_default() {
        let case = case_of(bug);
        if clean != (bug.op, bug.case) {
            let session = emulator::session().expect("the parent had one");
            let found = findings(&case, &session);
            assert!(found.is_empty(), "without a bug: {} {}: {found:?}", bug.op, bug.case);
            clean = (bug.op, bug.case);
        }
        let session = emulator::session().expect("the parent had one");
        session.patch(bug.find, bug.replace);
        let mut found = findings(&case, &session);
        session.problems();
        assert!(session.patched() > 0, "not planted: {}", bug.name);
        if found.is_empty() && has_race(&case, &session) {
            drop(session);
            let session = emulator::session().expect("the parent had one");
            assert!(!has_race(&case, &session), "without a bug: {} {}", bug.op, bug.case);
            found.insert("race".into());
        }
        let by: Vec<_> = found.into_iter().collect();
        println!("{}: {}: {}", bug.file, bug.name, by.join(", "));
    }
}

#[test]
fn every_bug_stands_in_its_file_once() {
    for bug in BUGS {
        let path = format!("{}/kernels/{}", env!("CARGO_MANIFEST_DIR"), bug.file);
        let text = std::fs::read_to_string(&path).expect("a kernel's file");
        assert_eq!(text.matches(bug.find).count(), 1, "{}: {}", bug.file, bug.name);
        assert_ne!(bug.find, bug.replace, "{}", bug.name);
    }
}

#[test]
fn emulated_planted_bugs_are_all_found() {
    if emulator::session().is_none() {
        return;
    }
    let program = std::env::current_exe().expect("this program");
    let children = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let spawn = |number| {
        Command::new(&program)
            .args(["--exact", "child", "--nocapture"])
            .env(SHARE, format!("{number}/{children}"))
            .env("IRONWARP_CACHE", "off")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child")
    };
    let running: Vec<_> = (0..children).map(spawn).collect();
    let mut all = Vec::new();
    for child in running {
        let output = child.wait_with_output().expect("a child's end");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        print!("{text}");
        assert!(output.status.success(), "a child failed");
        all.push(text);
    }
    let all = all.concat();
    let is_found = |bug: &&Bug| {
        let head = format!("{}: {}: ", bug.file, bug.name);
        all.lines().any(|line| line.strip_prefix(&head).is_some_and(|found| !found.is_empty()))
    };
    let missed: Vec<_> = BUGS.iter().filter(|bug| !is_found(bug)).map(|bug| bug.name).collect();
    assert!(missed.is_empty(), "of {} bugs these are not found: {missed:#?}", BUGS.len());
    println!("counted: {} planted bugs, all found", BUGS.len());
}
