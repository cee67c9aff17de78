//! `ironwarp train` on a folder of images or sounds.

use std::path::{Path, PathBuf};

use clap::{Args, Command, FromArgMatches};
use ironwarp::data::{ColumnId, Dataset};
use serde::{Deserialize, Serialize};

use super::AskedWrongly;
use super::choices::Kind;
use super::settings::Settings;
use super::train::{Parts, weighted};

/// What becomes of images and sounds.
#[derive(Args, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[command(next_help_heading = "Images and sounds")]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Files {
    /// Side of the square that images are resized to, or height,width [default: all images must have
    /// the size of the first]
    #[arg(long, value_name = "PIXELS", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<Vec<u32>>,
    /// Images have one channel, their grey
    #[arg(long)]
    grayscale: bool,
    /// What the names of WAV files look like, such as {class}_{speaker}_{index}.wav
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    /// Samples of a sound: longer ones are cut, shorter ones padded [default: those of the longest]
    #[arg(long, value_name = "SAMPLES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    /// Bands of the log-mel spectrogram that a sound becomes; 0 for its samples
    #[arg(long, value_name = "COUNT", default_value = "40")]
    bands: usize,
    /// Cepstral coefficients in place of the bands
    #[arg(long, value_name = "COUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mfcc: Option<usize>,
    /// Samples of a spectrogram's frame
    #[arg(long, value_name = "SAMPLES", default_value = "512")]
    fft: usize,
    /// Samples from one frame to the next
    #[arg(long, value_name = "SAMPLES", default_value = "160")]
    hop: usize,
}

impl Default for Files {
    /// What the flags say when none is given.
    fn default() -> Self {
        let flags = Files::augment_args(Command::new("files")).get_matches_from(["files"]);
        Files::from_arg_matches(&flags).expect("invariant: no flag is required")
    }
}

/// Mean and deviation of each channel.
type Normalization = (Vec<f32>, Vec<f32>);

/// The parts of a folder, normalised by the rows for training.
pub(crate) fn parts(settings: &Settings, folder: &Path) -> anyhow::Result<Parts> {
    let asked = [
        (settings.target.is_some(), "--target: the classes are in the names of folders or files"),
        (settings.task == Some(Kind::Regression), "--task regression: files have classes"),
        (settings.group_by.is_some(), "--group-by: there are no columns"),
        (settings.split_by_time.is_some(), "--split-by-time: there are no columns"),
        (settings.format.head.is_some(), "--head: there are no rows"),
        (settings.spill.is_some(), "--spill: its files are read when they are needed"),
    ];
    if let Some((_, text)) = asked.iter().find(|(asked, _)| *asked) {
        return Err(AskedWrongly(format!("a folder takes no {text}")).into());
    }
    let normalization = {
        let (train, ..) = split(settings, &read(&settings.files, folder, None)?)?;
        measured(&train)?
    };
    let (train, validation, test) =
        split(settings, &read(&settings.files, folder, Some(normalization))?)?;
    Ok(Parts { train: weighted(settings, train)?, validation, test })
}

fn split(settings: &Settings, data: &Dataset) -> anyhow::Result<(Dataset, Dataset, Dataset)> {
    let (rest, test) = data.split_stratified(1.0 - settings.test, settings.seed)?;
    let (train, validation) = rest.split_stratified(1.0 - settings.validation, settings.seed)?;
    Ok((train, validation, test))
}

/// The folder's files, which are sounds where their names have a pattern.
fn read(
    settings: &Files,
    folder: &Path,
    normalization: Option<Normalization>,
) -> anyhow::Result<Dataset> {
    match &settings.pattern {
        Some(pattern) => sounds(settings, folder, pattern, normalization),
        None => images(settings, folder, normalization),
    }
}

#[cfg(feature = "images")]
fn images(
    settings: &Files,
    folder: &Path,
    normalization: Option<Normalization>,
) -> anyhow::Result<Dataset> {
    let images = ironwarp::data::ImageFolder::new(folder);
    let images = match settings.size.as_deref() {
        None => images,
        Some(&[side]) => images.size(side, side),
        Some(&[height, width]) => images.size(height, width),
        Some(_) => {
            return Err(AskedWrongly("--size is one number, or height and width".into()).into());
        }
    };
    let images = if settings.grayscale { images.grayscale() } else { images };
    let images = match normalization {
        Some((mean, deviation)) => images.normalize(&mean, &deviation),
        None => images,
    };
    Ok(images.read().map_err(ironwarp::Error::from)?)
}

#[cfg(feature = "audio")]
fn sounds(
    settings: &Files,
    folder: &Path,
    pattern: &str,
    normalization: Option<Normalization>,
) -> anyhow::Result<Dataset> {
    use ironwarp::data::{LogMel, WavFolder};
    let sounds = WavFolder::new(folder, pattern);
    let sounds = settings.length.iter().fold(sounds, |sounds, &length| sounds.length(length));
    let mel = LogMel::new(settings.bands).fft(settings.fft).hop(settings.hop);
    let mel = settings.mfcc.iter().fold(mel, |mel, &count| mel.mfcc(count));
    let sounds = if settings.bands > 0 { sounds.log_mel(mel) } else { sounds };
    let sounds = match normalization {
        Some((mean, deviation)) => sounds.normalize(mean[0], deviation[0]),
        None => sounds,
    };
    Ok(sounds.read().map_err(ironwarp::Error::from)?)
}

#[cfg(not(feature = "images"))]
fn images(_: &Files, folder: &Path, _: Option<Normalization>) -> anyhow::Result<Dataset> {
    let text = "images can't be read: ironwarp was built without the feature `images`; sounds need --pattern";
    Err(AskedWrongly(format!("{}: {text}", folder.display())).into())
}

#[cfg(not(feature = "audio"))]
fn sounds(_: &Files, folder: &Path, _: &str, _: Option<Normalization>) -> anyhow::Result<Dataset> {
    let text = "sounds can't be read: ironwarp was built without the feature `audio`";
    Err(AskedWrongly(format!("{}: {text}", folder.display())).into())
}

/// Mean and deviation of each channel over all rows; a deviation of 0 counts as 1.
fn measured(data: &Dataset) -> anyhow::Result<Normalization> {
    let shape = &data.inputs()[0].row_shape;
    let channels = if shape.len() == 3 { shape[0] } else { 1 };
    let plane = data.features() / channels;
    let mut sums = vec![[0.0f64; 2]; channels];
    let mut row = vec![0.0; data.features()];
    for index in 0..data.len() {
        data.gather_f32(ColumnId::Input(0), &[index], &mut row).map_err(ironwarp::Error::from)?;
        for (sums, values) in sums.iter_mut().zip(row.chunks(plane)) {
            for value in values.iter().map(|&x| f64::from(x)) {
                sums[0] += value;
                sums[1] += value * value;
            }
        }
    }
    let count = (data.len() * plane) as f64;
    let of = |[sum, squares]: [f64; 2]| {
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        (mean as f32, if deviation > 0.0 { deviation as f32 } else { 1.0 })
    };
    Ok(sums.into_iter().map(of).unzip())
}

/// A model's file of the folder's name, here.
pub(crate) fn name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| PathBuf::from(folder));
    whole.file_name().map_or("model".into(), |name| name.to_string_lossy().into_owned())
}
