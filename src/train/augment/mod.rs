//! Augmentation: rows are changed at random while a model trains on them, on the device where they
//! are. Its steps stand between what is fed and the model's input, in the training plan alone.

mod color;
mod geometry;
mod masks;
mod mix;

use crate::error::{Result, TrainError};
use crate::layer::Value;
use crate::layer::value::{Trace, lock};
use crate::model::{Network, WithLosses};
use crate::op::draw::{Distribution, Draw};
use crate::op::{BufferId, Graph, Role};
use crate::tensor::{DType, Shape, TensorType};

use color::Color;
use geometry::Geometry;
use masks::Masks;
use mix::{Mix, Mixed};

/// The feed of what is drawn by for each row, beside seed and epoch: see [`super::rows::Taken`].
pub(super) const ROW: &str = "augment/row";
/// The control scalar of the epoch.
pub(super) const EPOCH: &str = "epoch";
/// Streams of random numbers, far from those of dropout.
const STREAMS: u32 = 1 << 31;

/// How rows are changed at random in training; evaluation and prediction see them as they are.
///
/// What is drawn depends on the trainer's seed, the epoch and the row's number in the data alone: not
/// on the batch, the number of threads or the device, and a resumed run draws the same. Of
/// [sampled](super::Fit::sample_weighted) rows the place in the epoch stands for the number, so that
/// one that comes several times is changed otherwise each time.
///
/// Flips, shifts, rotation, scale and shear are one map, in this order, and one sampling by bilinear
/// weights; then come contrast, brightness, saturation and hue, then gain, offset, noise and masks, and
/// at last mixing, in whatever order they are called here.
///
/// Rows are images `[channels, height, width]` or `[height, width]`, or signals `[length]`, which are
/// not cropped, turned, slanted or mirrored upside down; a spectrogram is an image whose width is time.
///
/// ```
/// use ironwarp::prelude::*;
/// let images = Augment::new().flip_horizontal(0.5).crop(4).rotate(10.0);
/// let fit = Fit::epochs(20).batch(64).augment(images);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Augment {
    input: Option<String>,
    image: Option<[usize; 3]>,
    fill: f64,
    geometry: Geometry,
    color: Color,
    gain: f64,
    offset: f64,
    noise: f64,
    masks: Masks,
    mix: Mix,
}

impl Augment {
    /// Nothing is changed.
    pub fn new() -> Self {
        Augment::default()
    }

    /// The name of the input that is changed; default: the model's only one.
    pub fn input(self, name: &str) -> Self {
        Augment { input: Some(name.into()), ..self }
    }

    /// What rows hold where their shape does not tell: images of these sizes, channels first.
    pub fn image(self, channels: usize, height: usize, width: usize) -> Self {
        Augment { image: Some([channels, height, width]), ..self }
    }

    /// What stands beyond the edges of an image and where it is blotted out; default 0.
    pub fn fill(self, value: f64) -> Self {
        Augment { fill: value, ..self }
    }

    /// Mirrors left and right with this probability.
    pub fn flip_horizontal(mut self, probability: f64) -> Self {
        self.geometry.flips[0] = probability;
        self
    }

    /// Mirrors top and bottom with this probability.
    pub fn flip_vertical(mut self, probability: f64) -> Self {
        self.geometry.flips[1] = probability;
        self
    }

    /// Cuts an image of the same size, at random, out of the one with so many pixels put around it:
    /// shifts by up to as many whole pixels in both directions.
    pub fn crop(mut self, padding: usize) -> Self {
        self.geometry.shifts = [padding; 2];
        self
    }

    /// Shifts along the last dimension by up to so many whole steps, earlier or later: samples of a
    /// signal, frames of a spectrogram.
    pub fn time_shift(mut self, steps: usize) -> Self {
        self.geometry.shifts = [steps, 0];
        self
    }

    /// Rotates around the centre by up to so many degrees, either way.
    pub fn rotate(mut self, degrees: f64) -> Self {
        self.geometry.degrees = degrees;
        self
    }

    /// Enlarges by a factor between these, both directions alike.
    pub fn scale(mut self, low: f64, high: f64) -> Self {
        self.geometry.scales = Some((low, high));
        self
    }

    /// Slants along the horizontal axis by up to so many degrees, either way.
    pub fn shear(mut self, degrees: f64) -> Self {
        self.geometry.shear = degrees;
        self
    }

    /// Changes brightness, contrast and saturation by factors within 1 ± these, not below 0, and turns
    /// hue by up to this part of the colour circle either way, 0.5 being all of it, as torchvision's
    /// `ColorJitter`, but always in the order contrast, brightness, saturation, hue, and without
    /// limiting values, which may be normalised. Brightness multiplies; contrast moves away from the
    /// image's mean, saturation from each pixel's grey, 0.299 red + 0.587 green + 0.114 blue.
    /// Saturation and hue ask for three channels, and hue for channels that were normalised alike.
    pub fn color_jitter(
        mut self,
        brightness: f64,
        contrast: f64,
        saturation: f64,
        hue: f64,
    ) -> Self {
        self.color = Color { brightness, contrast, saturation, hue };
        self
    }

