//! WAV files in a folder, their classes in their names.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader};

use super::pattern::Pattern;
use super::{dataset, fault, files, list};
use crate::data::column::Column;
use crate::data::dataset::Dataset;
use crate::data::log_mel::LogMel;
use crate::data::media::Files;
use crate::data::text::shortened;
use crate::data::threads::in_order;
use crate::error::DataError;

/// A folder of WAV files whose names hold their classes, about to be read.
///
/// The pattern of the names has parts in braces, which stand for any text of one character or
/// more, up to where what follows in the pattern comes first. One of them is `{class}`; the names
/// of the others say only what they are. So `{class}_{speaker}_{index}.wav` finds the class `7`
/// in `7_jackson_32.wav`.
///
/// The input `audio` holds samples from -1 to 1, rows of sizes `[length]`, or with
/// [`WavFolder::log_mel`] spectrograms, rows of sizes `[1, bands, frames]`, or `[1, coefficients,
/// frames]`: one channel, as of an image. The target `label` has the classes in the order of their sorted names. Rows are sorted
/// by file name. Files are read on as many threads as the machine has cores; the result does not
/// depend on them.
///
/// Integers of 8 to 32 bits are divided by 2^(bits - 1); channels are averaged. Passed over are
/// hidden files (names that begin with a dot), folders, and files with extensions other than
/// `wav`. A WAV file whose name does not fit the pattern is refused.
///
/// ```no_run
/// use ironwarp::data::{LogMel, WavFolder};
///
/// let digits = WavFolder::new("recordings", "{class}_{speaker}_{index}.wav")
///     .length(8000)
///     .log_mel(LogMel::new(40).fft(512).hop(160))
///     .read()?;
/// let (train, test) = digits.split_stratified(0.8, 42)?;
/// # Ok::<(), ironwarp::error::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct WavFolder {
    path: PathBuf,
    pattern: String,
    length: Option<usize>,
    log_mel: Option<LogMel>,
    normalize: Option<(f32, f32)>,
}

/// The samples of a file, channels averaged, and how many there are in a second.
struct Clip {
    samples: Vec<f32>,
    rate: u32,
}

impl WavFolder {
    /// The folder of the files, and the pattern of their names.
    pub fn new(path: impl AsRef<Path>, pattern: &str) -> WavFolder {
        WavFolder {
            path: path.as_ref().into(),
            pattern: pattern.into(),
            length: None,
            log_mel: None,
            normalize: None,
        }
    }

    /// Samples of a row: longer sounds are cut at their end, shorter ones padded there with
    /// zeros. Default: the length of the longest.
    pub fn length(mut self, samples: usize) -> Self {
        self.length = Some(samples);
        self
    }

    /// Spectrograms instead of samples. Default: samples.
    pub fn log_mel(mut self, log_mel: LogMel) -> Self {
        self.log_mel = Some(log_mel);
        self
    }

    /// (value - mean) / deviation for each value, be it a sample or one of a spectrogram. Default:
    /// none.
    pub fn normalize(mut self, mean: f32, deviation: f32) -> Self {
        self.normalize = Some((mean, deviation));
        self
    }

    /// Reads all files.
    ///
    /// # Errors
    /// With the file's name: if the folder or a file cannot be read, there is no WAV file, a name
    /// does not fit the pattern, a file is damaged, compressed or has another sample rate than
    /// the first, or a sample is not finite; and if the pattern has not one `{class}`, the length
    /// is 0, the mean is not finite or the deviation not above 0, or as [`LogMel::transform`].
    pub fn read(&self) -> Result<Dataset, DataError> {
        let pattern = Pattern::new(&self.pattern)?;
        self.check()?;
        let listing = list(&self.path, &["wav"])?;
        let Some((_, first)) = listing.files.first() else {
            let message = format!("no WAV files{}", listing.passed_over());
            return Err(fault(&self.path, "the folder", message));
        };
        let mut classes = Vec::with_capacity(listing.files.len());
        for (name, path) in &listing.files {
            let class = pattern.class(name).ok_or_else(|| {
                fault(path, "the name", format!("it does not fit `{}`", shortened(&self.pattern)))
            })?;
            classes.push(class);
        }
        let clips = self.clips(&listing.files)?;
        let rate = clips[0].rate;
        if let Some(index) = clips.iter().position(|clip| clip.rate != rate) {
            let message = format!(
                "{} samples a second, `{}` has {rate}; resample one of them",
                clips[index].rate,
                first.display()
            );
            return Err(fault(&listing.files[index].1, "the header", message));
        }
        let longest = clips.iter().map(|clip| clip.samples.len()).max();
        let length = self.length.or(longest).unwrap_or_default();
        let audio = self.column(clips, length, rate)?;
        let (log_mel, normalize) = (self.log_mel.clone(), self.normalize);
        dataset(audio, &classes, Files::Sounds { rate, length, log_mel, normalize })
    }

