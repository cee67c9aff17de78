//! What a run of the harness found, as it is saved and compared.

use serde::{Deserialize, Serialize};

use super::alone::Alone;
use super::limit::{Floor, Roof};
use super::machine::Machine;
use super::measure::Spread;

/// Number of the report's format; it changes when a reader of the old one would be wrong.
pub const FORMAT: u32 = 2;

/// One run of the harness.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Whether it was a short run.
    pub quick: bool,
    /// Where.
    pub machine: Machine,
    /// What the devices reach.
    pub roofline: Roofline,
    /// The workloads on the CPU.
    pub cpu: DeviceReport,
    /// The workloads on each GPU.
    pub gpu: Vec<DeviceReport>,
    /// Why there is no GPU.
    pub no_gpu: Option<String>,
}

/// What each device reaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// The CPU.
    pub cpu: Roof,
    /// The GPUs.
    pub gpu: Vec<Roof>,
}

/// The workloads on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// The device.
    pub device: String,
    /// Every workload, in order.
    pub workloads: Vec<Entry>,
    /// Throughput by rows of a step.
    pub batches: Vec<Curve>,
    /// Throughput by threads; of the CPU.
    pub threads: Vec<Curve>,
}

/// A workload and what came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Short name, such as `W3`.
    pub id: String,
    /// What it is.
    pub description: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What came of a workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was timed.
    Measured(Box<Measured>),
    /// Its results are not those of the definitions, so it was not timed.
    Wrong {
        /// How they differ.
        problem: String,
    },
    /// It could not be run, or was not asked for.
    NotAvailable {
        /// Why.
        reason: String,
    },
}

/// A workload's figures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// At the median time of a step. W7, which has no rows, counts steps.
    pub rows_per_second: f64,
    /// Rows of a step.
    pub rows: usize,
    /// Time of a step.
    pub seconds_per_step: Spread,
    /// 10⁹ operations a second.
    pub gflops: f64,
    /// 10⁹ bytes a second that must come from outside the step or go there.
    pub gigabytes_per_second: f64,
    /// The least that a step takes.
    pub limit: Floor,
    /// The limit's part of the median time.
    pub share_of_limit: f64,
    /// Kernels that a step launches; on the CPU steps of its plan. Training on a GPU launches one
    /// more before each step, which picks its rows.
    pub launches_per_step: usize,
    /// Parameters, gradients, optimizer state and the plan's own arena, on the device.
    pub memory_bytes: usize,
    /// From the model's description to the end of its first step.
    pub first_step_seconds: f64,
    /// What a process of its own takes, if there was one.
    pub alone: Option<Alone>,
    /// Joules for 1,000 rows, if the device tells.
    pub joules_per_thousand_rows: Option<f64>,
    /// The CPU's time of a step by this device's, of neighbouring rounds in alternating order.
    pub times_faster_than_cpu: Option<Spread>,
    /// Forward, backward and update, each alone.
    pub phases: Vec<Part>,
    /// Every step of the plan, each alone.
    pub parts: Vec<Part>,
}

/// Some steps of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The phase, or the step's layer and op.
    pub name: String,
    /// Its time.
    pub seconds: Spread,
    /// The least that it takes.
    pub floor: Floor,
}

/// Throughput by something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Of what.
    pub name: String,
    /// From small to large.
    pub points: Vec<Point>,
}

/// One point of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Rows or threads.
    pub at: usize,
    /// Throughput.
    pub rows_per_second: f64,
}

impl Report {
    /// The CPU and all GPUs, each with its roof.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceReport, &Roof)> {
        let gpus = self.gpu.iter().zip(&self.roofline.gpu);
        std::iter::once((&self.cpu, &self.roofline.cpu)).chain(gpus)
    }

    /// Every workload whose results were wrong: device, workload, problem.
    pub fn wrong(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let entries = self.devices().flat_map(|(device, _)| {
            device.workloads.iter().map(move |entry| (device.device.as_str(), entry))
        });
        entries.filter_map(|(device, entry)| match &entry.outcome {
            Outcome::Wrong { problem } => Some((device, entry.id.as_str(), problem.as_str())),
            _ => None,
        })
    }

    /// Reads a saved report.
    ///
    /// # Errors
    /// If the text is no report, or of another format.
    pub fn parse(text: &str) -> Result<Report, String> {
        let value: serde_json::Value =
            serde_json::from_str(text).map_err(|e| format!("it is not JSON: {e}"))?;
        match value["format"].as_u64() {
            Some(format) if format == u64::from(FORMAT) => {}
            Some(format) => {
                return Err(format!("its format is {format}, this version reads {FORMAT}"));
            }
            None => return Err("it is not a report of `ironwarp bench --json`".into()),
        }
        serde_json::from_value(value).map_err(|e| format!("it is not a whole report: {e}"))
    }
}

impl DeviceReport {
    /// The workloads that were timed.
    pub fn measured(&self) -> impl Iterator<Item = (&Entry, &Measured)> {
        self.workloads.iter().filter_map(|entry| match &entry.outcome {
            Outcome::Measured(measured) => Some((entry, &**measured)),
            _ => None,
        })
    }
}
