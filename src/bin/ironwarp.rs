//! The command line.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ironwarp::exec::Device;
use ironwarp::exec::doctor::Diagnosis;
use ironwarp::model::Model;
use ironwarp::train::{Trial, Tuning};
use serde::Serialize;

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
    Tune(Tune),
}

/// Measures on a GPU which form of each step trains a model fastest, and remembers it for later
/// runs.
///
/// A form is, say, the tile of a matrix product. No choice changes a result. What is fastest is kept
/// for this card, compiler and shape beside the compiled kernels. `Fit::tune` does the same at the
/// start of a training, for what is not known yet.
#[derive(Args)]
struct Tune {
    /// The model: a file that `Trainer::save` wrote, or a checkpoint.
    #[arg(required_unless_present = "layers")]
    model: Option<PathBuf>,
    /// In place of a file: the widths of dense layers with ReLU between them, input first.
    #[arg(
        long, value_delimiter = ',', value_name = "WIDTHS", conflicts_with = "model",
        value_parser = clap::value_parser!(u32).range(1..=1 << 20)
    )]
    layers: Option<Vec<u32>>,
    /// Rows of a batch; what is measured holds for this number alone.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    batch: u32,
    /// Trains on numbers (mean squared error); else on classes (cross-entropy), unless the file says
    /// otherwise or there is one output.
    #[arg(long)]
    regression: bool,
    /// The GPU's number.
    #[arg(long, default_value_t = 0)]
    device: usize,
    /// One JSON object in place of the table.
    #[arg(long)]
    json: bool,
}

impl Tune {
    fn run(&self) -> anyhow::Result<Tuning> {
        let (regression, batch) = (self.regression, self.batch as usize);
        let model = self.layers.as_deref().map(dense).transpose()?;
        let device = Device::cuda(self.device)?;
        Ok(match (&self.model, model) {
            (_, Some(model)) => Tuning::of(&model, regression, batch, &device)?,
            (Some(path), None) => Tuning::of_file(path, regression, batch, &device)?,
            (None, None) => anyhow::bail!("name a model file, or --layers"),
        })
    }
}

/// Dense layers of these widths with ReLU between them.
fn dense(widths: &[u32]) -> anyhow::Result<Model> {
    let [input, hidden @ .., output] = widths else {
        anyhow::bail!("--layers needs two widths at least, that of the input first");
    };
    let model = Model::input(*input as usize);
    let model = hidden.iter().fold(model, |model, width| model.dense(*width as usize).relu());
    Ok(model.dense(*output as usize))
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
    let (text, good) = match command {
        Command::Doctor { json } => {
            let findings = Findings::of_this_machine();
            (shown(&findings, json)?, findings.are_good())
        }
        Command::Tune(tune) => (shown(&tune.run()?, tune.json)?, true),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(result: &(impl fmt::Display + Serialize), json: bool) -> anyhow::Result<String> {
    Ok(if json { serde_json::to_string_pretty(result)? } else { result.to_string() })
}