    /// Multiplies a row by 10^(g/20), g being up to so many decibels either way: louder or softer
    /// sound.
    pub fn gain(self, decibels: f64) -> Self {
        Augment { gain: decibels, ..self }
    }

    /// Adds one number to all of a row, up to this far from 0: the loudness of a spectrogram in
    /// decibels.
    pub fn offset(self, amount: f64) -> Self {
        Augment { offset: amount, ..self }
    }

    /// Adds normal noise of this deviation to every element.
    pub fn noise(self, deviation: f64) -> Self {
        Augment { noise: deviation, ..self }
    }

    /// Blots out a square of this side whose centre is any pixel, as far as it lies in the image
    /// (DeVries and Taylor 2017).
    pub fn cutout(mut self, side: usize) -> Self {
        self.masks.cutout = side;
        self
    }

    /// Blots out so many ranges of columns, each of 0 to `most`: time masks of SpecAugment (Park et
    /// al. 2019).
    pub fn time_masks(mut self, count: usize, most: usize) -> Self {
        self.masks.time = (count, most);
        self
    }

    /// Blots out so many ranges of lines, each of 0 to `most`: frequency masks of SpecAugment.
    pub fn frequency_masks(mut self, count: usize, most: usize) -> Self {
        self.masks.frequency = (count, most);
        self
    }

    /// Fades a row into the one before it in the batch, keeping a share of the row that is drawn from
    /// the beta distribution with both parameters `alpha`, and of its targets the same (Zhang et al.
    /// 2018). Numbers are mixed; of classes, the loss is that for both, each by its share, which for
    /// cross-entropy is the loss for their probabilities. A row keeps its own weight, and metrics know
    /// nothing of it. Each row has a share of its own, where torchvision's `MixUp` has one for a batch.
    pub fn mixup(mut self, alpha: f64) -> Self {
        self.mix.mixup = Some(alpha);
        self
    }

    /// Puts a rectangle of the image before a row in the batch into it, over a share of the area that
    /// is drawn as by [`Augment::mixup`], as far as it lies in the image, and of its targets as much
    /// (Yun et al. 2019, torchvision's `CutMix`). With mixup, each row is mixed in one of the two ways,
    /// as likely as the other.
    pub fn cutmix(mut self, alpha: f64) -> Self {
        self.mix.cutmix = Some(alpha);
        self
    }

