//! NPY files, the arrays of NumPy, and with the feature `npz` the archives of several.
//!
//! Read are booleans, integers of 8 to 64 bits and floats of 16, 32 and 64 bits, in either byte
//! order, in C or in Fortran order. The first axis counts the rows.

mod header;
#[cfg(feature = "npz")]
mod npz;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

pub use self::header::ElementType;
#[cfg(feature = "npz")]
pub use self::npz::Npz;

use super::column::{Column, Values};
use super::dataset::Dataset;
use super::decode::Coding;
use super::stored::{Meaning, Place, Stored};
use crate::error::DataError;

/// An array as it stands in a file.
#[derive(Clone, Debug)]
pub struct Npy {
    file: String,
    sizes: Vec<usize>,
    coding: Coding,
    elements: Elements,
}

/// The elements in C order.
#[derive(Clone, Debug)]
enum Elements {
    Held(Vec<u8>),
    /// In the file, from this byte on.
    Stored(Arc<File>, u64),
}

impl Dataset {
    /// One input, `x`, and one target, `y`, from two NPY files whose first axes are the rows.
    ///
    /// Floats are numbers in both. An input of unsigned bytes is taken for pixels, as in
    /// [`Dataset::idx`]: numbers from 0 to 1 (byte / 255). Other integers of an input are indices
    /// (token numbers), and booleans are the numbers 0 and 1. Integers of a target are class
    /// labels, and booleans are the classes `false` and `true`. Where that does not suit, read
    /// the arrays with [`npy::read`](read) and choose [`Npy::numbers`] or [`Npy::indices`].
    ///
    /// ```no_run
    /// use ironwarp::data::Dataset;
    ///
    /// let train = Dataset::npy("x_train.npy", "y_train.npy")?;
    /// # Ok::<(), ironwarp::error::DataError>(())
    /// ```
    ///
    /// # Errors
    /// As [`read`], [`Npy::input`], [`Npy::target`] and [`Dataset::new`].
    pub fn npy(input: impl AsRef<Path>, target: impl AsRef<Path>) -> Result<Dataset, DataError> {
        Dataset::new(vec![read(input)?.input("x")?], vec![read(target)?.target("y")?])
    }

    /// As [`Dataset::npy`], but the elements stay in the files and are read when they are needed, so
    /// that they may be larger than memory: see [`Dataset::with_memory`]. The files are read once
    /// here, to see that all is sound.
    ///
    /// # Errors
    /// As [`open`], [`Npy::input`], [`Npy::target`] and [`Dataset::new`].
    pub fn stream_npy(
        input: impl AsRef<Path>,
        target: impl AsRef<Path>,
    ) -> Result<Dataset, DataError> {
        Dataset::new(vec![open(input)?.input("x")?], vec![open(target)?.target("y")?])
    }
}

/// Reads an NPY file.
///
/// # Errors
/// If the file cannot be read, or as [`parse`].
pub fn read(path: impl AsRef<Path>) -> Result<Npy, DataError> {
    let path = path.as_ref();
    let failure = |source| DataError::Read { path: path.into(), source };
    let file = File::open(path).map_err(failure)?;
    let length = file.metadata().map_err(failure)?.len();
    from_reader(BufReader::new(file), length, length, &path.display().to_string())
}

/// Reads the content of an NPY file.
///
/// # Errors
/// If the header is malformed or names elements that are not read, or the content is shorter or
/// longer than the sizes say, which is told before any memory is taken.
pub fn parse(bytes: &[u8]) -> Result<Npy, DataError> {
    from_reader(bytes, bytes.len() as u64, bytes.len() as u64, "<memory>")
}

