//! What all examples share: the command line, and results as text or as one JSON object.
#![allow(dead_code, unreachable_pub)] // each example uses a part

use std::path::{Path, PathBuf};

use clap::Parser;
use ironwarp::exec::Device;
use ironwarp::train::History;
use serde_json::{Map, Value, json};

/// The command line of an example.
#[derive(Parser)]
pub struct Arguments {
    /// Print the result as one JSON object and nothing else on standard output
    #[arg(long)]
    json: bool,
    /// Train for a moment only
    #[arg(long)]
    pub quick: bool,
    /// Where to train: cpu, cuda:N or auto
    #[arg(long, default_value = "auto")]
    device: String,
    /// Seed of initial weights, splits and the order of rows
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The data: a folder or a file, as the example says
    #[arg(long)]
    data: Option<PathBuf>,
    #[arg(skip)]
    result: Map<String, Value>,
}

/// A file of `examples/data`: below the current folder, or where the example was built.
pub fn shipped(name: &str) -> PathBuf {
    let here = Path::new("examples/data").join(name);
    if here.exists() { here } else { Path::new(env!("CARGO_MANIFEST_DIR")).join(here) }
}

/// Reads the command line.
pub fn arguments() -> Arguments {
    Arguments::parse()
}

impl Arguments {
    /// The device asked for; says why it was chosen.
    pub fn device(&mut self) -> ironwarp::Result<Device> {
        let device: Device = self.device.parse()?;
        self.say(format!("Device: {device}: {}", device.reason()));
        self.result.insert("device".into(), json!(device.to_string()));
        Ok(device)
    }

    /// The value of `--data`.
    pub fn data(&self, what: &str) -> anyhow::Result<PathBuf> {
        self.data.clone().ok_or_else(|| anyhow::anyhow!("name {what} with --data"))
    }

    /// Prints a line, unless the result is wanted as JSON.
    pub fn say(&self, line: impl std::fmt::Display) {
        if !self.json {
            println!("{line}");
        }
    }

    /// Keeps a part of the result, and prints it as text.
    pub fn report(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        self.say(format!("{name:<24} {value}"));
        self.result.insert(name.into(), value);
    }

    /// `full`, or `quick` for a quick run.
    pub fn amount(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }

    /// Prints the result if it is wanted as JSON.
    pub fn finish(self) -> anyhow::Result<()> {
        if self.json {
            println!("{}", Value::Object(self.result));
        }
        Ok(())
    }
}

/// The fastest epoch's training rows per second.
pub fn rows_per_second(history: &History) -> f64 {
    history.epochs.iter().map(|e| e.rows_per_second).fold(0.0, f64::max).round()
}
