//! How images and sounds in files became rows, so that others become rows in the same way.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::dataset::Dataset;
use super::log_mel::LogMel;
use crate::error::DataError;

/// Longest sound that a model's file may ask for, in samples.
const MAX_LENGTH: usize = 1 << 26;

/// How raw files became rows, and their classes: made by reading a folder, it travels with the model
/// and turns other files into inputs wherever the model is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Media {
    pub(super) files: Files,
    pub(super) classes: Vec<String>,
}

/// What files are, and what is done to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Files {
    /// PNG, JPEG and WebP.
    Images {
        /// Every image is resized to this height.
        height: u32,
        /// And to this width.
        width: u32,
        /// One channel; else red, green and blue.
        grayscale: bool,
        /// Mean and deviation of each channel, where they are normalised.
        normalize: Option<(Vec<f32>, Vec<f32>)>,
    },
    /// WAV.
    Sounds {
        /// Samples a second.
        rate: u32,
        /// Every sound is cut or padded to so many samples.
        length: usize,
        /// What they become; samples where it is none.
        log_mel: Option<LogMel>,
        /// Mean and deviation of all values, where they are normalised.
        normalize: Option<(f32, f32)>,
    },
}

/// The fields of [`Media`] as they stand in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    files: Files,
    classes: Vec<String>,
}

impl TryFrom<Unchecked> for Media {
    type Error = String;

    fn try_from(Unchecked { files, classes }: Unchecked) -> Result<Media, String> {
        if let Files::Sounds { length, .. } = &files
            && !(1..=MAX_LENGTH).contains(length)
        {
            return Err(format!("sounds of {length} samples, expected 1 to {MAX_LENGTH}"));
        }
        // All else is checked where files are read.
        match classes.is_empty() {
            true => Err("there are no classes".into()),
            false => Ok(Media { files, classes }),
        }
    }
}

impl Media {
    /// What files are, and what is done to them.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The names of the classes, in order of the labels.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Elements of a row, if they can be counted.
    pub fn elements(&self) -> Option<usize> {
        match &self.files {
            Files::Images { height, width, grayscale, .. } => {
                let channels = if *grayscale { 1 } else { 3 };
                (*height as usize).checked_mul(*width as usize)?.checked_mul(channels)
            }
            Files::Sounds { length, log_mel: None, .. } => Some(*length),
            Files::Sounds { length, log_mel: Some(mel), .. } => {
                mel.lines().checked_mul(mel.frames(*length))
            }
        }
    }

    /// The rows of a file, or of those of a folder and of the folders in it, without targets, and the
    /// files' names within the folder.
    ///
    /// # Errors
    /// If there is no such file, one can't be read or is damaged, a sound has another sample rate,
    /// the settings contradict each other, or the crate was built without the feature `images` or
    /// `audio`.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<(Vec<String>, Dataset), DataError> {
        let path = path.as_ref();
        match &self.files {
            #[cfg(feature = "images")]
            Files::Images { .. } => super::folder::images::read_as(&self.files, path),
            #[cfg(not(feature = "images"))]
            Files::Images { .. } => without("images", path),
            #[cfg(feature = "audio")]
            Files::Sounds { .. } => super::folder::audio::read_as(&self.files, path),
            #[cfg(not(feature = "audio"))]
            Files::Sounds { .. } => without("audio", path),
        }
    }
}

#[cfg(not(all(feature = "images", feature = "audio")))]
fn without<T>(feature: &str, path: &Path) -> Result<T, DataError> {
    Err(DataError::Invalid(format!(
        "`{}` can't be read: ironwarp was built without the feature `{feature}`",
        path.display()
    )))
}
