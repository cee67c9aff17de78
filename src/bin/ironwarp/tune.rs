//! `ironwarp tune`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ironwarp::exec::Device;
use ironwarp::model::Model;
use ironwarp::train::Tuning;

/// Measures on a GPU which form of each step trains a model fastest, and remembers it for later
/// runs.
///
/// A form is, say, the tile of a matrix product. No choice changes a result. What is fastest is kept
/// for this card, compiler and shape beside the compiled kernels. `Fit::tune` does the same at the
/// start of a training, for what is not known yet.
#[derive(Args)]
pub(crate) struct Arguments {
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

/// Measures and tells.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let (regression, batch) = (arguments.regression, arguments.batch as usize);
    let model = arguments.layers.as_deref().map(dense).transpose()?;
    let device = Device::cuda(arguments.device)?;
    let tuning = match (&arguments.model, model) {
        (_, Some(model)) => Tuning::of(&model, regression, batch, &device)?,
        (Some(path), None) => Tuning::of_file(path, regression, batch, &device)?,
        (None, None) => anyhow::bail!("name a model file, or --layers"),
    };
    super::show(&tuning, arguments.json)?;
    Ok(ExitCode::SUCCESS)
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
