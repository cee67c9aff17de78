//! `ironwarp inspect`.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use ironwarp::data::{
    Combination, Files, Media, Neighbours, Preprocessing, PrincipalComponents, Scaling,
    TargetTransform, Transform,
};
use ironwarp::exec::Device;
use ironwarp::file::TensorFile;
use ironwarp::train::Trained;
use serde::Serialize;

/// Shows what is in a model's file: layers, tensors, and what becomes of a table's columns.
///
/// Nothing of the file is run, and its hash is checked.
#[derive(Args)]
pub(crate) struct Arguments {
    /// A model, a checkpoint, or any safetensors file
    file: PathBuf,
    /// One JSON object in place of the text
    #[arg(long)]
    json: bool,
}

/// What is in a file.
#[derive(Serialize)]
struct Contents {
    file: PathBuf,
    bytes: u64,
    /// `model`, `checkpoint`, or `weights` without either.
    kind: String,
    parameters: usize,
    tensors: Vec<Tensor>,
    preprocessing: Option<Preprocessing>,
    media: Option<Media>,
    #[serde(skip)]
    summary: Option<String>,
}

#[derive(Serialize)]
struct Tensor {
    name: String,
    dtype: String,
    shape: Vec<usize>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::show(&contents(&arguments.file)?, arguments.json)?;
    Ok(ExitCode::SUCCESS)
}

fn contents(path: &PathBuf) -> anyhow::Result<Contents> {
    let file = TensorFile::read(path).map_err(ironwarp::Error::from)?;
    let described = |tensor: (&String, &ironwarp::tensor::HostTensor)| Tensor {
        name: tensor.0.clone(),
        dtype: tensor.1.dtype().to_string(),
        shape: tensor.1.shape().to_vec(),
    };
    let kind = file.metadata.as_ref().and_then(|metadata| metadata["kind"].as_str());
    let model = kind.map(|_| Trained::load(path, Device::cpu())).transpose()?;
    Ok(Contents {
        file: path.clone(),
        bytes: std::fs::metadata(path)?.len(),
        kind: kind.unwrap_or("weights").into(),
        parameters: file
            .tensors
            .values()
            .map(|tensor| tensor.shape().iter().product::<usize>())
            .sum(),
        tensors: file.tensors.iter().map(described).collect(),
        preprocessing: model.as_ref().and_then(|model| model.preprocessing().cloned()),
        media: model.as_ref().and_then(|model| model.media().cloned()),
        summary: model.map(|model| model.summary()),
    })
}

impl fmt::Display for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}, {} bytes", self.file.display(), self.kind, self.bytes)?;
        if let Some(summary) = &self.summary {
            writeln!(f, "\n{summary}")?;
        }
        writeln!(f, "\n{:<32} {:<6} Shape", "Tensor", "Type")?;
        for tensor in &self.tensors {
            writeln!(f, "{:<32} {:<6} {:?}", tensor.name, tensor.dtype, tensor.shape)?;
        }
        match (&self.preprocessing, &self.media) {
            (Some(preprocessing), _) => table(f, preprocessing),
            (_, Some(media)) => files(f, media),
            _ => write!(f, "\nNo preprocessing: it reads arrays."),
        }
    }
}

/// What becomes of files.
fn files(f: &mut fmt::Formatter<'_>, media: &Media) -> fmt::Result {
    match media.files() {
        Files::Images { height, width, grayscale, normalize } => {
            let channels = if *grayscale { "grey" } else { "red, green, blue" };
            let normalised = if normalize.is_some() { ", normalised" } else { "" };
            write!(f, "\nImages, {height} x {width}, {channels}{normalised}")?;
        }
        Files::Sounds { rate, length, log_mel, normalize } => {
            let values = match log_mel {
                None => "samples".into(),
                Some(mel) => format!("{} x {} values", mel.lines(), mel.frames(*length)),
            };
            let normalised = if normalize.is_some() { ", normalised" } else { "" };
            write!(f, "\nSounds, {length} samples at {rate} Hz, as {values}{normalised}")?;
        }
    }
    let classes = media.classes();
    write!(f, "\nTarget label: one of {}: {}", classes.len(), some(classes))
}

