//! The kernels of the ops' cases, and those of training in a burst, under sanitizers: each launch is
//! recorded as the executor makes it and run again with exactly the memory that its buffers have, rows
//! in use only.

mod common;

use std::path::PathBuf;

use common::inputs;
use common::model::SmallModel;
use emulator::{Sanitizer, Session};
use ironwarp::exec::cuda::{CudaExecutor, Replay};
use ironwarp::op::launch::{Argument, Launch};
use ironwarp::op::{CallTypes, Case, Op, Registry, Target};
use ironwarp::prelude::*;
use ndarray::{Array1, Array2};

const TARGET: Target = Target { capability: (9, 0) };

/// Bytes that each argument of each launch of a call may use, as the executor asks for them; none if
/// the op has no CUDA form.
fn extents(
    op: &dyn Op,
    types: &CallTypes,
    rows: usize,
    capacity: usize,
) -> Option<Vec<(&'static str, Vec<usize>)>> {
    let launches = op.launches(types, capacity, &TARGET)?;
    let extent = |argument: &Argument| match *argument {
        Argument::Live => usize::MAX, // it is followed by nothing
        Argument::Input(i) => types.inputs[i].bytes(rows),
        Argument::Output(j) => types.outputs[j].bytes(rows),
        Argument::Scratch(byte) => launches.scratch - byte,
        Argument::Tickets => 4 * launches.tickets,
    };
    let of = |launch: &Launch| (launch.entry, launch.arguments.iter().map(extent).collect());
    Some(launches.list.iter().map(of).collect())
}

fn extents_of_case(case: &Case) -> Option<Vec<Vec<usize>>> {
    let outputs = case.op.outputs(&case.inputs).expect("the case's types fit");
    let types = CallTypes { inputs: case.inputs.clone(), outputs };
    let all = extents(&*case.op, &types, case.rows, SmallModel::of_case(case).capacity())?;
    Some(all.into_iter().map(|(_, extents)| extents).collect())
}

/// Launches that are recorded from now on, each with a name and the bytes that it may use.
struct Recording<'a> {
    session: &'a Session,
    sanitizer: Sanitizer,
    folder: PathBuf,
    launches: Vec<(String, Vec<usize>)>,
}

impl<'a> Recording<'a> {
    fn new(session: &'a Session, sanitizer: Sanitizer, name: &str) -> Recording<'a> {
        let folder = format!("{sanitizer:?} {name}");
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        session.record(&folder);
        Recording { session, sanitizer, folder, launches: vec![] }
    }

    /// Runs all of them again; the sanitizer finds nothing.
    fn finds_nothing(self, what: &str) {
        let extents: Vec<_> = self.launches.iter().map(|(_, extents)| extents.clone()).collect();
        let replay = emulator::Replay::new(self.session, self.sanitizer);
        let replay = replay.expect("the sanitizer is there");
        let found = replay.run(&self.folder, &extents).expect("the launches run again");
        println!(
            "counted: {:?} sanitizer: {} launches of {what}, {} findings",
            self.sanitizer,
            extents.len(),
            found.len()
        );
        let text = found.iter().map(|(i, text)| format!("{}: {text}", self.launches[*i].0));
        let text: Vec<_> = text.collect();
        assert!(found.is_empty(), "{} findings:\n{}", found.len(), text.join("\n"));
    }
}

/// Runs cases, recorded, and again under a sanitizer.
fn cases_are_clean(sanitizer: Sanitizer, cases: &[Case]) {
    let Some(session) = emulator::session() else { return };
    let mut recording = Recording::new(&session, sanitizer, "cases");
    for case in cases {
        let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Steps).expect("a device");
        SmallModel::of_case(case).load(make).run(&inputs(case, 0));
        let extents = extents_of_case(case).expect("it has a CUDA form");
        let files = std::fs::read_dir(&recording.folder).expect("a folder").count();
        let ran = files - recording.launches.len();
        // A plan leaves out steps that only look at the same memory in another way.
        if ran > 0 {
            assert_eq!(ran, extents.len(), "{}", case.op.label());
            let name = format!("{} {:?}", case.op.label(), case.inputs);
            recording.launches.extend(extents.into_iter().map(|extents| (name.clone(), extents)));
        }
    }
    recording.finds_nothing(&format!("{} cases", cases.len()));
}

