//! What the environment variable `IRONWARP_DEBUG` asks for, on stderr: 1 shows each plan as it is
//! loaded, 2 also the time that each step takes, 3 also writes every kernel's source into a folder.
//!
//! From 2 on, steps are queued one by one with events between them and waited for, so that training
//! is slower; the bits are the same.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use super::cache;
use super::compile::KernelSource;
use super::driver::{Context, Event, Prepared, Stream};
use crate::error::DeviceError;
use crate::plan::Plan;

/// Names the folder for sources; default `sources` beside the cache's entries.
const FOLDER: &str = "IRONWARP_DEBUG_DIR";

fn level() -> u32 {
    static LEVEL: OnceLock<u32> = OnceLock::new();
    let read = || std::env::var("IRONWARP_DEBUG").ok().and_then(|level| level.parse().ok());
    *LEVEL.get_or_init(|| read().unwrap_or(0))
}

/// Whether steps are timed, which they can't be inside a graph.
pub(super) fn times_steps() -> bool {
    level() >= 2
}

/// Level 1: the plan, and what becomes of it.
pub(super) fn show(plan: &Plan, notes: &[Vec<String>], bytes: usize) {
    if level() >= 1 {
        let launches: usize = notes.iter().map(Vec::len).sum();
        let table = plan.annotated(|step| &notes[step]);
        eprintln!("{table}{launches} launches, {bytes} bytes with scratch memory");
    }
}

/// Level 3: a kernel's whole source, below its options, as a file named after kernel and cache key.
pub(super) fn write_source(source: &KernelSource, options: &[String], key: u128) {
    if level() < 3 {
        return;
    }
    let named = std::env::var_os(FOLDER).map(PathBuf::from);
    let below_cache =
        || cache::place(&|name| std::env::var_os(name)).map(|cache| cache.join("sources"));
    let Some(folder) = named.or_else(below_cache) else {
        eprintln!("ironwarp: `{}` is not written: name a folder in {FOLDER}", source.name);
        return;
    };
    let file = folder.join(format!("{}-{key:032x}.cu", source.name));
    let text = format!("// {}\n{}", options.join(" "), source.text);
    match std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, text)) {
        Ok(()) => eprintln!("ironwarp: wrote {}", file.display()),
        Err(error) => eprintln!("ironwarp: can't write {}: {error}", file.display()),
    }
}

/// Level 2: how long each step of a plan took, printed when the plan is given back.
pub(super) struct Times {
    plan: Arc<Plan>,
    /// Before each step, and after the last.
    marks: Vec<Event>,
    /// Milliseconds of each step, in all, and how often it ran.
    totals: Vec<(f64, u32)>,
}

impl Times {
    /// None where nobody asked.
    pub(super) fn new(
        context: &Arc<Context>,
        plan: &Arc<Plan>,
    ) -> Result<Option<Times>, DeviceError> {
        if !times_steps() {
            return Ok(None);
        }
        let count = plan.graph.steps.len();
        let marks = (0..=count).map(|_| Event::timed(context)).collect::<Result<_, _>>()?;
        Ok(Some(Times { plan: plan.clone(), marks, totals: vec![(0.0, 0); count] }))
    }

    /// Runs these steps and waits for them.
    pub(super) fn run(
        &mut self,
        stream: &Stream,
        steps: &[Vec<Prepared>],
        range: Range<usize>,
    ) -> Result<(), DeviceError> {
        self.marks[range.start].record(stream)?;
        for i in range.clone() {
            steps[i].iter().try_for_each(|launch| stream.launch(launch))?;
            self.marks[i + 1].record(stream)?;
        }
        self.marks[range.end].wait()?;
        for i in range {
            let (total, runs) = &mut self.totals[i];
            *total += f64::from(self.marks[i].milliseconds_until(&self.marks[i + 1])?);
            *runs += 1;
        }
        Ok(())
    }
}

impl Drop for Times {
    fn drop(&mut self) {
        eprintln!("mean microseconds of each step of {} rows at most", self.plan.capacity);
        let ran = self.plan.graph.steps.iter().zip(&self.totals).filter(|(_, (_, runs))| *runs > 0);
        for (step, (total, runs)) in ran {
            let mean = 1e3 * total / f64::from(*runs);
            eprintln!("{mean:10.1}  {runs:>6} x  {}: {}", step.layer, step.op.label());
        }
    }
}
