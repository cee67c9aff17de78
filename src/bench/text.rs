//! A report as tables for people and as comma-separated values.

use std::fmt::{self, Write};

use super::alone::Alone;
use super::limit::Bound;
use super::report::{DeviceReport, Entry, Measured, Outcome, Part, Report};

/// What stands where a figure is missing.
const NONE: &str = "not available";
/// The same in a narrow column, explained below the table.
const SHORT_NONE: &str = "-";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let m = &self.machine;
        writeln!(
            f,
            "{}, {}, {} of {} processors",
            m.processor, m.instruction_set, m.threads, m.processors
        )?;
        let [clock, governor] = [
            m.clock_megahertz.map(|[low, high]| format!("{low:.0} to {high:.0} MHz")),
            m.governor.clone(),
        ]
        .map(|found| found.unwrap_or_else(|| NONE.into()));
        writeln!(f, "clocks {clock}, governor {governor}, {}", m.system)?;
        let run = if self.quick { ", a quick run" } else { "" };
        writeln!(f, "ironwarp {}, {} build, {}{run}", m.version, m.profile, m.compiler)?;
        for (device, roof) in self.devices() {
            let memory = roof.gigabytes_per_second(usize::MAX);
            let cache = roof.gigabytes_per_second(0);
            writeln!(
                f,
                "\n{}\nreaches {:.0} GFLOP/s in matrix products; streams {memory:.0} GB/s from \
                 memory, {cache:.0} GB/s from cache\n\n{HEADER}",
                device.device, roof.gflops
            )?;
            device.workloads.iter().try_for_each(|entry| writeln!(f, "{}", line(entry)))?;
            let alone = device.measured().filter_map(|(e, m)| Some((&e.id, m.alone.as_ref()?)));
            let lines: Vec<_> = alone.map(|(id, alone)| alone_line(id, alone)).collect();
            if !lines.is_empty() {
                writeln!(f, "\n{ALONE_HEADER}\n{}", lines.join("\n"))?;
            }
        }
        if let Some(reason) = &self.no_gpu {
            writeln!(f, "\n{}", wrapped(&format!("no GPU: {reason}")))?;
        }
        writeln!(f, "\n{LEGEND}")?;
        for entry in &self.cpu.workloads {
            writeln!(f, "{:7} {}", entry.id, entry.description)?;
        }
        Ok(())
    }
}

/// Names of the columns, as wide as the figures of [`line`].
const HEADER: &str = "\
workload  rows/s     step      p95  GFLOP/s   GB/s  limit launch   memory    first  J/krow  x CPU";

/// As wide as the figures of [`alone_line`].
const ALONE_HEADER: &str = "\
alone        start        p95       peak       plan       data     beyond";

const LEGEND: &str = "\
step: median time, p95 its 95th percentile; limit: part of what the device reaches in this run, by
its matrix products (a) or its memory (m); launch: kernels launched a step, on the CPU the plan's
steps; memory: of the plan, on the device; first: from the model to the end of its first step;
J/krow: joules for 1,000 rows; x CPU: times faster than the CPU; -: not available
alone: in a process of its own; start: from its start to the end of its first step; peak: its
largest resident size; beyond: what of that is neither plan nor data, 32 MiB at most is aimed at";

fn line(entry: &Entry) -> String {
    let m = match &entry.outcome {
        Outcome::Measured(measured) => measured,
        Outcome::Wrong { problem } => {
            return wrapped(&format!("{:10}WRONG, not timed: {problem}", entry.id));
        }
        Outcome::NotAvailable { reason } => return format!("{:10}{NONE}: {reason}", entry.id),
    };
    let joules = m.joules_per_thousand_rows.map(|joules| format!("{joules:.2}"));
    let ratio = m.times_faster_than_cpu.map(|ratio| format!("{:.2}", ratio.median));
    let [joules, ratio] = [joules, ratio].map(|text| text.unwrap_or_else(|| SHORT_NONE.into()));
    format!(
        "{:7} {:>8} {:>8} {:>8} {:>8.1} {:>6.1} {:>4.0} {} {:>6} {:>8} {:>8} {joules:>7} {ratio:>6}",
        entry.id,
        rate(m.rows_per_second),
        time(m.seconds_per_step.median),
        time(m.seconds_per_step.p95),
        m.gflops,
        m.gigabytes_per_second,
        100.0 * m.share_of_limit,
        bound(m.limit.bound),
        m.launches_per_step,
        size(m.memory_bytes),
        time(m.first_step_seconds),
    )
}

fn alone_line(id: &str, alone: &Alone) -> String {
    let memory = &alone.memory;
    let or_none = |bytes: Option<u64>| bytes.map_or(SHORT_NONE.into(), |b| size(b as usize));
    format!(
        "{id:8} {:>9} {:>10} {:>10} {:>10} {:>10} {:>10}",
        time(alone.start_seconds.median),
        time(alone.start_seconds.p95),
        or_none(memory.peak),
        size(memory.plan as usize),
        size(memory.data as usize),
        or_none(memory.beyond()),
    )
}

/// Broken into lines of at most 100 characters, between words.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_inclusive(' ') {
        let last = lines.len() - 1;
        match lines[last].is_empty() || lines[last].len() + word.trim_end().len() <= 100 {
            true => lines[last] += word,
            false => lines.push(word.into()),
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

fn bound(bound: Bound) -> &'static str {
    match bound {
        Bound::Arithmetic => "a",
        Bound::Memory => "m",
    }
}

