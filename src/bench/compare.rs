//! Two reports beside each other: what got slower beyond the noise.

use std::fmt;

use super::measure::Spread;
use super::report::{DeviceReport, Measured, Report};
use super::text::time;

/// What changed between two reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Workloads that both have.
    pub changes: Vec<Change>,
    /// What could not be compared, and why.
    pub left_out: Vec<String>,
}

/// A workload in both reports.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The device.
    pub device: String,
    /// The workload.
    pub id: String,
    /// Seconds per step, before.
    pub old: Spread,
    /// Seconds per step, now.
    pub new: Spread,
}

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Slower by more than both spreads.
    Slower,
    /// Faster by more than both spreads.
    Faster,
    /// Within the noise.
    Same,
}

impl Change {
    /// The medians differ beyond the noise if they are farther apart than the quartiles of both
    /// together.
    pub fn verdict(&self) -> Verdict {
        let noise = self.old.width() + self.new.width();
        let difference = self.new.median - self.old.median;
        match difference.abs() > noise {
            true if difference > 0.0 => Verdict::Slower,
            true => Verdict::Faster,
            false => Verdict::Same,
        }
    }
}

impl Comparison {
    /// Of a report with an older one, device by device. Devices that are called otherwise are left
    /// out: the difference would be theirs.
    pub fn of(new: &Report, old: &Report) -> Comparison {
        let mut comparison = Comparison { changes: vec![], left_out: vec![] };
        if new.quick != old.quick {
            let text = "one run was quick and the other not; their samples differ";
            comparison.left_out.push(text.into());
        }
        for (device, _) in new.devices() {
            match old.devices().find(|(before, _)| before.device == device.device) {
                Some((before, _)) if same_processor(new, old) => comparison.add(device, before),
                Some(_) => comparison.left_out.push(format!(
                    "{}: measured on {} and on {}",
                    device.device, old.machine.processor, new.machine.processor
                )),
                None => {
                    comparison.left_out.push(format!("{}: not in the old report", device.device));
                }
            }
        }
        comparison
    }

    fn add(&mut self, new: &DeviceReport, old: &DeviceReport) {
        let find = |id: &str, report: &DeviceReport| -> Option<Measured> {
            report.measured().find(|(entry, _)| entry.id == id).map(|(_, m)| m.clone())
        };
        for entry in &new.workloads {
            let id = entry.id.clone();
            match (find(&id, old), find(&id, new)) {
                (Some(before), Some(now)) => self.changes.push(Change {
                    device: new.device.clone(),
                    id,
                    old: before.seconds_per_step,
                    new: now.seconds_per_step,
                }),
                (Some(_), None) => {
                    self.left_out.push(format!("{id} on {}: not measured now", new.device));
                }
                (None, Some(_)) => {
                    self.left_out.push(format!("{id} on {}: not measured before", new.device));
                }
                (None, None) => {}
            }
        }
    }

    /// Whether something got slower beyond the noise.
    pub fn is_slower(&self) -> bool {
        self.changes.iter().any(|change| change.verdict() == Verdict::Slower)
    }
}

fn same_processor(new: &Report, old: &Report) -> bool {
    new.machine.processor == old.machine.processor
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:8} {:>9} {:>9} {:>8} {:>8}  device",
            "workload", "before", "now", "change", "noise"
        )?;
        for change in &self.changes {
            let Change { device, id, old, new } = change;
            let verdict = match change.verdict() {
                Verdict::Slower => "SLOWER  ",
                Verdict::Faster => "faster  ",
                Verdict::Same => "",
            };
            writeln!(
                f,
                "{id:8} {:>9} {:>9} {:>+7.1}% {:>7.1}%  {verdict}{device}",
                time(old.median),
                time(new.median),
                100.0 * (new.median / old.median - 1.0),
                100.0 * (old.width() + new.width()) / old.median,
            )?;
        }
        self.left_out.iter().try_for_each(|text| writeln!(f, "not compared: {text}"))
    }
}
