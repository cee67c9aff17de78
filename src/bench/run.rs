//! Runs the workloads: checks each, then times it on all devices in alternating order.

use std::ops::Range;
use std::time::Instant;

use super::energy::Energy;
use super::job::Job;
use super::limit::{Floor, Limits};
use super::machine::Machine;
use super::measure::{Budget, Spread};
use super::probe::Probe;
use super::report::{DeviceReport, Entry, FORMAT, Measured, Outcome, Part, Report, Roofline};
use super::sweep;
use super::workload::{Kind, Workload};
use crate::data::Dataset;
use crate::error::Result;
use crate::exec::Device;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Half a second a workload in place of four, and less data.
    pub quick: bool,
    /// Only workloads of these ids; all if there are none.
    pub only: Vec<String>,
    /// The workloads.
    pub workloads: Vec<Workload>,
}

/// Times one device's share of a workload.
struct Subject {
    job: Job,
    /// Seconds per step of all samples.
    samples: Vec<f64>,
    /// The median of each round.
    rounds: Vec<f64>,
    /// Since it was made; none where the device does not tell.
    energy: Option<Energy>,
    /// Of all samples.
    joules: Option<f64>,
    figures: Figures,
}

/// What is known beside the samples.
struct Figures {
    rows: usize,
    limit: Floor,
    launches_per_step: usize,
    memory_bytes: usize,
    first_step_seconds: f64,
    phases: Vec<Part>,
    parts: Vec<Part>,
}

