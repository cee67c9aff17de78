//! Every kernel, compiled by NVRTC as for a card, for all architectures: without a warning, without
//! spilled registers, without local memory. No card is needed; without NVRTC the test says loudly
//! what it skipped, and fails where `IRONWARP_REQUIRE_NVRTC=1`. With `IRONWARP_KERNELS=all` every
//! kernel is compiled for every architecture, else for one, and one of each structure for the others.

#[path = "common/training.rs"]
mod training;

use std::collections::{BTreeMap, HashSet};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};

use ironwarp::data::{Column, Dataset};
use ironwarp::error::DeviceError;
use ironwarp::exec::cuda::compile_log;
use ironwarp::op::launch::{Kernel, Launch};
use ironwarp::op::{AnyOp, CallTypes, Registry, Target};
use ironwarp::prelude::*;
use ironwarp::tensor::Shape;
use ironwarp::train::TrainerBuilder;
use training::{numbers, quiet};

/// Compute capabilities, and the one that every kernel is compiled for.
const CAPABILITIES: [(u32, u32); 7] = [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 0), (12, 0)];
const FULL: (u32, u32) = (9, 0);

/// An op, its types and the rows that launches are made for.
type Call = (AnyOp, CallTypes, usize);

/// The calls of every op's cases.
fn cases() -> Vec<Call> {
    let cases = Registry::standard().cases();
    let call = |case: &ironwarp::op::Case| {
        let outputs = case.op.outputs(&case.inputs).expect("the case's types fit");
        let types = CallTypes { inputs: case.inputs.clone(), outputs };
        (case.op.clone(), types, case.rows)
    };
    cases.iter().map(call).collect()
}

/// The steps of a model's training plan.
fn steps(builder: TrainerBuilder<'_>, inputs: Column, classes: u32, batch: usize) -> Vec<Call> {
    let labels = (0..batch as u32).map(|i| i % classes).collect();
    let labels = Column::indices("y", &[], labels);
    let data = Dataset::new(vec![inputs], vec![labels]).expect("data");
    let mut trainer = builder.device(training::cpu(1)).build().expect("a trainer");
    let plan = trainer.training_plan(&data, &quiet(10, batch)).expect("a plan");
    let call =
        |step: &ironwarp::op::Step| (step.op.clone(), plan.graph.call_types(step), plan.capacity);
    plan.graph.steps.iter().map(call).collect()
}

/// Two heads of attention, the layers around it, and twice the width after it.
fn block(x: &Value) -> Value {
    let normed = x.layer(LayerNorm::new());
    let all = normed.layer(Dense::new(3 * 64));
    let part = |i: usize| {
        let part = all.slice(2, i * 64..(i + 1) * 64).reshape(Shape::rows(&[24, 2, 32]));
        part.transpose(&[0, 2, 1, 3])
    };
    let scores = part(0).matmul_transposed(&part(1)).softmax();
    let joined = scores.matmul(&part(2)).transpose(&[0, 2, 1, 3]).reshape(Shape::rows(&[24, 64]));
    let x = x + &joined.layer(Dense::new(64));
    let hidden = x.layer(RmsNorm::new()).layer(Dense::new(128)).gelu();
    &x + &hidden.layer(Dense::new(64))
}

/// The training plans of the examples, and of a small transformer.
fn shipped() -> Vec<Call> {
    let x = |rows: usize, sizes: &[usize]| {
        Column::numbers("x", sizes, numbers(rows * sizes.iter().product::<usize>(), 1))
    };
    let digits = Model::input(64).dense(128).relu().dense(10);
    let mut all = steps(Trainer::new(&digits, Adam::new(1e-3)), x(32, &[64]), 10, 32);
    let mnist = Model::input(784).dense(512).relu().dense(512).relu().dense(10);
    all.extend(steps(Trainer::new(&mnist, Adam::new(1e-3)), x(128, &[784]), 10, 128));
    let transformer = Model::indices(24).embedding(1000, 64).dropout(0.1).layer(block).flatten();
    let tokens = (0..16 * 24).map(|i| i * 7 % 1000).collect();
    let tokens = Column::indices("x", &[24], tokens);
    let transformer = transformer.dense(1000);
    // Groups, an average and a norm to clip by: the longest of updates.
    let builder = Trainer::new(&transformer, AdamW::new(1e-3)).clip_norm(1.0).average(0.99);
    let builder = builder.group(ParameterGroup::vectors().weight_decay_factor(0.0));
    let builder = builder.group(ParameterGroup::matching("*embedding*").learning_rate_factor(0.1));
    all.extend(steps(builder, tokens, 1000, 16));
    all
}

/// What has to be compiled: a kernel, one of its entries, and for which capability.
struct Job {
    kernel: Kernel,
    entry: &'static str,
    capability: (u32, u32),
}

/// Every kernel once for [`FULL`], and for the other capabilities one for each text, entry and size
/// of block, or all of them.
fn jobs(everything: bool) -> Vec<Job> {
    let calls: Vec<Call> = cases().into_iter().chain(shipped()).collect();
    let mut jobs = Vec::new();
    for capability in CAPABILITIES {
        let (mut kernels, mut structures) = (HashSet::new(), HashSet::new());
        for (op, types, rows) in &calls {
            let launches = op.launches(types, *rows, &Target { capability }).unwrap_or_default();
            for Launch { kernel, entry, threads, shared, .. } in launches.list {
                let known = !structures.insert((kernel.name().to_string(), entry, threads, shared));
                let wanted = everything || capability == FULL || !known;
                if wanted && kernels.insert((kernel.clone(), entry)) {
                    jobs.push(Job { kernel, entry, capability });
                }
            }
        }
    }
    jobs.extend(wide_jobs(&calls));
    jobs
}

