//! Images in folders, a folder for each class.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use fast_image_resize::images::Image;
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader};

use super::{dataset, fault, files, list};
use crate::data::column::Column;
use crate::data::dataset::Dataset;
use crate::data::media::Files;
use crate::data::text::shortened;
use crate::data::threads::in_order;
use crate::error::DataError;

/// Most pixels of an image, told by its header before any is decoded.
const MAX_PIXELS: u64 = 50_000_000;

/// Extensions of the files that are read, in capitals too.
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// A folder with one folder of images for each class, about to be read.
///
/// ```text
/// flowers/daisy/01.jpg
/// flowers/daisy/02.png
/// flowers/tulip/01.jpg
/// ```
///
/// The input `image` has rows of sizes [channels, height, width] and values from 0 to 1; the
/// target `label` has the folders' names as classes, in sorted order. Rows are sorted by class,
/// then by name. Files are decoded on as many threads as the machine has cores; the result does
/// not depend on them.
///
/// PNG, JPEG and WebP are read, and told from each other by content. Transparency is dropped,
/// 16 bits a channel become 8, of an animation the first picture is taken, and an orientation
/// noted in the file is not applied. Passed over are hidden files and folders (names that begin
/// with a dot), files beside the folders of classes, and in these the files with extensions
/// other than `png`, `jpg`, `jpeg` and `webp`. A folder inside of a class's folder is refused.
///
/// ```no_run
/// use ironwarp::data::ImageFolder;
///
/// let flowers = ImageFolder::new("flowers").size(64, 64).read()?;
/// let (train, test) = flowers.split_stratified(0.8, 42)?;
/// # Ok::<(), ironwarp::error::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    path: PathBuf,
    size: Option<(u32, u32)>,
    grayscale: bool,
    normalize: Option<(Vec<f32>, Vec<f32>)>,
}

impl ImageFolder {
    /// The folder that holds the classes' folders.
    pub fn new(path: impl AsRef<Path>) -> ImageFolder {
        ImageFolder { path: path.as_ref().into(), size: None, grayscale: false, normalize: None }
    }

    /// Resizes each image to this height and width, whatever its proportions, by bilinear
    /// interpolation that averages where it shrinks, as Pillow and torchvision do. Default: all
    /// images must have the size of the first.
    pub fn size(mut self, height: u32, width: u32) -> Self {
        self.size = Some((height, width));
        self
    }

    /// One channel, 0.299 red + 0.587 green + 0.114 blue (ITU-R 601, as Pillow). Default: three,
    /// red, green and blue.
    pub fn grayscale(mut self) -> Self {
        self.grayscale = true;
        self
    }

    /// (value - mean) / deviation for each channel, values being from 0 to 1. Default: none.
    pub fn normalize(mut self, mean: &[f32], deviation: &[f32]) -> Self {
        self.normalize = Some((mean.into(), deviation.into()));
        self
    }

    /// Reads all images.
    ///
    /// # Errors
    /// With the file's name: if a folder or file cannot be read, there is no class or a class has
    /// no images, an image is damaged, has more than 50 million pixels, or another size than the
    /// first where no size is given; and if a size is 0 or `normalize` does not have one finite
    /// mean and one positive deviation a channel.
    pub fn read(&self) -> Result<Dataset, DataError> {
        let channels = if self.grayscale { 1 } else { 3 };
        self.check(channels)?;
        let (classes, files) = self.files()?;
        let (height, width) = match self.size {
            Some(size) => size,
            None => {
                let bytes = read_file(&files[0])?;
                open(&bytes).map_err(|message| fault(&files[0], "the image", message))?.1
            }
        };
        let rows = self.rows(&files, (height, width), channels)?;
        let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
        let (grayscale, normalize) = (self.grayscale, self.normalize.clone());
        dataset(rows, &classes, Files::Images { height, width, grayscale, normalize })
    }

    /// A row for each file, all of one size.
    fn rows(
        &self,
        files: &[PathBuf],
        (height, width): (u32, u32),
        channels: usize,
    ) -> Result<Column, DataError> {
        let images = in_order(files.len(), |index| self.pixels(&files[index], height, width))?;
        let plane = height as usize * width as usize;
        let mut values = Vec::with_capacity(images.len() * channels * plane);
        let levels: Vec<[f32; 256]> = (0..channels).map(|channel| self.levels(channel)).collect();
        for image in images {
            for (channel, levels) in levels.iter().enumerate() {
                let pixels = image.iter().skip(channel).step_by(channels);
                values.extend(pixels.map(|&pixel| levels[usize::from(pixel)]));
            }
        }
        let row_shape = [channels, height as usize, width as usize];
        Ok(Column::numbers("image", &row_shape, values))
    }

    fn check(&self, channels: usize) -> Result<(), DataError> {
        let invalid = |message: String| Err(DataError::Invalid(format!("images: {message}")));
        if let Some((height, width)) = self.size
            && !(1..=MAX_PIXELS).contains(&(u64::from(height) * u64::from(width)))
        {
            return invalid(format!(
                "size({height}, {width}) has not between 1 and {MAX_PIXELS} pixels"
            ));
        }
        let Some((mean, deviation)) = &self.normalize else { return Ok(()) };
        if mean.len() != channels || deviation.len() != channels {
            return invalid(format!(
                "normalize has {} means and {} deviations for {channels} channels",
                mean.len(),
                deviation.len()
            ));
        }
        let good = mean.iter().all(|m| m.is_finite())
            && deviation.iter().all(|d| d.is_finite() && *d > 0.0);
        match good {
            true => Ok(()),
            false => invalid("normalize needs finite means and deviations above 0".into()),
        }
    }