/// Measures everything on the CPU and on every GPU. `progress` is told what is being done.
///
/// # Errors
/// A device's. Wrong results are no error, but an outcome of the workload.
pub fn run(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Report> {
    let mut machine = Machine::this();
    let (devices, no_gpu) = devices();
    let mut limits = vec![];
    for device in &devices {
        progress(&format!("what {device} reaches"));
        limits.push(Limits::new(device)?);
    }
    let mut reports: Vec<_> = devices
        .iter()
        .map(|device| DeviceReport {
            device: device.to_string(),
            workloads: vec![],
            batches: vec![],
            threads: vec![],
        })
        .collect();
    for workload in &options.workloads {
        let outcomes = measure(options, workload, &devices, &mut limits, progress)?;
        for (report, outcome) in reports.iter_mut().zip(outcomes) {
            let (id, description) = (workload.id.into(), workload.description.into());
            report.workloads.push(Entry { id, description, outcome });
        }
    }
    if options.only.is_empty() {
        for (report, device) in reports.iter_mut().zip(&devices) {
            progress(&format!("sizes of steps on {device}"));
            report.batches = sweep::batches(&options.workloads, device, options.quick)?;
            if device.is_cpu() {
                progress("numbers of threads");
                report.threads = sweep::threads(&options.workloads, options.quick)?;
            }
        }
    }
    machine.look_at_clocks();
    let mut roofs = limits.into_iter().map(|limits| limits.roof().clone());
    let cpu = roofs.next().expect("invariant: the CPU is always there");
    let roofline = Roofline { cpu, gpu: roofs.collect() };
    let (cpu, gpu) = (reports.remove(0), reports);
    let (format, quick) = (FORMAT, options.quick);
    Ok(Report { format, quick, machine, roofline, cpu, gpu, no_gpu })
}

/// The CPU, then every GPU; why there is none.
pub fn devices() -> (Vec<Device>, Option<String>) {
    let mut devices = vec![Device::cpu()];
    let reason = loop {
        match Device::cuda(devices.len() - 1) {
            Ok(device) => devices.push(device),
            Err(error) => break error.to_string(),
        }
    };
    let none = devices.len() == 1;
    (devices, none.then_some(reason))
}

/// One outcome for each device.
fn measure(
    options: &Options,
    workload: &Workload,
    devices: &[Device],
    limits: &mut [Limits],
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Outcome>> {
    let all = |reason: String| vec![Outcome::NotAvailable { reason }; devices.len()];
    if !options.only.is_empty() && !options.only.iter().any(|id| id == workload.id) {
        return Ok(all("not asked for".into()));
    }
    if let Kind::Missing(what) = &workload.kind {
        return Ok(all(format!("needs {what}")));
    }
    let budget = if options.quick { Budget::QUICK } else { Budget::FULL };
    let data = workload.data(options.quick);
    let mut subjects = vec![];
    for (device, limits) in devices.iter().zip(limits) {
        progress(&format!("{} on {device}: {}", workload.id, workload.description));
        subjects.push(match check(workload, device, &data)? {
            Some(problem) => Err(problem),
            None => Ok(subject(workload, device, &data, limits)?),
        });
    }
    alternate(&mut subjects, budget)?;
    let reference = subjects[0].as_ref().ok().map(|cpu| cpu.rounds.clone());
    let outcome = |(i, subject): (usize, Result<Subject, String>)| match subject {
        Err(problem) => Outcome::Wrong { problem },
        Ok(subject) => {
            let mut measured = subject.measured();
            if let (Some(cpu), true) = (&reference, i > 0) {
                let ratios = cpu.iter().zip(&subject.rounds).map(|(cpu, own)| cpu / own);
                measured.times_faster_than_cpu = Some(Spread::of(ratios.collect()));
            }
            Outcome::Measured(Box::new(measured))
        }
    };
    Ok(subjects.into_iter().enumerate().map(outcome).collect())
}

/// What is wrong with a workload's results on a device, if anything is.
///
/// # Errors
/// The device's.
pub fn check(workload: &Workload, device: &Device, data: &Dataset) -> Result<Option<String>> {
    let mut probe = workload.small_probe(device, data)?;
    let steps = workload.timed(&probe.plan);
    // The definitions are plain loops: some hundred million operations take a second.
    let per_row = probe.flops(steps.clone()) / probe.rows as u64;
    let rows = (1 << 28) / per_row.max(1);
    probe.problem(steps, probe.rows.min(rows.max(1) as usize))
}

fn subject(
    workload: &Workload,
    device: &Device,
    data: &Dataset,
    limits: &mut Limits,
) -> Result<Subject> {
    let started = Instant::now();
    let job = Job::first_step(workload, device, data)?;
    let first_step_seconds = started.elapsed().as_secs_f64();
    let mut probe = workload.probe(device, data)?;
    let whole = workload.timed(&probe.plan);
    let limit = limits.of_range(&probe, whole.clone())?;
    let (phases, parts) = (phases(&mut probe, limits, &whole)?, parts(&mut probe, limits, &whole)?);
    let figures = Figures {
        rows: probe.rows,
        limit,
        launches_per_step: probe.launches(whole),
        memory_bytes: probe.bytes(),
        first_step_seconds,
        phases,
        parts,
    };
    let energy = Energy::of(device);
    Ok(Subject { job, samples: vec![], rounds: vec![], energy, joules: None, figures })
}

fn phases(probe: &mut Probe, limits: &mut Limits, whole: &Range<usize>) -> Result<Vec<Part>> {
    let plan = probe.plan.clone();
    let ranges =
        [("forward", &plan.forward), ("backward", &plan.backward), ("update", &plan.update)];
    let timed = ranges.into_iter().filter(|(_, r)| !r.is_empty() && whole.contains(&r.start));
    let phases = timed.map(|(name, range)| {
        let floor = limits.of_range(probe, range.clone())?;
        run_before(probe, whole, range.start)?;
        Ok(Part { name: name.into(), seconds: probe.time(range.clone(), Budget::SHORT)?, floor })
    });
    let phases = phases.collect::<Result<_>>();
    probe.reset()?;
    phases
}

fn parts(probe: &mut Probe, limits: &mut Limits, whole: &Range<usize>) -> Result<Vec<Part>> {
    let (plan, rows) = (probe.plan.clone(), probe.rows);
    let steps = whole.clone().filter(|i| !plan.graph.steps[*i].op.is_view());
    let parts = steps.map(|i| {
        let step = &plan.graph.steps[i];
        let floor = limits.of_step(&plan, i, rows)?;
        let name = format!("{}: {}", step.layer, step.op.label());
        run_before(probe, whole, i)?;
        Ok(Part { name, seconds: probe.time(i..i + 1, Budget::TINY)?, floor })
    });
    let parts = parts.collect();
    probe.reset()?;
    parts
}

/// Leaves the memory as steps before `start` do: what they read may be in a place that later steps
/// write, and an update that reads anything else may see no finite loss, and do nothing.
fn run_before(probe: &mut Probe, whole: &Range<usize>, start: usize) -> Result<()> {
    if whole.start == 0 {
        probe.run(0..start)?;
    }
    Ok(())
}

/// Lets all subjects take turns, every other round in the opposite order.
fn alternate(subjects: &mut [Result<Subject, String>], budget: Budget) -> Result<()> {
    let rounds = if subjects.len() > 1 { 5 } else { 1 };
    let mut counts = vec![];
    for subject in subjects.iter_mut() {
        let Ok(subject) = subject else {
            counts.push(0);
            continue;
        };
        let started = Instant::now();
        let mut once = subject.job.warm_up()?;
        while started.elapsed() < budget.warm_up {
            once = subject.job.warm_up()?;
        }
        counts.push(budget.samples_of(once).div_ceil(rounds));
    }
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for i in order {
            let Ok(subject) = &mut subjects[i] else { continue };
            let before = subject.energy.as_mut().and_then(Energy::joules);
            let samples = subject.job.samples(counts[i])?;
            let after = subject.energy.as_mut().and_then(Energy::joules);
            if let (Some(before), Some(after)) = (before, after) {
                *subject.joules.get_or_insert(0.0) += after - before;
            }
            subject.rounds.push(Spread::of(samples.clone()).median);
            subject.samples.extend(samples);
        }
    }
    Ok(())
}

impl Subject {
    fn measured(&self) -> Measured {
        let figures = &self.figures;
        let step = Spread::of(self.samples.clone());
        let rows = (self.samples.len() * self.job.steps_per_sample() * figures.rows) as f64;
        Measured {
            rows_per_second: figures.rows as f64 / step.median,
            rows: figures.rows,
            seconds_per_step: step,
            gflops: figures.limit.flops as f64 / step.median / 1e9,
            gigabytes_per_second: figures.limit.bytes as f64 / step.median / 1e9,
            limit: figures.limit,
            share_of_limit: figures.limit.seconds / step.median,
            launches_per_step: figures.launches_per_step,
            memory_bytes: figures.memory_bytes,
            first_step_seconds: figures.first_step_seconds,
            alone: None,
            joules_per_thousand_rows: self.joules.map(|joules| 1000.0 * joules / rows),
            times_faster_than_cpu: None,
            phases: figures.phases.clone(),
            parts: figures.parts.clone(),
        }
    }
}
