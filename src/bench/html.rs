//! A report as one page that needs nothing else: tables and drawings, light, no scripts.

use std::fmt::Write;

use super::chart::{Chart, Dot, Line};
use super::report::{Curve, Measured, Outcome, Report};
use super::text::{rate, size, time};

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.5rem}
table{border-collapse:collapse;width:100%;font-size:13px}
th,td{padding:.25rem .5rem;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child,td.text{text-align:left}
svg{width:100%;height:auto}p{max-width:45rem}.quiet{color:#666}";

/// The page.
pub fn page(report: &Report) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <title>ironwarp bench</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n\
         <h1>ironwarp bench</h1>\n{}",
        machine(report)
    );
    for (i, (device, _)) in report.devices().enumerate() {
        let _ = write!(page, "<h2>{}</h2>\n{}", escape(&device.device), table(report, i));
        page += &roofline(report, i);
        page += &phases(report, i);
        page += &curves("Throughput by rows of a step", "rows", &device.batches);
        page += &curves("Throughput by threads", "threads", &device.threads);
    }
    page += "</body>\n</html>\n";
    page
}

/// Text as it may stand in the page.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn machine(report: &Report) -> String {
    let m = &report.machine;
    let clocks = m.clock_megahertz.map_or("clocks not available".into(), |[low, high]| {
        format!("clocks {low:.0} to {high:.0} MHz")
    });
    let run = if report.quick { "A quick run." } else { "A full run." };
    let gpu = report.no_gpu.as_ref().map_or(String::new(), |why| format!(" No GPU: {why}."));
    let text = format!(
        "{}, {}, {} of {} processors, {clocks}, {}; ironwarp {}, {} build, {}. {run}{gpu}",
        m.processor,
        m.instruction_set,
        m.threads,
        m.processors,
        m.system,
        m.version,
        m.profile,
        m.compiler
    );
    format!("<p class=\"quiet\">{}</p>\n", escape(&text))
}

fn table(report: &Report, index: usize) -> String {
    let Some((device, _)) = report.devices().nth(index) else { return String::new() };
    let mut text = String::from(
        "<table>\n<tr><th>workload</th><th>rows/s</th><th>step</th><th>p95</th><th>GFLOP/s</th>\
         <th>GB/s</th><th>of limit</th><th>launches</th><th>memory</th><th>first step</th>\
         <th>process start</th><th>peak</th><th>beyond plan, data</th>\
         <th>J / 1,000 rows</th><th>&#215; CPU</th></tr>\n",
    );
    for entry in &device.workloads {
        let head = format!("<td>{}: {}</td>", entry.id, escape(&entry.description));
        let cells = match &entry.outcome {
            Outcome::Measured(measured) => cells(measured),
            Outcome::Wrong { problem } => wide(&format!("wrong, not timed: {problem}")),
            Outcome::NotAvailable { reason } => wide(&format!("not available: {reason}")),
        };
        let _ = writeln!(text, "<tr>{head}{cells}</tr>");
    }
    text + "</table>\n"
}

fn wide(text: &str) -> String {
    format!("<td class=\"text quiet\" colspan=\"14\">{}</td>", escape(text))
}

fn cells(m: &Measured) -> String {
    let or_say = |text: Option<String>| text.unwrap_or_else(|| "not available".into());
    let or_none = |value: Option<f64>| or_say(value.map(|x| format!("{x:.2}")));
    let bytes = |bytes: u64| size(bytes as usize);
    let cells = [
        rate(m.rows_per_second),
        time(m.seconds_per_step.median),
        time(m.seconds_per_step.p95),
        format!("{:.1}", m.gflops),
        format!("{:.1}", m.gigabytes_per_second),
        format!("{:.0} %", 100.0 * m.share_of_limit),
        m.launches_per_step.to_string(),
        size(m.memory_bytes),
        time(m.first_step_seconds),
        or_say(m.alone.map(|alone| time(alone.start_seconds.median))),
        or_say(m.alone.and_then(|alone| alone.memory.peak).map(bytes)),
        or_say(m.alone.and_then(|alone| alone.memory.beyond()).map(bytes)),
        or_none(m.joules_per_thousand_rows),
        or_none(m.times_faster_than_cpu.map(|ratio| ratio.median)),
    ];
    cells.map(|cell| format!("<td>{cell}</td>")).concat()
}

/// Bytes of a step below which its rate says nothing.
const SMALLEST: u64 = 4 << 10;

/// Every step of every plan as a dot below what the device reaches.
fn roofline(report: &Report, index: usize) -> String {
    let Some((device, roof)) = report.devices().nth(index) else { return String::new() };
    let mut chart = Chart::new("operations per byte", "GFLOP/s");
    let [memory, cache] = [usize::MAX, 0].map(|bytes| roof.gigabytes_per_second(bytes));
    for (name, bandwidth) in [("memory", memory), ("cache", cache)] {
        let (low, corner) = (1.0 / 32.0, roof.gflops / bandwidth);
        let line = [(low, low * bandwidth), (corner, roof.gflops), (4096.0, roof.gflops)];
        chart.line(Line { name: format!("{name} {bandwidth:.0} GB/s"), points: line.to_vec() });
    }
    for (entry, measured) in device.measured() {
        let dots = measured.parts.iter().filter(|p| p.floor.flops > 0 && p.floor.bytes > SMALLEST);
        chart.dots(
            &entry.id,
            dots.map(|part| Dot {
                at: (
                    part.floor.flops as f64 / part.floor.bytes as f64,
                    part.floor.flops as f64 / part.seconds.median / 1e9,
                ),
                title: format!("{} {}: {}", entry.id, part.name, time(part.seconds.median)),
            }),
        );
    }
    format!(
        "<h2>Roofline</h2>\n<p>A dot for each step of each plan; the lines are what matrix products \
         and streams reached in the same run. Steps of less than 4 KiB are left out. A dot's name \
         shows where the pointer rests.</p>\n{}",
        chart.svg()
    )
}

/// Where a step's time goes.
fn phases(report: &Report, index: usize) -> String {
    let Some((device, _)) = report.devices().nth(index) else { return String::new() };
    let mut bars = vec![];
    for (entry, measured) in device.measured().filter(|(_, m)| m.phases.len() > 1) {
        let parts = measured.phases.iter().map(|p| (p.name.clone(), p.seconds.median)).collect();
        bars.push((entry.id.clone(), parts));
    }
    if bars.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Time per phase</h2>\n<p>Each phase timed alone, as a part of their sum.</p>\n{}",
        super::chart::bars(&bars)
    )
}

fn curves(title: &str, unit: &str, curves: &[Curve]) -> String {
    if curves.is_empty() {
        return String::new();
    }
    let mut chart = Chart::new(unit, "rows/s");
    for curve in curves {
        let points = curve.points.iter().map(|p| (p.at as f64, p.rows_per_second)).collect();
        chart.line(Line { name: curve.name.clone(), points });
    }
    format!("<h2>{title}</h2>\n{}", chart.svg())
}