/// Opens an NPY file whose elements stay in the file: the columns that are made of it read them when
/// they are needed. Then the data may be larger than memory; see [`Dataset::with_memory`].
///
/// # Errors
/// If the file cannot be read, its header is malformed or names elements that are not read, it is
/// shorter or longer than the sizes say, or the array is in Fortran order, in which rows are
/// scattered.
pub fn open(path: impl AsRef<Path>) -> Result<Npy, DataError> {
    let path = path.as_ref();
    let failure = |source| DataError::Read { path: path.into(), source };
    let name = path.display().to_string();
    let file = File::open(path).map_err(failure)?;
    let length = file.metadata().map_err(failure)?.len();
    let (header, claimed) = read_header(&mut BufReader::new(&file), length, &name)?;
    let fault = |place: &str, message| {
        Err(DataError::Malformed { file: name.clone(), place: place.into(), message })
    };
    let found = length - header.length;
    if found != claimed {
        return fault(
            "the elements",
            format!("the header claims {claimed} bytes, there are {found}"),
        );
    }
    if header.fortran && header.sizes.len() > 1 {
        let message = "rows in Fortran order can't be read one by one; save the array in C order";
        return fault("the header", message.into());
    }
    let elements = Elements::Stored(Arc::new(file), header.length);
    Ok(Npy { file: name, sizes: header.sizes, coding: header.coding, elements })
}

/// The header, and the bytes of elements that it claims, of which there may be no more than `most`.
fn read_header(
    reader: &mut impl Read,
    most: u64,
    file: &str,
) -> Result<(header::Header, u64), DataError> {
    let fault =
        |message| DataError::Malformed { file: file.into(), place: "the header".into(), message };
    let header = header::read(reader).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => fault("it is cut off".into()),
        _ => read_error(error, file),
    })?;
    let header = header.map_err(fault)?;
    let (sizes, element) = (&header.sizes, header.coding.element.bytes());
    let claimed = sizes
        .iter()
        .try_fold(element as u64, |n, &size| n.checked_mul(size as u64))
        .filter(|claimed| claimed.saturating_add(header.length) <= most)
        .ok_or_else(|| {
            let claim = format!("sizes {sizes:?} of {element} bytes");
            fault(format!("{claim} are more than the {most} bytes of the file hold"))
        })?;
    Ok((header, claimed))
}

/// Reads an array from content of at most `most` bytes, of which `held` are known to be there.
fn from_reader(mut reader: impl Read, most: u64, held: u64, file: &str) -> Result<Npy, DataError> {
    let fault = |place: &str, message| DataError::Malformed {
        file: file.into(),
        place: place.into(),
        message,
    };
    let (header, claimed) = read_header(&mut reader, most, file)?;
    let sizes = header.sizes;

    // One byte more than claimed: to see that there is none, and to have a checksum compared.
    let mut bytes = Vec::with_capacity(claimed.min(held) as usize + 1);
    reader.take(claimed + 1).read_to_end(&mut bytes).map_err(|error| read_error(error, file))?;
    let found = bytes.len() as u64;
    if found != claimed {
        let found = if found > claimed { "more".into() } else { format!("only {found}") };
        let message = format!("the header claims {claimed} bytes, there are {found}");
        return Err(fault("the elements", message));
    }
    let bytes = match header.fortran && sizes.len() > 1 {
        true => reordered(&bytes, &sizes, header.coding.element.bytes()),
        false => bytes,
    };
    Ok(Npy { file: file.into(), sizes, coding: header.coding, elements: Elements::Held(bytes) })
}

/// The typed form of a failure to read; damaged compressed data comes as one of the decoder's.
fn read_error(source: io::Error, file: &str) -> DataError {
    if source.raw_os_error().is_some() {
        return DataError::Read { path: file.into(), source };
    }
    let message = format!("the compressed data is truncated or damaged ({source})");
    DataError::Malformed { file: file.into(), place: "the elements".into(), message }
}

impl Npy {
    /// Sizes, outermost first.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// Type of the elements.
    pub fn element(&self) -> ElementType {
        self.coding.element
    }

    /// A column of numbers: floats and integers rounded to 32-bit floats, booleans as 0 and 1.
    ///
    /// # Errors
    /// If the array has no axis; of a file that was [opened](open), also if it can't be read or a
    /// number is not finite.
    pub fn numbers(&self, name: &str) -> Result<Column, DataError> {
        self.column(name, Meaning::Numbers)
    }

