//! IDX files, the format of MNIST: a magic number, big-endian sizes, then the elements.
//!
//! ```text
//! 0  0                  always
//! 2  type               8: unsigned bytes, the only type read here
//! 3  dimensions         1 to 8
//! 4  size of each       4 bytes each, big-endian, the outermost first
//! .. elements           one byte each, the last dimension contiguous
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use super::column::{Column, Values};
use super::dataset::Dataset;
use super::decode::Coding;
use super::gzip::{Source, read_error};
use super::npy::ElementType;
use super::stored::{Meaning, Place, Stored};
use crate::error::DataError;

/// More dimensions than this are refused.
const MAX_DIMENSIONS: u8 = 8;

/// Deflate never expands more than this, so that a claim beyond it is a lie.
const MAX_EXPANSION: u64 = 1032;

/// An array of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idx {
    /// Sizes, outermost first; at least one.
    pub sizes: Vec<usize>,
    /// Elements, the last dimension contiguous.
    pub elements: Vec<u8>,
}

impl Dataset {
    /// Images and their labels from two IDX files, gzip or not. The input `image` has rows of the
    /// images' sizes, such as `[28, 28]`, as numbers from 0 to 1 (pixel / 255); the target
    /// `label` holds the labels.
    ///
    /// # Errors
    /// If a file cannot be read or is malformed, truncated or longer than its header says, the
    /// labels have more than one dimension or the images fewer than two, the counts differ, or
    /// there are none.
    pub fn idx(images: impl AsRef<Path>, labels: impl AsRef<Path>) -> Result<Dataset, DataError> {
        let (images_path, labels_path) = (images.as_ref(), labels.as_ref());
        let images = read(images_path)?;
        let labels = read(labels_path)?;
        check_sizes((images_path, &images.sizes), (labels_path, &labels.sizes))?;
        let pixels = images.elements.iter().map(|&pixel| f32::from(pixel) / 255.0).collect();
        let image = Column::numbers("image", &images.sizes[1..], pixels);
        let labels = labels.elements.into_iter().map(u32::from).collect();
        Dataset::new(vec![image], vec![Column::indices("label", &[], labels)])
    }

    /// As [`Dataset::idx`], but the elements stay in the files and are read when they are needed, so
    /// that they may be larger than memory: see [`Dataset::with_memory`]. The files are read once
    /// here, to see that all is sound.
    ///
    /// # Errors
    /// As [`Dataset::idx`], and if a file is gzipped.
    pub fn stream_idx(
        images: impl AsRef<Path>,
        labels: impl AsRef<Path>,
    ) -> Result<Dataset, DataError> {
        let (images_path, labels_path) = (images.as_ref(), labels.as_ref());
        let (images, pixels) = open(images_path)?;
        let (sizes, labels) = open(labels_path)?;
        check_sizes((images_path, &images), (labels_path, &sizes))?;
        let column = |name: &str, sizes: &[usize], place, meaning| {
            let values = Values::Stored(Stored::new(place, meaning, name)?);
            Ok(Column::new(name.into(), sizes[1..].to_vec(), values, Vec::new()))
        };
        Dataset::new(
            vec![column("image", &images, pixels, Meaning::Pixels)?],
            vec![column("label", &sizes, labels, Meaning::Indices)?],
        )
    }
}

/// Whether these are the sizes of images and of their labels.
fn check_sizes(images: (&Path, &[usize]), labels: (&Path, &[usize])) -> Result<(), DataError> {
    let fault = |path: &Path, message| Err(header_fault(&path.display().to_string(), message));
    if images.1.len() < 2 {
        return fault(images.0, format!("sizes {:?} are not those of images", images.1));
    }
    if labels.1.len() != 1 {
        return fault(labels.0, format!("sizes {:?} are not those of labels", labels.1));
    }
    let (count, rows) = (labels.1[0], images.1[0]);
    if count != rows {
        return fault(labels.0, format!("{count} labels for {rows} images"));
    }
    Ok(())
}