/// One kernel of each entry for buffers whose indices need 64 bits, which no test has the memory to run.
fn wide_jobs(calls: &[Call]) -> Vec<Job> {
    let (mut jobs, mut known) = (Vec::new(), HashSet::new());
    let target = Target { capability: FULL };
    for (op, types, _) in calls.iter().filter(|(_, types, _)| types.inputs[0].shape.has_rows()) {
        let rows = (1 << 31) / types.inputs[0].shape.elements(1).max(1) + 1;
        for Launch { kernel, entry, .. } in
            op.launches(types, rows, &target).unwrap_or_default().list
        {
            let wide =
                kernel.constants().iter().any(|(name, value)| name == "WIDE" && value == "1");
            if wide && known.insert((kernel.name().to_string(), entry)) {
                jobs.push(Job { kernel, entry, capability: FULL });
            }
        }
    }
    assert!(jobs.len() >= 12, "only {} entries with wide indices", jobs.len());
    jobs
}

/// Registers and static shared memory of a thread and block, or what is wrong.
fn judge(log: &str) -> Result<(u32, u32), String> {
    let before = |line: &str, unit: &str| -> Option<u32> {
        let (head, _) = line.split_once(unit)?;
        head.split_whitespace().next_back()?.parse().ok()
    };
    let (mut registers, mut shared) = (None, 0);
    for line in log.lines() {
        let lower = line.to_lowercase();
        if ["warning", "error", "remark"].iter().any(|word| lower.contains(word)) {
            return Err(line.into());
        }
        for unit in [" bytes stack", " bytes spill stores", " bytes spill loads", " bytes lmem"] {
            if before(line, unit).is_some_and(|bytes| bytes > 0) {
                return Err(line.into());
            }
        }
        registers = registers.max(before(line, " registers"));
        shared = shared.max(before(line, " bytes smem").unwrap_or(0));
    }
    registers.map(|registers| (registers, shared)).ok_or_else(|| "no word of registers".into())
}

#[test]
fn a_log_is_judged_by_what_it_says() {
    let good = "ptxas info    : Function properties for tiled\nptxas         .     0 bytes stack \
                frame, 0 bytes spill stores, 0 bytes spill loads\nptxas info    : Used 21 \
                registers, used 1 barriers, 4224 bytes smem, 376 bytes cmem[0]";
    assert_eq!(judge(good), Ok((21, 4224)));
    for (from, to) in [
        ("0 bytes stack", "8 bytes stack"),
        ("0 bytes spill stores", "4 bytes spill stores"),
        ("0 bytes spill loads", "4 bytes spill loads"),
        ("4224 bytes smem", "8 bytes lmem"),
        ("ptxas info", "ptxas warning"),
        ("registers", ""),
    ] {
        assert!(judge(&good.replace(from, to)).is_err(), "{to}");
    }
}

/// Compiles all jobs on every processor and returns the logs, in their order.
fn compile(jobs: &[Job]) -> Vec<Result<String, DeviceError>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((i, job)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, jobs.get(i)?)))
        {
            done.push((i, compile_log(&job.kernel, job.capability)));
        }
        done
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
    });
    done.sort_by_key(|(i, _)| *i);
    done.into_iter().map(|(_, log)| log).collect()
}

#[test]
fn kernels_compile_without_warnings_and_spills() {
    let jobs = jobs(std::env::var("IRONWARP_KERNELS").is_ok_and(|value| value == "all"));
    assert!(jobs.len() > 50, "only {} kernels", jobs.len());
    let probe = Kernel::from_text("probe", "extern \"C\" __global__ void probe(float*) {}");
    let probe = probe.constant("WIDE", 0);
    if let Err(why) = CAPABILITIES.iter().try_for_each(|&c| compile_log(&probe, c).map(drop)) {
        let required = std::env::var("IRONWARP_REQUIRE_NVRTC").is_ok_and(|value| value == "1");
        assert!(!required, "IRONWARP_REQUIRE_NVRTC=1, but {why}");
        // Past the test runner, which shows no output of a test that passes.
        let _ =
            writeln!(std::io::stderr(), "SKIPPED {} compilations of kernels: {why}", jobs.len());
        return;
    }
    let (mut table, mut wrong) = (BTreeMap::<_, (u32, u32, u32, usize)>::new(), Vec::new());
    for (job, log) in jobs.iter().zip(compile(&jobs)) {
        let log = log.map_err(|error| error.to_string());
        match log.and_then(|log| judge(&log).map_err(|line| format!("{line}\n{log}"))) {
            Ok((registers, shared)) => {
                let row = table
                    .entry((job.kernel.name(), job.entry, job.capability))
                    .or_insert((registers, registers, 0, 0));
                *row = (row.0.min(registers), row.1.max(registers), row.2.max(shared), row.3 + 1);
            }
            Err(why) => wrong.push(format!(
                "{} `{}` for {:?} with {:?}: {why}",
                job.kernel.name(),
                job.entry,
                job.capability,
                job.kernel.constants()
            )),
        }
    }
    println!("kernel, entry, capability, kernels compiled, registers, bytes of shared memory");
    for ((kernel, entry, (major, minor)), (least, most, shared, count)) in table {
        let registers =
            if least == most { format!("{most}") } else { format!("{least} to {most}") };
        let capability = format!("{major}.{minor}");
        println!("{kernel:22} {entry:22} {capability:>5} {count:4} {registers:>10} {shared:6}");
    }
    assert!(wrong.is_empty(), "{} of {} kernels:\n{}", wrong.len(), jobs.len(), wrong.join("\n"));
}