    /// A column of indices, from integers or booleans.
    ///
    /// # Errors
    /// If the array has no axis or holds floats, or an integer is not in the range of `u32` (the
    /// row is named).
    pub fn indices(&self, name: &str) -> Result<Column, DataError> {
        use ElementType as E;
        self.row_shape(name)?;
        if matches!(self.element(), E::F16 | E::F32 | E::F64) {
            let message = format!("column `{name}`: floats are no indices; say `numbers`");
            return Err(self.fault(message));
        }
        self.column(name, Meaning::Indices)
    }

    /// The column of an input: as [`Dataset::npy`] says.
    ///
    /// # Errors
    /// As [`Npy::numbers`] and [`Npy::indices`].
    pub fn input(&self, name: &str) -> Result<Column, DataError> {
        use ElementType as E;
        match self.element() {
            E::Bool | E::F16 | E::F32 | E::F64 => self.numbers(name),
            E::U8 => self.column(name, Meaning::Pixels),
            _ => self.indices(name),
        }
    }

    /// The column of a target: as [`Dataset::npy`] says.
    ///
    /// # Errors
    /// As [`Npy::numbers`] and [`Npy::indices`].
    pub fn target(&self, name: &str) -> Result<Column, DataError> {
        use ElementType as E;
        match self.element() {
            E::F16 | E::F32 | E::F64 => self.numbers(name),
            E::Bool => {
                let classes = ["false", "true"].map(String::from).to_vec();
                Ok(Column { categories: classes, ..self.indices(name)? })
            }
            _ => self.indices(name),
        }
    }

    fn column(&self, name: &str, meaning: Meaning) -> Result<Column, DataError> {
        let row_shape = self.row_shape(name)?.to_vec();
        let len = self.sizes.iter().product();
        let per_row = row_shape.iter().product::<usize>().max(1);
        let values = match &self.elements {
            Elements::Stored(file, start) => {
                let (file, path, start) = (file.clone(), self.file.clone(), *start);
                let place = Place { file, path, start, len, per_row, coding: self.coding };
                Values::Stored(Stored::new(place, meaning, name)?)
            }
            Elements::Held(bytes) if meaning == Meaning::Indices => {
                let mut indices = vec![0; len];
                self.coding.indices(bytes, &mut indices).map_err(|(index, value)| {
                    let row = index / per_row;
                    self.fault(format!(
                        "column `{name}`, row {row}: {value} is not an index from 0 to {}; for \
                         numbers say `numbers`",
                        u32::MAX
                    ))
                })?;
                Values::U32(indices)
            }
            Elements::Held(bytes) => {
                let mut numbers = vec![0.0; len];
                self.coding.numbers(bytes, &mut numbers);
                if meaning == Meaning::Pixels {
                    numbers.iter_mut().for_each(|x| *x /= 255.0);
                }
                Values::F32(numbers)
            }
        };
        Ok(Column::new(name.into(), row_shape, values, Vec::new()))
    }

    fn row_shape(&self, name: &str) -> Result<&[usize], DataError> {
        match self.sizes.split_first() {
            Some((_, row_shape)) => Ok(row_shape),
            None => Err(self.fault(format!("column `{name}`: an array without axes has no rows"))),
        }
    }

    fn fault(&self, message: String) -> DataError {
        DataError::Malformed { file: self.file.clone(), place: "the elements".into(), message }
    }
}

/// Elements of so many bytes, from Fortran order to C order.
fn reordered(bytes: &[u8], sizes: &[usize], size: usize) -> Vec<u8> {
    let places = (0..bytes.len() / size).map(|index| size * fortran_place(index, sizes));
    let mut ordered = Vec::with_capacity(bytes.len());
    places.for_each(|at| ordered.extend_from_slice(&bytes[at..at + size]));
    ordered
}

/// Where in Fortran order the element stands that is at `index` in C order.
fn fortran_place(mut index: usize, sizes: &[usize]) -> usize {
    let mut stride: usize = sizes.iter().product();
    sizes.iter().rev().fold(0, |place, &size| {
        stride /= size;
        let along = index % size;
        index /= size;
        place + along * stride
    })
}
