//! The command line.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use ironwarp::Error;
use ironwarp::error::TrainError;
use ironwarp::exec::Device;
use ironwarp::exec::doctor::Diagnosis;
use ironwarp::train::Trial;
use serde::Serialize;

#[path = "ironwarp/augmentation.rs"]
mod augmentation;
#[path = "ironwarp/bench.rs"]
mod bench;
#[path = "ironwarp/choices.rs"]
mod choices;
#[path = "ironwarp/folder.rs"]
mod folder;
#[path = "ironwarp/format.rs"]
mod format;
#[path = "ironwarp/inspect.rs"]
mod inspect;
#[path = "ironwarp/learning.rs"]
mod learning;
#[path = "ironwarp/outcome.rs"]
mod outcome;
#[path = "ironwarp/predict.rs"]
mod predict;
#[path = "ironwarp/settings.rs"]
mod settings;
#[path = "ironwarp/train.rs"]
mod train;
#[path = "ironwarp/tune.rs"]
mod tune;

/// Trains neural networks.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Exit code: 0, done; 1, the answer is no (no usable GPU, something got slower), or it failed for a
reason of no other code; 2, asked wrongly; 3, the data or a file is not as it must be; 4, the device
can't be used or failed; 130, interrupted, after saving what there was."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Arguments or settings are not as they must be, as clap counts it.
const ASKED_WRONGLY: u8 = 2;
/// The data or a file is not as it must be.
const BAD_INPUT: u8 = 3;
/// The device can't be used, or failed.
const NO_DEVICE: u8 = 4;
/// Somebody pressed Ctrl-C, as shells count it.
const INTERRUPTED: u8 = 130;

#[derive(Subcommand)]
enum Command {
    Train(Box<train::Arguments>),
    Predict(predict::Arguments),
    Inspect(inspect::Arguments),
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
    /// Prints a script that completes this program's arguments in a shell.
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What is wrong with arguments or settings.
#[derive(Debug)]
struct AskedWrongly(String);

impl fmt::Display for AskedWrongly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for AskedWrongly {}

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
    let flags = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&flags).unwrap_or_else(|error| error.exit());
    run(arguments.command, &flags).unwrap_or_else(|error| {
        eprintln!("Error: {error:#}");
        if error.is::<AskedWrongly>() {
            return ExitCode::from(ASKED_WRONGLY);
        }
        match error.downcast_ref() {
            Some(Error::Train(TrainError::Options(_))) => ExitCode::from(ASKED_WRONGLY),
            Some(Error::Data(_) | Error::File(_)) => ExitCode::from(BAD_INPUT),
            Some(Error::Device(_)) => ExitCode::from(NO_DEVICE),
            _ => ExitCode::FAILURE,
        }
    })
}

fn run(command: Command, flags: &ArgMatches) -> anyhow::Result<ExitCode> {
    match command {
        Command::Train(arguments) => {
            let own = flags.subcommand().map_or(flags, |(_, own)| own);
            train::run(&arguments, own)
        }
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Inspect(arguments) => inspect::run(&arguments),
        Command::Doctor { json } => {
            let findings = Findings::of_this_machine();
            show(&findings, json)?;
            Ok(if findings.are_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Tune(arguments) => tune::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            clap_complete::generate(shell, &mut command, "ironwarp", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints a result for a reader, or as one JSON object.
fn show(result: &(impl fmt::Display + Serialize), json: bool) -> anyhow::Result<()> {
    let text = if json { serde_json::to_string_pretty(result)? } else { result.to_string() };
    Ok(writeln!(std::io::stdout(), "{text}")?)
}
