//! Throughput by rows of a step and by threads.

use std::num::NonZeroUsize;

use super::job::Job;
use super::measure::{Budget, Spread};
use super::report::{Curve, Point};
use super::workload::{Kind, Workload};
use crate::error::Result;
use crate::exec::Device;
use crate::exec::cpu::default_threads;

/// Rows of a step that are tried.
const BATCHES: [usize; 6] = [1, 4, 16, 64, 256, 1024];

/// Steps of a sample, at most.
const STEPS: usize = 64;

/// The workloads that curves are drawn of.
const DRAWN: [&str; 3] = ["W2", "W3", "W8b256"];

/// Training and inference with steps of more and more rows.
///
/// # Errors
/// The device's.
pub(super) fn batches(workloads: &[Workload], device: &Device, quick: bool) -> Result<Vec<Curve>> {
    let curve = |workload: &Workload| {
        let sized = BATCHES.map(|rows| (rows, workload.with_rows(rows)));
        let point = |(rows, workload): (usize, Workload)| point(rows, &workload, device, quick);
        let points = sized.into_iter().map(point).collect::<Result<_>>()?;
        Ok(Curve { name: name(workload), points })
    };
    drawn(workloads).map(curve).collect()
}

/// Training with more and more threads, to as many as are used otherwise.
///
/// # Errors
/// The device's.
pub(super) fn threads(workloads: &[Workload], quick: bool) -> Result<Vec<Curve>> {
    let most = default_threads().get();
    let powers = std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|n| *n < most);
    let counts: Vec<usize> = powers.chain([most]).collect();
    let training = |w: &&Workload| matches!(w.kind, Kind::Training(_));
    let curve = |workload: &Workload| {
        let point = |&count: &usize| {
            let threads = NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
            point(count, workload, &Device::cpu().threads(threads), quick)
        };
        let points = counts.iter().map(point).collect::<Result<_>>()?;
        Ok(Curve { name: name(workload), points })
    };
    drawn(workloads).filter(training).map(curve).collect()
}

fn drawn(workloads: &[Workload]) -> impl Iterator<Item = &Workload> {
    workloads.iter().filter(|workload| DRAWN.contains(&workload.id))
}

fn name(workload: &Workload) -> String {
    match workload.kind {
        Kind::Inference(..) => "inference, W8".into(),
        _ => format!("training, {}", workload.id),
    }
}

/// One point, of samples of few steps.
fn point(at: usize, workload: &Workload, device: &Device, quick: bool) -> Result<Point> {
    let budget = if quick { Budget::TINY } else { Budget::SHORT };
    let data = workload.data(true);
    let data = data.rows(..data.len().min(STEPS * workload.rows()));
    let mut job = Job::first_step(workload, device, &data)?;
    let once = job.warm_up()?;
    let step = Spread::of(job.samples(budget.samples_of(once))?);
    Ok(Point { at, rows_per_second: workload.rows() as f64 / step.median })
}