/// What becomes of a table's columns.
fn table(f: &mut fmt::Formatter<'_>, preprocessing: &Preprocessing) -> fmt::Result {
    writeln!(f, "\n{:<24} Becomes", "Column")?;
    for input in preprocessing.inputs() {
        writeln!(f, "{:<24} {}", input.name(), described(&input.transform))?;
    }
    for combination in preprocessing.combinations() {
        writeln!(f, "{:<24} {}", "then", combined(combination))?;
    }
    match preprocessing.target() {
        TargetTransform::Classes { column, classes } => {
            write!(f, "\nTarget {column}: one of {}: {}", classes.len(), some(classes))
        }
        TargetTransform::Numbers(targets) => targets.iter().try_for_each(|target| {
            write!(f, "\nTarget {}: a number{}", target.column, scaled(target.scaling))
        }),
    }
}

fn described(transform: &Transform) -> String {
    let filled = |fill: Option<String>| fill.map_or(String::new(), |x| format!(", {x} if missing"));
    match transform {
        Transform::Number { fill, clip, log, quantiles, scaling } => {
            let clip = clip.map_or(String::new(), |(low, high)| {
                format!(", clipped to {}..{}", short(low), short(high))
            });
            let log = if *log { ", sign(x) ln(1 + |x|)" } else { "" };
            let filled = filled(fill.map(short));
            let rank = quantiles.as_ref().map_or("", |_| ", by rank");
            format!("number{filled}{clip}{log}{rank}{}", scaled(*scaling))
        }
        Transform::OneHot { fill, categories, other } => {
            let others = if *other { ", or another" } else { "" };
            let count = categories.len() + usize::from(*other);
            format!("{count} features{}: {}{others}", filled(fill.clone()), some(categories))
        }
        Transform::Target { fill, categories, encodings } => {
            let what = match encodings.len() {
                1 => "mean of the target".to_string(),
                count => format!("{count} means of the target"),
            };
            format!("{what} for {}{}", some(categories), filled(fill.clone()))
        }
        Transform::Hash { fill, buckets } => {
            format!("{buckets} features by hash{}", filled(fill.clone()))
        }
        Transform::Ordinal { fill, categories } => {
            format!("place among {}{}", some(categories), filled(fill.clone()))
        }
    }
}

fn combined(combination: &Combination) -> String {
    match combination {
        Combination::Neighbours(Neighbours { features, count, donors, .. }) => {
            let rows = donors.len() / features.len();
            format!("missing numbers of {} features from {count} of {rows} rows", features.len())
        }
        Combination::Products { features, squares } => {
            let squares = if *squares { "squares and products" } else { "products" };
            format!("{squares} of {} features", features.len())
        }
        Combination::Principal(PrincipalComponents { features, components, whiten, .. }) => {
            let whitened = if *whiten { ", whitened" } else { "" };
            let count = components.len();
            format!("{count} principal components of {} features{whitened}", features.len())
        }
    }
}

fn scaled(scaling: Scaling) -> String {
    match scaling {
        Scaling::None => String::new(),
        Scaling::Standard { mean, deviation } => linear(mean, deviation),
        Scaling::Robust { median, range } => linear(median, range),
        Scaling::MinMax { min, max } => format!(", from {}..{} to 0..1", short(min), short(max)),
    }
}

fn linear(offset: f64, divisor: f64) -> String {
    format!(", (x - {}) / {}", short(offset), short(divisor))
}

/// A number with six significant digits.
fn short(x: f64) -> String {
    let rounded = format!("{x:.5e}");
    match rounded.parse::<f64>() {
        Ok(x) if x == 0.0 || (1e-6..1e15).contains(&x.abs()) => x.to_string(),
        _ => rounded,
    }
}

/// The first of some words.
fn some(words: &[String]) -> String {
    const SHOWN: usize = 6;
    let shown = words[..words.len().min(SHOWN)].join(", ");
    if words.len() > SHOWN { format!("{shown}, ...") } else { shown }
}
