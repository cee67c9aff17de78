//! How `ironwarp train` changes rows at random, in flags and lines of a TOML file.

use clap::Args;
use ironwarp::train::Augment;
use serde::{Deserialize, Serialize};

use super::AskedWrongly;

/// What is done to rows of training; none of it where nothing is asked for.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[command(next_help_heading = "Augmentation: what training changes at random, anew in each epoch")]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Augmentation {
    /// Mirrors left and right with this probability
    #[arg(long, value_name = "PROBABILITY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flip_horizontal: Option<f64>,
    /// Mirrors top and bottom with this probability
    #[arg(long, value_name = "PROBABILITY")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flip_vertical: Option<f64>,
    /// Puts so many pixels around an image and cuts one of the old size out of it
    #[arg(long, value_name = "PIXELS", conflicts_with = "time_shift")]
    #[serde(skip_serializing_if = "Option::is_none")]
    crop: Option<usize>,
    /// Rotates by up to so many degrees, either way
    #[arg(long, value_name = "DEGREES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    rotate: Option<f64>,
    /// Enlarges by a factor between these two, such as 0.9,1.1
    #[arg(long, value_name = "LOW,HIGH", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    zoom: Option<Vec<f64>>,
    /// Slants by up to so many degrees, either way
    #[arg(long, value_name = "DEGREES")]
    #[serde(skip_serializing_if = "Option::is_none")]
    shear: Option<f64>,
    /// Changes brightness, contrast and saturation by factors within 1 ± these, and hue by up to this
    /// part of the colour circle, 0.5 being all of it
    #[arg(long, value_name = "BRIGHTNESS,CONTRAST,SATURATION,HUE", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    color_jitter: Option<Vec<f64>>,
    /// Blots out a square of this side
    #[arg(long, value_name = "PIXELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cutout: Option<usize>,
    /// Shifts by up to so many samples, or frames of a spectrogram, earlier or later
    #[arg(long, value_name = "STEPS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    time_shift: Option<usize>,
    /// Makes samples louder or softer by up to so many decibels
    #[arg(long, value_name = "DECIBELS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    gain: Option<f64>,
    /// Adds one number to all of a row, up to this far from 0: the loudness of a spectrogram
    #[arg(long, value_name = "AMOUNT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<f64>,
    /// Adds normal noise of this deviation to every element
    #[arg(long, value_name = "DEVIATION")]
    #[serde(skip_serializing_if = "Option::is_none")]
    noise: Option<f64>,
    /// Blots out so many ranges of a spectrogram's frames, each of 0 to MOST
    #[arg(long, value_name = "COUNT,MOST", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    time_masks: Option<Vec<usize>>,
    /// Blots out so many ranges of a spectrogram's bands, each of 0 to MOST
    #[arg(long, value_name = "COUNT,MOST", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_masks: Option<Vec<usize>>,
    /// Stands beyond the edges and where something is blotted out, once values are normalised
    /// [default: 0]
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    #[serde(skip_serializing_if = "Option::is_none")]
    fill: Option<f64>,
    /// Fades each row and its target into another, by a share of the beta distribution of ALPHA
    #[arg(long, value_name = "ALPHA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    mixup: Option<f64>,
    /// Puts a rectangle of another image into each, and its target, over such a share of the area
    #[arg(long, value_name = "ALPHA")]
    #[serde(skip_serializing_if = "Option::is_none")]
    cutmix: Option<f64>,
}

impl Augmentation {
    /// What is asked for, if anything is.
    pub(crate) fn augment(&self) -> anyhow::Result<Option<Augment>> {
        if *self == Augmentation::default() {
            return Ok(None);
        }
        anyhow::ensure!(
            self.crop.is_none() || self.time_shift.is_none(),
            AskedWrongly(
                "rows are shifted in both directions or in time; give --crop or --time-shift"
                    .into()
            )
        );
        let a = Augment::new();
        let a = with(a, self.flip_horizontal, Augment::flip_horizontal);
        let a = with(a, self.flip_vertical, Augment::flip_vertical);
        let a = with(a, self.crop, Augment::crop);
        let a = with(a, self.rotate, Augment::rotate);
        let a = with(a, several("zoom", &self.zoom)?, |a, [low, high]| a.scale(low, high));
        let a = with(a, self.shear, Augment::shear);
        let a = with(a, several("color-jitter", &self.color_jitter)?, |a, [b, c, s, h]| {
            a.color_jitter(b, c, s, h)
        });
        let a = with(a, self.cutout, Augment::cutout);
        let a = with(a, self.time_shift, Augment::time_shift);
        let a = with(a, self.gain, Augment::gain);
        let a = with(a, self.offset, Augment::offset);
        let a = with(a, self.noise, Augment::noise);
        let a = with(a, several("time-masks", &self.time_masks)?, |a, [count, most]| {
            a.time_masks(count, most)
        });
        let a = with(a, several("frequency-masks", &self.frequency_masks)?, |a, [count, most]| {
            a.frequency_masks(count, most)
        });
        let a = with(a, self.fill, Augment::fill);
        let a = with(a, self.mixup, Augment::mixup);
        Ok(Some(with(a, self.cutmix, Augment::cutmix)))
    }
}

/// What follows from a value, where there is one.
fn with<T, V>(so_far: T, value: Option<V>, then: impl FnOnce(T, V) -> T) -> T {
    match value {
        Some(value) => then(so_far, value),
        None => so_far,
    }
}

/// The numbers of a setting that has so many.
fn several<T: Copy, const N: usize>(
    name: &str,
    numbers: &Option<Vec<T>>,
) -> anyhow::Result<Option<[T; N]>> {
    let Some(numbers) = numbers else { return Ok(None) };
    let several = <[T; N]>::try_from(numbers.as_slice()).map_err(|_| {
        AskedWrongly(format!("--{name} has {} numbers, it takes {N}", numbers.len()))
    })?;
    Ok(Some(several))
}