/// A short epoch in a burst: steps of 4, 4 and 3 rows.
fn training_is_clean(sanitizer: Sanitizer) {
    const ROWS: [usize; 3] = [4, 4, 3];
    let Some(session) = emulator::session() else { return };
    let rows: usize = ROWS.iter().sum();
    let x = Array2::from_shape_fn((rows, 6), |(i, j)| ((i * 5 + j * 3) % 11) as u32);
    let y: Array1<u32> = x.outer_iter().map(|row| row.sum() % 3).collect();
    let data = Dataset::from_arrays(x, y).expect("sound data");
    let model = Model::indices(6)
        .layer(Embedding::new(11, 4))
        .layer(LayerNorm::new())
        .flatten()
        .dense(9)
        .gelu()
        .dropout(0.2)
        .dense(3);
    let device = Device::cuda(0).expect("a device");
    let builder = Trainer::new(&model, Adam::new(0.01)).device(device).clip_norm(1.0);
    let mut trainer = builder.build().expect("builds");
    let fit = || Fit::epochs(1).batch(ROWS[0]).progress(Progress::Silent);
    let plan = trainer.training_plan(&data, &fit()).expect("a plan");
    let mut recording = Recording::new(&session, sanitizer, "training");
    trainer.fit(&data, fit()).expect("trains");

    let mut expected = vec![];
    for live in ROWS {
        for step in &plan.graph.steps[..plan.update.end] {
            let all = extents(&*step.op, &plan.graph.call_types(step), live, plan.capacity);
            expected.extend(all.expect("it has a CUDA form"));
        }
    }
    // Of a turn all but the feeds' columns and their places to the ends of their memory.
    let turn = |live: usize| {
        let mut extents = vec![usize::MAX; 5 + plan.losses.len()];
        for (_, feed) in &plan.feeds {
            let ty = plan.graph.ty(*feed);
            extents.extend([ty.bytes(rows), ty.bytes(live)]);
        }
        extents
    };
    let mut turns = ROWS.into_iter().chain([0]);
    let mut expected = expected.into_iter();
    for name in emulator::recorded(&recording.folder).expect("launches") {
        let extents = match &*name {
            "turn" => turn(turns.next().expect("one more than steps")),
            _ => {
                let (entry, extents) = expected.next().expect("no more launches");
                assert_eq!(entry, name);
                extents
            }
        };
        recording.launches.push((name, extents));
    }
    assert_eq!((expected.count(), turns.count()), (0, 0), "all have run");
    recording.finds_nothing(&format!("{} steps", ROWS.len()));
}

fn cases() -> impl Iterator<Item = Case> {
    Registry::standard().cases().into_iter().filter(|case| extents_of_case(case).is_some())
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

#[test]
fn emulated_kernels_keep_to_their_memory() {
    cases_are_clean(Sanitizer::Address, &some());
}

#[test]
fn emulated_kernels_have_no_races() {
    cases_are_clean(Sanitizer::Thread, &some());
}

#[test]
fn emulated_training_keeps_to_its_memory() {
    training_is_clean(Sanitizer::Address);
}

#[test]
fn emulated_training_has_no_races() {
    training_is_clean(Sanitizer::Thread);
}

#[test]
#[ignore = "takes minutes: `just nightly`"]
fn emulated_all_kernels_keep_to_their_memory() {
    cases_are_clean(Sanitizer::Address, &cases().collect::<Vec<_>>());
}

#[test]
#[ignore = "takes minutes: `just nightly`"]
fn emulated_all_kernels_have_no_races() {
    cases_are_clean(Sanitizer::Thread, &cases().collect::<Vec<_>>());
}