    /// The class and the path of each file.
    fn files(&self) -> Result<(Vec<String>, Vec<PathBuf>), DataError> {
        let (mut classes, mut files) = (Vec::new(), Vec::new());
        for (class, folder) in list(&self.path, &EXTENSIONS)?.folders {
            let listing = list(&folder, &EXTENSIONS)?;
            if let Some((name, _)) = listing.folders.first() {
                let message = "a class's folder holds images, not folders; move its files up";
                return Err(fault(&folder, &format!("folder `{}`", shortened(name)), message));
            }
            if listing.files.is_empty() {
                let message = format!("no PNG, JPEG or WebP files{}", listing.passed_over());
                return Err(fault(&folder, "the folder", message));
            }
            classes.extend(listing.files.iter().map(|_| class.clone()));
            files.extend(listing.files.into_iter().map(|(_, path)| path));
        }
        if files.is_empty() {
            let message = "it holds no folders; each class's images belong into a folder of its \
                           own";
            return Err(fault(&self.path, "the folder", message));
        }
        Ok((classes, files))
    }

    /// The pixels of a file, channels last.
    fn pixels(&self, path: &Path, height: u32, width: u32) -> Result<Vec<u8>, DataError> {
        let bytes = read_file(path)?;
        let wrong = |message| fault(path, "the image", message);
        let (decoder, size) = open(&bytes).map_err(wrong)?;
        if size != (height, width) && self.size.is_none() {
            return Err(wrong(format!(
                "{} x {} pixels (height x width), the first image has {height} x {width}; say \
                 `size(height, width)`",
                size.0, size.1
            )));
        }
        let image = DynamicImage::from_decoder(decoder).map_err(|error| wrong(damaged(error)))?;
        let mut pixels = image.into_rgb8().into_raw();
        if size != (height, width) {
            pixels = resized(pixels, size, (height, width));
        }
        if self.grayscale {
            pixels = pixels.as_chunks::<3>().0.iter().map(|&pixel| gray(pixel)).collect();
        }
        Ok(pixels)
    }

    /// What each level of a channel becomes.
    fn levels(&self, channel: usize) -> [f32; 256] {
        let (mean, deviation) = match &self.normalize {
            None => (0.0, 1.0),
            Some((mean, deviation)) => (mean[channel], deviation[channel]),
        };
        std::array::from_fn(|level| (level as f32 / 255.0 - mean) / deviation)
    }
}

/// Rows of raw files as others became them.
pub(in super::super) fn read_as(
    settings: &Files,
    path: &Path,
) -> Result<(Vec<String>, Dataset), DataError> {
    let Files::Images { height, width, grayscale, normalize } = settings else {
        return Err(DataError::Invalid("the settings are not those of images".into()));
    };
    let size = (*height, *width);
    let folder = ImageFolder {
        path: path.into(),
        size: Some(size),
        grayscale: *grayscale,
        normalize: normalize.clone(),
    };
    let channels = if *grayscale { 1 } else { 3 };
    folder.check(channels)?;
    let (names, files): (Vec<_>, Vec<_>) = files(path, &EXTENSIONS)?.into_iter().unzip();
    Ok((names, Dataset::new(vec![folder.rows(&files, size, channels)?], vec![])?))
}

/// Pillow's rounding of the weights to 16 bits.
fn gray([red, green, blue]: [u8; 3]) -> u8 {
    let sum = u32::from(red) * 19595 + u32::from(green) * 38470 + u32::from(blue) * 7471;
    ((sum + 0x8000) >> 16) as u8
}

fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|source| DataError::Read { path: path.into(), source })
}

/// What decodes an image, and the height and width that its header claims; the error is a text.
fn open(bytes: &[u8]) -> Result<(impl ImageDecoder, (u32, u32)), String> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let decoder = reader.map_err(|error| damaged(error.into()))?.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    match u64::from(width) * u64::from(height) > MAX_PIXELS {
        true => Err(format!("{height} x {width} pixels are more than {MAX_PIXELS}")),
        false => Ok((decoder, (height, width))),
    }
}

fn damaged(error: ImageError) -> String {
    format!("it is damaged or not read: {error}")
}

fn resized(pixels: Vec<u8>, from: (u32, u32), to: (u32, u32)) -> Vec<u8> {
    let source = Image::from_vec_u8(from.1, from.0, pixels, PixelType::U8x3)
        .expect("invariant: three bytes a pixel");
    let mut result = Image::new(to.1, to.0, PixelType::U8x3);
    let algorithm = ResizeAlg::Convolution(FilterType::Bilinear);
    Resizer::new()
        .resize(&source, &mut result, &ResizeOptions::new().resize_alg(algorithm))
        .expect("invariant: both images have three bytes a pixel");
    result.into_vec()
}
