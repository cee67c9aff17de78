//! The command line.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ironwarp::exec::Device;
use ironwarp::exec::doctor::Diagnosis;
use ironwarp::train::Trial;
use serde::Serialize;

#[path = "ironwarp/bench.rs"]
mod bench;
#[path = "ironwarp/tune.rs"]
mod tune;

/// Trains neural networks.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Tells what training on an NVIDIA GPU needs, what of it is here, and what to do about the
    /// rest; then trains one step on each GPU and compares it with the CPU's. Fails where no GPU
    /// can be used or one computes wrongly.
    Doctor {
        /// One JSON object in place of the text.
        #[arg(long)]
        json: bool,
    },
    Tune(tune::Arguments),
    Bench(bench::Arguments),
}

/// All that the doctor has to tell.
#[derive(Serialize)]
struct Findings {
    #[serde(flatten)]
    diagnosis: Diagnosis,
    /// One for each card that should be usable.
    trials: Vec<Tried>,
}

/// A trial, or why there was none.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Tried {
    Compared(Trial),
    Failed { device: String, problem: String },
}

impl Findings {
    fn of_this_machine() -> Findings {
        let diagnosis = Diagnosis::of_this_machine();
        let usable = diagnosis.cards.iter().filter(|card| card.problem.is_none());
        let trials = match diagnosis.is_ready() {
            true => usable.map(|card| Tried::on(card.card.index)).collect(),
            false => vec![],
        };
        Findings { diagnosis, trials }
    }

    fn are_good(&self) -> bool {
        let good = |tried: &Tried| matches!(tried, Tried::Compared(trial) if trial.is_within());
        self.diagnosis.is_ready() && self.trials.iter().all(good)
    }
}

impl Tried {
    fn on(index: usize) -> Tried {
        let trial = Device::cuda(index).map_err(Into::into).and_then(|d| Trial::of(&d));
        trial.map_or_else(
            |error| Tried::Failed { device: format!("cuda:{index}"), problem: error.to_string() },
            Tried::Compared,
        )
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.diagnosis)?;
        self.trials.iter().try_for_each(|tried| match tried {
            Tried::Compared(trial) => {
                let Trial { device, difference, allowed } = trial;
                let verdict = if trial.is_within() { "" } else { ": it computes WRONGLY" };
                write!(
                    f,
                    "\nOne training step on {device} differs from the CPU's by {difference:.1e} of \
                     a parameter, {allowed:.1e} is allowed{verdict}."
                )
            }
            Tried::Failed { device, problem } => {
                write!(f, "\nTraining one step on {device} FAILED: {problem}")
            }
        })
    }
}

fn main() -> ExitCode {
    run(Arguments::parse().command).unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Doctor { json } => {
            let findings = Findings::of_this_machine();
            show(&findings, json)?;
            Ok(if findings.are_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
    }
}

/// Prints a result for a reader, or as one JSON object.
fn show(result: &(impl fmt::Display + Serialize), json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(result)? } else { result.to_string() };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