    fn check(&self) -> Result<(), DataError> {
        let invalid = |message: &str| Err(DataError::Invalid(format!("sounds: {message}")));
        if self.length == Some(0) {
            return invalid("length is 0, expected 1 sample or more");
        }
        match self.normalize {
            Some((mean, deviation))
                if !(mean.is_finite() && deviation.is_finite() && deviation > 0.0) =>
            {
                invalid("normalize needs a finite mean and a deviation above 0")
            }
            _ => Ok(()),
        }
    }

    /// The sounds of files, no longer than they may be.
    fn clips(&self, files: &[(String, PathBuf)]) -> Result<Vec<Clip>, DataError> {
        in_order(files.len(), |index| {
            let mut clip = read_clip(&files[index].1)?;
            clip.samples.truncate(self.length.unwrap_or(usize::MAX));
            Ok(clip)
        })
    }

    fn column(&self, clips: Vec<Clip>, length: usize, rate: u32) -> Result<Column, DataError> {
        let padded = |clip: &Clip| {
            let mut samples = clip.samples.clone();
            samples.resize(length, 0.0);
            samples
        };
        let (mut values, row_shape) = match &self.log_mel {
            None => (clips.iter().flat_map(padded).collect::<Vec<_>>(), vec![length]),
            Some(log_mel) => {
                let bank = log_mel.bank(rate)?;
                let row = |index: usize| Ok(bank.transform(&padded(&clips[index])));
                let rows = in_order(clips.len(), row)?;
                (rows.concat(), vec![1, log_mel.lines(), log_mel.frames(length)])
            }
        };
        if let Some((mean, deviation)) = self.normalize {
            values.iter_mut().for_each(|value| *value = (*value - mean) / deviation);
        }
        Ok(Column::numbers("audio", &row_shape, values))
    }
}

/// Rows of raw files as others became them.
pub(in super::super) fn read_as(
    settings: &Files,
    path: &Path,
) -> Result<(Vec<String>, Dataset), DataError> {
    let Files::Sounds { rate, length, log_mel, normalize } = settings else {
        return Err(DataError::Invalid("the settings are not those of sounds".into()));
    };
    let folder = WavFolder {
        length: Some(*length),
        log_mel: log_mel.clone(),
        normalize: *normalize,
        ..WavFolder::new(path, "{class}")
    };
    folder.check()?;
    let files = files(path, &["wav"])?;
    let clips = folder.clips(&files)?;
    if let Some(index) = clips.iter().position(|clip| clip.rate != *rate) {
        let found = clips[index].rate;
        let message = format!("{found} samples a second, expected {rate}; resample it");
        return Err(fault(&files[index].1, "the header", message));
    }
    let rows = folder.column(clips, *length, *rate)?;
    Ok((files.into_iter().map(|(name, _)| name).collect(), Dataset::new(vec![rows], vec![])?))
}

fn read_clip(path: &Path) -> Result<Clip, DataError> {
    let failure = |source| DataError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failure)?;
    let length = file.metadata().map_err(failure)?.len();
    decode(BufReader::new(file), length).map_err(|error| match error {
        hound::Error::IoError(source) if source.raw_os_error().is_some() => failure(source),
        error => fault(path, "the sound", format!("it is damaged or not read: {error}")),
    })
}

/// The clip of a WAV file of at most `length` bytes.
fn decode(reader: impl Read, length: u64) -> hound::Result<Clip> {
    let reader = WavReader::new(reader)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    // What the header claims, but never more than the file can hold.
    let count = u64::from(reader.duration()).min(length);
    let mut mono =
        Mono { samples: Vec::with_capacity(count as usize), channels, sum: 0.0, have: 0 };
    match spec.sample_format {
        SampleFormat::Float => {
            for sample in reader.into_samples::<f32>() {
                let sample = sample?;
                if !sample.is_finite() {
                    return Err(hound::Error::FormatError("a sample is not a finite number"));
                }
                mono.push(sample);
            }
        }
        SampleFormat::Int if (1..=32).contains(&spec.bits_per_sample) => {
            let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f32;
            for sample in reader.into_samples::<i32>() {
                mono.push(sample? as f32 * scale);
            }
        }
        SampleFormat::Int => return Err(hound::Error::Unsupported),
    }
    Ok(Clip { samples: mono.samples, rate: spec.sample_rate })
}

/// Samples of several channels, averaged as they come.
struct Mono {
    samples: Vec<f32>,
    channels: usize,
    sum: f32,
    have: usize,
}

impl Mono {
    fn push(&mut self, sample: f32) {
        self.sum += sample;
        self.have += 1;
        if self.have == self.channels {
            self.samples.push(self.sum / self.channels as f32);
            (self.sum, self.have) = (0.0, 0);
        }
    }
}
