//! The kernels of the ops' cases under sanitizers: each launch is recorded as the executor makes it
//! and run again with exactly the memory that its buffers have, rows in use only.

mod common;

use std::path::PathBuf;

use common::inputs;
use common::model::SmallModel;
use emulator::{Sanitizer, Session};
use ironwarp::exec::cuda::{CudaExecutor, Replay};
use ironwarp::op::launch::{Argument, Launches};
use ironwarp::op::{CallTypes, Case, Registry, Target};

/// The launches of a case that has a CUDA form, as the executor asks for them.
fn launches(case: &Case) -> Option<(CallTypes, Launches)> {
    let outputs = case.op.outputs(&case.inputs).expect("the case's types fit");
    let types = CallTypes { inputs: case.inputs.clone(), outputs };
    let capacity = SmallModel::of_case(case).capacity();
    let launches = case.op.launches(&types, capacity, &Target { capability: (9, 0) })?;
    Some((types, launches))
}

/// Bytes that each argument of each launch may use.
fn extents(case: &Case) -> Vec<Vec<usize>> {
    let (types, launches) = launches(case).expect("it has a CUDA form");
    let extent = |argument: &Argument| match *argument {
        Argument::Live => usize::MAX, // it is followed by nothing
        Argument::Input(i) => types.inputs[i].bytes(case.rows),
        Argument::Output(j) => types.outputs[j].bytes(case.rows),
        Argument::Scratch(byte) => launches.scratch - byte,
        Argument::Tickets => 4 * launches.tickets,
    };
    launches.list.iter().map(|launch| launch.arguments.iter().map(extent).collect()).collect()
}

/// Runs the cases once, recorded, and gives what a sanitizer finds.
fn findings(session: &Session, sanitizer: Sanitizer, cases: &[Case]) -> Vec<String> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{sanitizer:?}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    session.record(&folder);
    let (mut all, mut names) = (Vec::new(), Vec::new());
    for case in cases {
        let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Steps).expect("a device");
        SmallModel::of_case(case).load(make).run(&inputs(case, 0));
        let extents = extents(case);
        let ran = std::fs::read_dir(&folder).expect("a folder").count() - all.len();
        // A plan leaves out steps that only look at the same memory in another way.
        if ran > 0 {
            assert_eq!(ran, extents.len(), "{}", case.op.label());
            names.resize(names.len() + ran, format!("{} {:?}", case.op.label(), case.inputs));
            all.extend(extents);
        }
    }
    let replay = emulator::Replay::new(session, sanitizer).expect("the sanitizer is there");
    let found = replay.run(&folder, &all).expect("the launches run again");
    println!("{sanitizer:?}: {} launches of {} cases", all.len(), cases.len());
    found.into_iter().map(|(launch, text)| format!("{}: {text}", names[launch])).collect()
}

fn cases() -> impl Iterator<Item = Case> {
    Registry::standard().cases().into_iter().filter(|case| launches(case).is_some())
}

/// A few cases of each op: the first, and some of those with several blocks, tiles or parts.
fn some() -> Vec<Case> {
    let small = |case: &Case| case.inputs.iter().all(|ty| ty.shape.elements(case.rows) < 20_000);
    let mut taken: Vec<Case> = Vec::new();
    for op in Registry::standard().names() {
        let own: Vec<_> = cases().filter(|case| case.op.name() == op && small(case)).collect();
        let step = own.len().div_ceil(3).max(1);
        taken.extend(own.into_iter().step_by(step));
    }
    taken
}

fn clean(sanitizer: Sanitizer, cases: &[Case]) {
    let Some(session) = emulator::session() else { return };
    let found = findings(&session, sanitizer, cases);
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

#[test]
fn emulated_kernels_keep_to_their_memory() {
    clean(Sanitizer::Address, &some());
}

#[test]
fn emulated_kernels_have_no_races() {
    clean(Sanitizer::Thread, &some());
}

#[test]
#[ignore = "takes minutes: `just nightly`"]
fn emulated_all_kernels_keep_to_their_memory() {
    clean(Sanitizer::Address, &cases().collect::<Vec<_>>());
}

#[test]
#[ignore = "takes minutes: `just nightly`"]
fn emulated_all_kernels_have_no_races() {
    clean(Sanitizer::Thread, &cases().collect::<Vec<_>>());
}
