//! The command line.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ironwarp::exec::doctor::Diagnosis;

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
    /// rest; fails where no GPU can be used.
    Doctor {
        /// One JSON object in place of the text.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let Command::Doctor { json } = Arguments::parse().command;
    let diagnosis = Diagnosis::of_this_machine();
    let text = if json { serde_json::to_string_pretty(&diagnosis)? } else { diagnosis.to_string() };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(if diagnosis.is_ready() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
