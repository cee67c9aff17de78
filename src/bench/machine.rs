//! What a report says of the machine.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::cpu::gemm::instruction_set;
use crate::exec::cpu::default_threads;

/// A machine and the program that measured it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// The vector instructions that are used.
    pub instruction_set: String,
    /// Threads that are used.
    pub threads: usize,
    /// Processors that the system grants.
    pub processors: usize,
    /// Clocks of all processors before and after the measurements, in MHz, if the system tells:
    /// the lowest and the highest.
    pub clock_megahertz: Option<[f64; 2]>,
    /// What governs the clocks, if the system tells.
    pub governor: Option<String>,
    /// Bytes of memory, if the system tells.
    pub memory: Option<u64>,
    /// The system and its version.
    pub system: String,
    /// Version of this crate.
    pub version: String,
    /// `release`, or `debug`, which is never timed.
    pub profile: String,
    /// The compiler.
    pub compiler: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Machine {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let kernel = text("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            instruction_set: instruction_set().into(),
            threads: default_threads().get(),
            processors,
            clock_megahertz: clocks(),
            governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            memory: field("/proc/meminfo", "MemTotal").and_then(|line| kibibytes(&line)),
            system: format!("{} {kernel}", std::env::consts::OS).trim_end().into(),
            version: env!("CARGO_PKG_VERSION").into(),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.into(),
            compiler: env!("IRONWARP_COMPILER").into(),
        }
    }

    /// Widens the clocks by those of now.
    pub fn look_at_clocks(&mut self) {
        if let (Some(before), Some(now)) = (&mut self.clock_megahertz, clocks()) {
            *before = [before[0].min(now[0]), before[1].max(now[1])];
        }
    }
}

/// The largest resident size of this process so far, in bytes, if the system tells.
pub(super) fn peak_resident() -> Option<u64> {
    kibibytes(&field("/proc/self/status", "VmHWM")?)
}

fn text(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_string())
}

fn field(path: &str, name: &str) -> Option<String> {
    values(&text(path)?, name).next()
}

/// The values of all lines `name : value`.
fn values(text: &str, name: &str) -> impl Iterator<Item = String> {
    text.lines().filter_map(move |line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_string())
    })
}

fn kibibytes(value: &str) -> Option<u64> {
    let number: u64 = value.strip_suffix("kB")?.trim().parse().ok()?;
    Some(number << 10)
}

fn clocks() -> Option<[f64; 2]> {
    let text = text("/proc/cpuinfo")?;
    let clocks: Vec<f64> =
        values(&text, "cpu MHz").filter_map(|value| value.parse().ok()).collect();
    let low = clocks.iter().copied().reduce(f64::min)?;
    Some([low, clocks.into_iter().fold(low, f64::max)])
}
