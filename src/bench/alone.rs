//! A workload in a process of its own: how long that takes to its first step, and how much memory.
//! The process is the program `ironwarp` once more; it tells its figures on stdout.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::job::Job;
use super::machine::peak_resident;
use super::measure::Spread;
use super::report::{Outcome, Report};
use super::workload::{Kind, Workload};
use crate::data::Dataset;
use crate::error::Result;
use crate::exec::Device;

/// The option of `ironwarp bench` that makes it such a process: workload and device follow.
pub const OPTION: &str = "alone";

/// What a process with one workload took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alone {
    /// From its start to the end of its first step, without making the data.
    pub start_seconds: Spread,
    /// Its memory at the end of an epoch.
    pub memory: Resident,
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resident {
    /// The largest resident size, if the system tells.
    pub peak: Option<u64>,
    /// Parameters, gradients, optimizer state and the plan's own arena; 0 on a GPU, where they are in
    /// its memory.
    pub plan: u64,
    /// Data and initial values.
    pub data: u64,
}

impl Resident {
    /// What of the peak is neither plan nor data.
    pub fn beyond(&self) -> Option<u64> {
        Some(self.peak?.saturating_sub(self.plan + self.data))
    }
}

/// Runs a workload in this process: its first step on as many rows as that needs, then an epoch, or
/// one prediction or update. Tells the seconds that making the rows took once the first step is done,
/// then the memory.
///
/// # Errors
/// The device's, and `out`'s.
pub fn run(workload: &Workload, device: &Device, out: &mut dyn Write) -> anyhow::Result<()> {
    let started = Instant::now();
    let first = workload.first_rows();
    let made = started.elapsed().as_secs_f64();
    let mut job = Job::first_step(workload, device, &first)?;
    writeln!(out, "{made}")?;
    out.flush()?;
    let data = match (&workload.kind, &job) {
        (Kind::Training(training), _) => {
            let data = training.data(training.rows);
            let bytes = bytes(&data);
            job.change_data(data);
            bytes
        }
        (_, Job::Update(probe)) => probe.content_bytes() as u64,
        _ => bytes(&first),
    };
    job.warm_up()?;
    let peak = peak_resident();
    drop(job);
    // Made once more, after the peak was read.
    let plan = if device.is_cpu() { workload.probe(device, &first)?.bytes() as u64 } else { 0 };
    let memory = Resident { peak, plan, data };
    Ok(writeln!(out, "{}", serde_json::to_string(&memory)?)?)
}

fn bytes(data: &Dataset) -> u64 {
    let columns = data.inputs().iter().chain(data.targets());
    columns.map(|column| 4 * column.values.len() as u64).sum()
}

/// Runs a workload so many times in processes of this program, and the last to its end.
///
/// # Errors
/// If a process does not start or tells something else.
pub fn measure(program: &Path, id: &str, device: &str, times: usize) -> Result<Alone, String> {
    let mut starts = vec![];
    for _ in 1..times {
        starts.push(process(program, id, device, false)?.0);
    }
    let (start, memory) = process(program, id, device, true)?;
    starts.push(start);
    let memory = serde_json::from_str(&memory).map_err(|e| format!("{id} alone: {e}"))?;
    Ok(Alone { start_seconds: Spread::of(starts), memory })
}

/// Seconds to the end of the first step, and what else one process tells if it may go on.
fn process(program: &Path, id: &str, device: &str, whole: bool) -> Result<(f64, String), String> {
    let failed = |e: std::io::Error| format!("{id} alone: can't run {}: {e}", program.display());
    let started = Instant::now();
    let mut command = Command::new(program);
    command.args(["bench", &format!("--{OPTION}"), id, device]).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut out = BufReader::new(child.stdout.take().expect("invariant: stdout is a pipe"));
    let (mut first, mut rest) = (String::new(), String::new());
    let read = out.read_line(&mut first);
    let seconds = started.elapsed().as_secs_f64();
    if whole {
        out.read_to_string(&mut rest).map_err(failed)?;
    } else {
        child.kill().map_err(failed)?;
    }
    child.wait().map_err(failed)?;
    read.map_err(failed)?;
    let made: f64 = first.trim().parse().map_err(|_| format!("{id} alone: it took no step"))?;
    Ok((seconds - made, rest))
}

impl Report {
    /// Adds what processes of `program` with one workload each take, on every device. `progress` is
    /// told what is being done.
    ///
    /// # Errors
    /// As of [`measure`].
    pub fn run_alone(
        &mut self,
        program: &Path,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), String> {
        let times = if self.quick { 3 } else { 9 };
        let names = std::iter::once("cpu".to_string()).chain((0..).map(|i| format!("cuda:{i}")));
        for (name, device) in names.zip(std::iter::once(&mut self.cpu).chain(&mut self.gpu)) {
            progress(&format!("processes with one workload each on {name}"));
            for entry in &mut device.workloads {
                if let Outcome::Measured(measured) = &mut entry.outcome {
                    measured.alone = Some(measure(program, &entry.id, &name, times)?);
                }
            }
        }
        Ok(())
    }
}