    /// Lists everything that is wrong, whatever the model.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.geometry.problems();
        problems.extend(self.color.problems());
        problems.extend(self.masks.problems());
        problems.extend(self.mix.problems());
        for (what, value) in [("noise", self.noise), ("gain", self.gain), ("offset", self.offset)] {
            if !(value >= 0.0 && value.is_finite()) {
                problems.push(format!("augmentation: `{what}` is {value}, not 0 or more"));
            }
        }
        if !self.fill.is_finite() {
            problems.push(format!("augmentation: `fill` is {}, not finite", self.fill));
        }
        problems
    }

    /// The same training with the augmentation's steps before the model's.
    pub(super) fn apply(&self, network: &Network, model: WithLosses) -> Result<WithLosses> {
        let input = self.find(network)?;
        let image = self.sizes(network.ty(input))?;
        let Graph { buffers, steps } = model.graph;
        let mut graph = Graph { buffers, steps: vec![] };
        let rows = TensorType::new(DType::U32, Shape::rows(&[]));
        let rows = graph.add(ROW, rows, Role::Input);
        let epoch = graph.add(EPOCH, TensorType::f32(Shape::fixed(&[1])), Role::Control);
        let trace = std::sync::Arc::new(std::sync::Mutex::new(Trace::of(graph)));
        let value = |id| Value::new(trace.clone(), id);
        let draws = Draws { rows: value(rows), epoch: value(epoch) };
        let kind = ("augment", "Augment".to_string());
        let mut losses = model.losses;
        value(input).scope(Some("augment"), kind, |x| {
            let (result, mixed) = self.forward(x, &draws, image);
            let mut steps = steps;
            let read = steps.iter_mut().flat_map(|step| &mut step.inputs);
            read.filter(|id| **id == input).for_each(|id| *id = result.id());
            match mixed {
                Some(mixed) => mixed.targets(steps, &mut losses),
                None => lock(&trace).graph.steps.extend(steps),
            }
            result
        });
        let mut trace = lock(&trace);
        match &trace.error {
            Some(error) => Err(error.clone().into()),
            None => Ok(WithLosses { graph: std::mem::take(&mut trace.graph), losses }),
        }
    }

    fn forward(&self, x: &Value, draws: &Draws, image: [usize; 3]) -> (Value, Option<Mixed>) {
        let shape = x.shape();
        let mut x = x.reshape(Shape::rows(&image));
        x = self.geometry.forward(&x, draws, self.fill);
        x = self.color.forward(&x, draws);
        if self.gain > 0.0 {
            let level = draws.one(GAIN);
            // 10^(g/20) = e^(g ln 10 / 20).
            let most = self.gain * std::f64::consts::LN_10 / 20.0;
            x = x.map2(&level, |x, u| x * ((u * 2.0 - 1.0) * most).exp());
        }
        if self.offset > 0.0 {
            let level = draws.one(OFFSET);
            x = x.map2(&level, |x, u| x + (u * 2.0 - 1.0) * self.offset);
        }
        if self.noise > 0.0 {
            let noise = draws.normal(NOISE, &image);
            x = x.map2(&noise, |x, n| x + n * self.noise);
        }
        x = self.masks.forward(&x, draws, self.fill);
        let mixed = self.mix.forward(&x, draws);
        let x = mixed.as_ref().map_or(&x, |mixed| &mixed.x);
        (x.reshape(shape), mixed)
    }

    fn find(&self, network: &Network) -> Result<BufferId, TrainError> {
        let inputs = network.inputs();
        let found = match (&self.input, inputs) {
            (None, [(_, id)]) => Some(*id),
            (Some(name), _) => inputs.iter().find(|(n, _)| n == name).map(|(_, id)| *id),
            (None, _) => None,
        };
        found.ok_or_else(|| {
            let names: Vec<_> = inputs.iter().map(|(name, _)| format!("`{name}`")).collect();
            TrainError::Options(format!(
                "augmentation: name one of the model's inputs with `Augment::input`; there is {}",
                names.join(", ")
            ))
        })
    }

    /// Channels, height and width of a row.
    fn sizes(&self, ty: &TensorType) -> Result<[usize; 3], TrainError> {
        let own: Vec<usize> = ty.shape.dims()[1..].iter().map(|d| d.size(1)).collect();
        if let (None, [length]) = (self.image, &own[..])
            && !(self.geometry.keeps_lines() && self.mix.cutmix.is_none())
        {
            return Err(TrainError::Options(format!(
                "augmentation: rows of {length} numbers are signals, which `flip_vertical`, `crop`, \
                 `rotate`, `shear` and `cutmix` do not fit; if they are images, say \
                 `Augment::image(channels, height, width)`"
            )));
        }
        let image = match (self.image, &own[..]) {
            (Some(image), _) => Some(image),
            (None, &[length]) => Some([1, 1, length]),
            (None, &[height, width]) => Some([1, height, width]),
            (None, &[channels, height, width]) => Some([channels, height, width]),
            _ => None,
        };
        let fits = |image: &[usize; 3]| {
            let count = image.iter().try_fold(1usize, |n, size| n.checked_mul(*size));
            ty.dtype == DType::F32 && count == Some(own.iter().product())
        };
        image.filter(fits).ok_or_else(|| {
            let told = self.image.map_or(String::new(), |image| format!(" {image:?}"));
            TrainError::Options(format!(
                "augmentation: rows of {ty} are no images{told}; it takes f32 rows [length], \
                 [height, width] or [channels, height, width], or those whose `Augment::image` has \
                 as many elements"
            ))
        })
    }
}

// Where each use of random numbers begins, so that none changes with another.
const GEOMETRY: u32 = 0;
const COLOR: u32 = 8;
const GAIN: u32 = 16;
const OFFSET: u32 = 17;
const NOISE: u32 = 18;
const MIX: u32 = 24;
const MASKS: u32 = 32;

/// What random numbers of rows are drawn by.
struct Draws {
    rows: Value,
    epoch: Value,
}

impl Draws {
    /// So many uniform numbers a row, each of shape `[B, ..row]`.
    fn uniform(&self, first: u32, count: usize, row: &[usize]) -> Vec<Value> {
        self.draw(first, count, row, Distribution::Uniform)
    }

    /// One uniform number for each image, `[B, 1, 1, 1]`.
    fn one(&self, stream: u32) -> Value {
        self.uniform(stream, 1, &[1; 3]).swap_remove(0)
    }

    /// Normal numbers, `[B, ..row]`.
    fn normal(&self, stream: u32, row: &[usize]) -> Value {
        self.draw(stream, 1, row, Distribution::Normal).swap_remove(0)
    }

    fn draw(&self, first: u32, count: usize, row: &[usize], like: Distribution) -> Vec<Value> {
        let op = Draw { stream: STREAMS + first, count, row: row.to_vec(), distribution: like };
        self.rows.call(op, &[&self.epoch])
    }
}