/// Seconds in a unit that leaves few digits.
pub(super) fn time(seconds: f64) -> String {
    scaled(seconds, &[(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")])
}

/// A number of rows a second.
pub(super) fn rate(rows: f64) -> String {
    scaled(rows, &[(1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, "")])
}

/// Bytes.
pub(super) fn size(bytes: usize) -> String {
    let (kibi, mebi, gibi) = (1024.0, 1_048_576.0, 1_073_741_824.0);
    scaled(bytes as f64, &[(gibi, "GiB"), (mebi, "MiB"), (kibi, "KiB"), (1.0, "B")])
}

fn scaled(value: f64, units: &[(f64, &str)]) -> String {
    let last = units.len() - 1;
    let at = units.iter().position(|(unit, _)| value >= 0.9995 * unit).unwrap_or(last);
    let (unit, name) = units[at];
    let value = value / unit;
    let digits = if value < 9.995 {
        2
    } else if value < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {name}").trim_end().to_string()
}

/// Every step of every plan beside its floor.
pub fn parts(report: &Report) -> String {
    let mut text = String::new();
    for (device, _) in report.devices() {
        for (entry, measured) in device.measured() {
            let _ = writeln!(
                text,
                "\n{} on {}: {}\n{:>10} {:>10} {:>6}  GFLOP/s   GB/s",
                entry.id, device.device, entry.description, "time", "floor", "share"
            );
            for part in measured.phases.iter().chain(&measured.parts) {
                let _ = writeln!(text, "{}", part_line(part));
            }
        }
    }
    text
}

fn part_line(part: &Part) -> String {
    let (seconds, floor) = (part.seconds.median, &part.floor);
    let name: String = part.name.chars().take(44).collect();
    format!(
        "{:>10} {:>10} {:>4.0} {} {:>8.1} {:>6.1}  {name}",
        time(seconds),
        time(floor.seconds),
        100.0 * floor.seconds / seconds,
        bound(floor.bound),
        floor.flops as f64 / seconds / 1e9,
        floor.bytes as f64 / seconds / 1e9,
    )
}

const COLUMNS: &str = "device,workload,outcome,rows_per_second,seconds_per_step,lower_quartile,\
upper_quartile,p95,samples,rows,gflops,gigabytes_per_second,limit_seconds,share_of_limit,bound,\
launches_per_step,memory_bytes,first_step_seconds,joules_per_thousand_rows,times_faster_than_cpu,\
start_seconds,peak_resident_bytes,beyond_plan_and_data_bytes";

/// A line for each device and workload, below a line of names. What is not available is empty.
pub fn csv(report: &Report) -> String {
    let mut text = format!("{COLUMNS}\n");
    for (DeviceReport { device, workloads, .. }, _) in report.devices() {
        for entry in workloads {
            let (outcome, values) = match &entry.outcome {
                Outcome::Measured(measured) => ("measured", values(measured)),
                Outcome::Wrong { .. } => ("wrong", vec![]),
                Outcome::NotAvailable { .. } => ("not_available", vec![]),
            };
            let mut cells = vec![format!("\"{}\"", device.replace('"', "\"\"")), entry.id.clone()];
            cells.push(outcome.into());
            cells.extend(values);
            cells.resize(COLUMNS.split(',').count(), String::new());
            text += &cells.join(",");
            text.push('\n');
        }
    }
    text
}

fn values(m: &Measured) -> Vec<String> {
    let step = &m.seconds_per_step;
    let or_empty = |value: Option<f64>| value.map_or(String::new(), |x| x.to_string());
    let mut values: Vec<String> =
        [m.rows_per_second, step.median, step.lower, step.upper, step.p95]
            .map(|x| x.to_string())
            .into();
    values.extend([step.samples, m.rows].map(|n| n.to_string()));
    let rates = [m.gflops, m.gigabytes_per_second, m.limit.seconds, m.share_of_limit];
    values.extend(rates.map(|x| x.to_string()));
    values.push(if m.limit.bound == Bound::Memory { "memory" } else { "arithmetic" }.into());
    values.extend([m.launches_per_step, m.memory_bytes].map(|n| n.to_string()));
    values.push(m.first_step_seconds.to_string());
    values.push(or_empty(m.joules_per_thousand_rows));
    values.push(or_empty(m.times_faster_than_cpu.map(|ratio| ratio.median)));
    let alone = m.alone.as_ref();
    values.push(or_empty(alone.map(|alone| alone.start_seconds.median)));
    let memory = alone.map(|alone| alone.memory);
    let bytes = [memory.and_then(|m| m.peak), memory.and_then(|m| m.beyond())];
    values.extend(bytes.map(|bytes| bytes.map_or(String::new(), |b| b.to_string())));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        let times = [1.5, 0.0123, 99.96e-6, 2e-9, 0.99999].map(time);
        assert_eq!(times, ["1.50 s", "12.3 ms", "100 us", "2.00 ns", "1.00 s"]);
        assert_eq!([614_123.0, 7.0, 2.5e9].map(rate), ["614 k", "7.00", "2.50 G"]);
        assert_eq!([0, 1024, 3 << 20].map(size), ["0.00 B", "1.00 KiB", "3.00 MiB"]);
    }
}
