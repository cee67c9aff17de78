//! `ironwarp bench`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use ironwarp::bench::compare::Comparison;
use ironwarp::bench::report::Report;
use ironwarp::bench::run::{Options, run as measure};
use ironwarp::bench::workload::workloads;
use ironwarp::bench::{alone, export, html, text};
use ironwarp::exec::Device;

/// Measures training and inference on every device, beside what it reaches in the same run
///
/// Each workload is first checked against the definitions in f64; a wrong one is not timed. Then it
/// warms up and is timed for some seconds, all devices in turn. Medians are printed, and spreads are
/// in the JSON. `docs/benchmarks.md` tells the method and what the figures mean.
///
/// Threads are those of IRONWARP_THREADS, or as many as the system grants. Leave the machine alone
/// while this runs: about a minute, or ten seconds with --quick.
#[derive(Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Exit code: 0, all well; 1, a result was wrong, or something got slower; 2, nothing was measured:
a debug build, or a file that can't be read.

Examples:
  ironwarp bench --json > before.json            keep a run
  ironwarp bench --compare before.json           what changed since
  ironwarp bench --only W3 --steps               where the time of a step goes
  ironwarp bench --from before.json --html a.html   a page of a run that was kept"
)]
pub(crate) struct Arguments {
    /// Half a second a workload in place of four: for a look, not for a record
    #[arg(long)]
    quick: bool,
    /// Only these workloads, such as W2,W8b1
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    only: Vec<String>,
    /// Also every step of every plan beside the least that it takes
    #[arg(long)]
    steps: bool,
    /// One JSON object in place of the table
    #[arg(long, conflicts_with_all = ["csv", "steps"])]
    json: bool,
    /// Comma-separated values in place of the table
    #[arg(long, conflicts_with = "steps")]
    csv: bool,
    /// Also a page with tables and drawings, which needs no other file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// What got slower or faster than in this JSON, beyond the noise of both
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Show the run in this JSON again and measure nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only"])]
    from: Option<PathBuf>,
    /// Measure nothing: write data, weights and first losses there, for other programs
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["from", "compare", "html", "json", "csv", "steps"])]
    export: Option<PathBuf>,
    /// Be one of the processes that this command starts: this workload on this device, nothing timed
    #[arg(long = alone::OPTION, num_args = 2, value_names = ["ID", "DEVICE"], exclusive = true, hide = true)]
    alone: Vec<String>,
}

/// Nothing was measured.
const REFUSED: u8 = 2;

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match outcome(arguments) {
        Ok(code) => Ok(code),
        Err(Refusal(text)) => {
            writeln!(std::io::stderr(), "ironwarp bench: {text}")?;
            Ok(ExitCode::from(REFUSED))
        }
    }
}

/// Why nothing was measured.
struct Refusal(String);

impl<E: std::fmt::Display> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        Refusal(error.to_string())
    }
}

fn outcome(arguments: &Arguments) -> Result<ExitCode, Refusal> {
    let known: Vec<_> = workloads().iter().map(|workload| workload.id).collect();
    if let Some(id) = arguments.only.iter().find(|id| !known.contains(&id.as_str())) {
        return Err(Refusal(format!(
            "there is no workload `{id}`; there are {}",
            known.join(", ")
        )));
    }
    if let [id, device] = &arguments.alone[..] {
        let device: Device = device.parse()?;
        for workload in workloads().iter().filter(|workload| workload.id == id) {
            alone::run(workload, &device, &mut std::io::stdout())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(folder) = &arguments.export {
        export::write(folder, &arguments.only)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Before anything is measured: a wrong name would be a minute lost.
    let old = arguments.compare.as_deref().map(read).transpose()?;
    let report = match &arguments.from {
        Some(path) => read(path)?,
        None => measured(arguments)?,
    };
    if let Some(path) = &arguments.html {
        let page = html::page(&report);
        fs::write(path, page)
            .map_err(|e| Refusal(format!("can't write {}: {e}", path.display())))?;
    }
    print(arguments, &report)?;
    let comparison = old.map(|old| Comparison::of(&report, &old));
    if let Some(comparison) = &comparison {
        // Beside JSON or CSV, which are alone on stdout.
        match arguments.json || arguments.csv {
            true => write!(std::io::stderr(), "{comparison}")?,
            false => write!(std::io::stdout(), "\n{comparison}")?,
        }
    }
    for (device, id, problem) in report.wrong() {
        writeln!(std::io::stderr(), "{id} on {device}: {problem}")?;
    }
    let good = report.wrong().next().is_none() && !comparison.is_some_and(|c| c.is_slower());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(arguments: &Arguments, report: &Report) -> Result<(), Refusal> {
    let mut out = std::io::stdout();
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(report)?)?;
    } else if arguments.csv {
        write!(out, "{}", text::csv(report))?;
    } else {
        write!(out, "{report}")?;
        if arguments.steps {
            write!(out, "{}", text::parts(report))?;
        }
    }
    Ok(())
}

fn measured(arguments: &Arguments) -> Result<Report, Refusal> {
    if cfg!(debug_assertions) {
        let text = "this is a debug build, whose times mean nothing; build it with `--release`";
        return Err(Refusal(text.into()));
    }
    let options =
        Options { quick: arguments.quick, only: arguments.only.clone(), workloads: workloads() };
    let mut progress = |text: &str| {
        let _ = writeln!(std::io::stderr(), "{text}");
    };
    let mut report = measure(&options, &mut progress)?;
    report.run_alone(&std::env::current_exe()?, &mut progress).map_err(Refusal)?;
    Ok(report)
}

fn read(path: &Path) -> Result<Report, Refusal> {
    let named = |error: String| Refusal(format!("can't use {}: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    Report::parse(&text).map_err(named)
}