/// The sizes of an IDX file that is not gzipped, and its elements, which stay in it.
fn open(path: &Path) -> Result<(Vec<usize>, Place), DataError> {
    let failure = |source| DataError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failure)?;
    let (name, length) = (path.display().to_string(), file.metadata().map_err(failure)?.len());
    let start = |error| read_error(error, &name, false, "byte 0".into());
    let Source { mut reader, gzip } = Source::new(io::BufReader::new(&file)).map_err(start)?;
    if gzip {
        let message = "rows of a gzipped file can't be read one by one; unpack it";
        return Err(header_fault(&name, message.into()));
    }
    let (sizes, start) = read_sizes(&mut reader, false, &name)?;
    drop(reader);
    let claimed = sizes.iter().try_fold(1u64, |n, &size| n.checked_mul(u64::from(size)));
    let found = length - start;
    let Some(len) = claimed.filter(|&claimed| claimed == found) else {
        let place = "the elements".into();
        let message = format!("the header claims sizes {sizes:?}, there are {found} bytes");
        return Err(DataError::Malformed { file: name, place, message });
    };
    let sizes: Vec<usize> = sizes.into_iter().map(|size| size as usize).collect();
    let coding = Coding { element: ElementType::U8, big_endian: false };
    let per_row = sizes[1..].iter().product::<usize>().max(1);
    let (file, len) = (Arc::new(file), len as usize);
    Ok((sizes, Place { file, path: name, start, len, per_row, coding }))
}

/// Reads an IDX file, gzip or not.
///
/// # Errors
/// If the file cannot be read, or as [`parse`].
pub fn read(path: impl AsRef<Path>) -> Result<Idx, DataError> {
    let path = path.as_ref();
    let failure = |source| DataError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failure)?;
    let length = file.metadata().map_err(failure)?.len();
    from_reader(file, length, &path.display().to_string())
}

/// Reads the content of an IDX file, gzip or not.
///
/// # Errors
/// If the header is malformed, claims a type other than bytes or more elements than the content
/// can hold (told before any memory is taken for them), the content is shorter or longer than the
/// header says, or its gzip data is damaged.
pub fn parse(bytes: &[u8]) -> Result<Idx, DataError> {
    from_reader(bytes, bytes.len() as u64, "<memory>")
}

fn from_reader(reader: impl Read, length: u64, file: &str) -> Result<Idx, DataError> {
    let start = |error| read_error(error, file, false, "byte 0".into());
    let Source { mut reader, gzip } = Source::new(io::BufReader::new(reader)).map_err(start)?;
    let failure = |error| read_error(error, file, gzip, "the elements".into());

    let (sizes, header) = read_sizes(&mut reader, gzip, file)?;
    let claimed = sizes.iter().try_fold(1u64, |n, &size| n.checked_mul(u64::from(size)));
    let most = match gzip {
        true => length.saturating_mul(MAX_EXPANSION),
        false => length,
    };
    let claimed = claimed.filter(|n| n.saturating_add(header) <= most).ok_or_else(|| {
        let message = format!("sizes {sizes:?} are more than the {length} bytes of the file hold");
        header_fault(file, message)
    })?;

    // One byte more than claimed: to see that there is none, and to have the checksum compared.
    let mut elements = Vec::new();
    reader.take(claimed + 1).read_to_end(&mut elements).map_err(failure)?;
    let found = elements.len() as u64;
    if found != claimed {
        let found = if found > claimed { "more".into() } else { format!("only {found}") };
        let message = format!("the header claims {claimed}, there are {found}");
        let place = "the elements".into();
        return Err(DataError::Malformed { file: file.into(), place, message });
    }
    let sizes = sizes.into_iter().map(|size| size as usize).collect();
    Ok(Idx { sizes, elements })
}

/// The sizes, and the length of the header in bytes.
fn read_sizes(
    reader: &mut impl Read,
    gzip: bool,
    file: &str,
) -> Result<(Vec<u32>, u64), DataError> {
    let mut word = || {
        let mut bytes = [0; 4];
        reader.read_exact(&mut bytes).map(|()| bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof if !gzip => header_fault(file, "it is cut off".into()),
            _ => read_error(error, file, gzip, "the header".into()),
        })
    };
    let [zero, zero_too, element, dimensions] = word()?;
    if (zero, zero_too) != (0, 0) {
        let message = "it does not begin with two zero bytes; is this an IDX file?";
        return Err(header_fault(file, message.into()));
    }
    if element != 8 {
        let message = format!("elements of type {element:#04x} are not read, only 0x08 (bytes)");
        return Err(header_fault(file, message));
    }
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        let message = format!("{dimensions} dimensions, expected 1 to {MAX_DIMENSIONS}");
        return Err(header_fault(file, message));
    }
    let mut sizes = Vec::new();
    for _ in 0..dimensions {
        sizes.push(u32::from_be_bytes(word()?));
    }
    Ok((sizes, 4 + 4 * u64::from(dimensions)))
}

fn header_fault(file: &str, message: String) -> DataError {
    DataError::Malformed { file: file.into(), place: "the header".into(), message }
}
