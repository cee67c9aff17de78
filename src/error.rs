//! One narrow error type per stage, all convertible into [`Error`].
//!
//! A message says where it happened, what was expected, what came, and the likely fix.

use std::path::PathBuf;

/// Anything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model's description is wrong: a shape, a name, a hyper-parameter.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A model could not be turned into a plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A device is missing, too old or out of memory.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The data is malformed or does not fit the model.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Training could not start or had to stop.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// Whatever a user's callback returned.
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The model's description is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// An operation does not accept the types of its inputs.
    #[error("layer `{layer}`, operation `{op}`: {message}")]
    Shape {
        /// Path of the layer.
        layer: String,
        /// Name of the operation.
        op: String,
        /// Expectation, finding, fix.
        message: String,
    },
    /// A hyper-parameter is out of its range.
    #[error("layer `{layer}`: {message}")]
    Layer {
        /// Path of the layer.
        layer: String,
        /// Expectation, finding, fix.
        message: String,
    },
    /// A name is unknown, or taken twice.
    #[error("model: {0}")]
    Name(String),
}

/// A model could not be turned into a plan, or a plan breaks a rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// A named invariant of `plan/verify.rs` does not hold.
    #[error("plan rule `{rule}` broken: {message}")]
    Rule {
        /// The rule's name.
        rule: &'static str,
        /// Which step or buffer, and how.
        message: String,
    },
    /// The model asks for something that has no plan.
    #[error("cannot plan the model: {0}")]
    Unsupported(String),
}

/// A device is missing, too old, out of memory, or failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device can't be used; the text says why and what to do.
    #[error("device `{device}` is not usable: {message}")]
    Unusable {
        /// The device as the user named it.
        device: String,
        /// Why, and what to do.
        message: String,
    },
    /// The arenas do not fit into memory.
    #[error(
        "out of memory on `{device}`: {needed} bytes are needed{}; {}",
        known(*.free),
        advice(*.largest_batch)
    )]
    OutOfMemory {
        /// The device.
        device: String,
        /// Bytes asked for: all that a plan needs beside lasting memory, or lasting memory itself.
        needed: u64,
        /// Bytes that were free, where that can be known.
        free: Option<u64>,
        /// The largest batch whose training plan would have fitted, found by planning; 0 if none
        /// would, and none where it is not the training plan that does not fit.
        largest_batch: Option<usize>,
    },
    /// An op of the plan has no form for the device.
    #[error(
        "layer `{layer}`: the op `{op}` has no form for `{device}`; train on the CPU or write \
         `Op::launches` for it"
    )]
    NoForm {
        /// The device.
        device: String,
        /// The layer.
        layer: String,
        /// The op.
        op: String,
    },
    /// A call of the driver failed.
    #[error("`{device}`: {call} failed: {message}")]
    Driver {
        /// The device.
        device: String,
        /// The driver's function.
        call: &'static str,
        /// The driver's name, number and text of the error.
        message: String,
    },
    /// The device can compute nothing more in this process.
    #[error(
        "`{device}` is lost: {call} reports {message}; it can't be used again in this process. Files \
         written before are whole: start again and resume from the last checkpoint"
    )]
    Lost {
        /// The device.
        device: String,
        /// The call that reported it; an earlier launch may be the cause.
        call: &'static str,
        /// The driver's name, number and text of the error.
        message: String,
    },
    /// A kernel's source does not compile.
    #[error(
        "kernel `{kernel}` does not compile with {compiler}: {message}\noptions: {options}\n{log}"
    )]
    Compile {
        /// The kernel.
        kernel: String,
        /// The compiler and its version.
        compiler: String,
        /// What it was called with.
        options: String,
        /// The first error, with the lines of the source around it.
        message: String,
        /// All that the compiler wrote.
        log: String,
    },
}

fn known(free: Option<u64>) -> String {
    free.map_or_else(String::new, |free| format!(", {free} are free"))
}

fn advice(largest_batch: Option<usize>) -> String {
    match largest_batch {
        None => "use a smaller batch or model".into(),
        Some(0) => "not one row would fit, so use a smaller model".into(),
        Some(rows) => format!("the largest batch that fits has {rows} rows"),
    }
}

/// The data is malformed or does not fit the model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file could not be opened or read.
    #[error("cannot read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error("cannot write `{path}`")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file's content is malformed; `place` is a line, row, column or byte offset.
    #[error("`{file}`, {place}: {message}")]
    Malformed {
        /// The file, or `<memory>`.
        file: String,
        /// Where in the file.
        place: String,
        /// Expectation, finding, fix.
        message: String,
    },
    /// The data does not fit what is asked of it.
    #[error("{0}")]
    Invalid(String),
}

/// A model or checkpoint file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refused; `action` is "read", "write", "sync", "rename", ...
    #[error("cannot {action} `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The content is truncated, corrupted or hostile.
    #[error("`{file}` is not a valid model file: {message}")]
    Malformed {
        /// The file, or `<memory>`.
        file: String,
        /// Expectation, finding, fix.
        message: String,
    },
    /// The file was written by a newer version of the crate.
    #[error("`{file}` has format version {found}, this build reads up to {max}; update the crate")]
    TooNew {
        /// The file.
        file: String,
        /// Version found.
        found: u64,
        /// Newest version known.
        max: u64,
    },
    /// The content does not fit the model.
    #[error("`{file}` does not fit the model: {message}")]
    Mismatch {
        /// The file.
        file: String,
        /// All mismatches, up to 20.
        message: String,
    },
}

/// Training could not start or had to stop.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// An option is out of its range; all problems are listed.
    #[error("training options: {0}")]
    Options(String),
    /// The loss or a gradient is not finite.
    #[error(
        "{what} is not finite at epoch {epoch}, step {step} (learning rate {learning_rate:e}); \
         first seen in `{layer}`; try a smaller learning rate or gradient clipping"
    )]
    NotFinite {
        /// "the loss" or "the gradient norm".
        what: &'static str,
        /// Epoch, from 1.
        epoch: usize,
        /// Step in the run, from 1.
        step: u64,
        /// Rate in force.
        learning_rate: f64,
        /// First layer with a value that is not finite.
        layer: String,
    },
    /// A state does not fit the request, such as resuming with other data.
    #[error("{0}")]
    State(String),
}
