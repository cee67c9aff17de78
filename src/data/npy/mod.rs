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

use half::f16;

pub use self::header::ElementType;
#[cfg(feature = "npz")]
pub use self::npz::Npz;

use super::column::Column;
use super::dataset::Dataset;
use crate::error::DataError;

/// An array as it stands in a file.
#[derive(Clone, Debug)]
pub struct Npy {
    file: String,
    sizes: Vec<usize>,
    element: ElementType,
    big_endian: bool,
    fortran: bool,
    bytes: Vec<u8>,
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

/// Reads an array from content of at most `most` bytes, of which `held` are known to be there.
fn from_reader(mut reader: impl Read, most: u64, held: u64, file: &str) -> Result<Npy, DataError> {
    let fault = |place: &str, message| DataError::Malformed {
        file: file.into(),
        place: place.into(),
        message,
    };
    let header = header::read(&mut reader).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => fault("the header", "it is cut off".into()),
        _ => read_error(error, file),
    })?;
    let header = header.map_err(|message| fault("the header", message))?;
    let sizes = header.sizes;
    let claimed = sizes
        .iter()
        .try_fold(header.element.bytes() as u64, |n, &size| n.checked_mul(size as u64))
        .filter(|claimed| claimed.saturating_add(header.length) <= most)
        .ok_or_else(|| {
            let claim = format!("sizes {sizes:?} of {} bytes", header.element.bytes());
            fault("the header", format!("{claim} are more than the {most} bytes of the file hold"))
        })?;

    // One byte more than claimed: to see that there is none, and to have a checksum compared.
    let mut bytes = Vec::with_capacity(claimed.min(held) as usize + 1);
    reader.take(claimed + 1).read_to_end(&mut bytes).map_err(|error| read_error(error, file))?;
    let found = bytes.len() as u64;
    if found != claimed {
        let found = if found > claimed { "more".into() } else { format!("only {found}") };
        let message = format!("the header claims {claimed} bytes, there are {found}");
        return Err(fault("the elements", message));
    }
    Ok(Npy {
        file: file.into(),
        sizes,
        element: header.element,
        big_endian: header.big_endian,
        fortran: header.fortran,
        bytes,
    })
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
        self.element
    }

    /// A column of numbers: floats and integers rounded to 32-bit floats, booleans as 0 and 1.
    ///
    /// # Errors
    /// If the array has no axis.
    pub fn numbers(&self, name: &str) -> Result<Column, DataError> {
        use ElementType as E;
        let values = match self.element {
            E::Bool => self.map(|[byte]: [u8; 1]| f32::from(u8::from(byte != 0))),
            E::I8 => self.map(|bytes| f32::from(i8::from_le_bytes(bytes))),
            E::I16 => self.map(|bytes| f32::from(i16::from_le_bytes(bytes))),
            E::I32 => self.map(|bytes| i32::from_le_bytes(bytes) as f32),
            E::I64 => self.map(|bytes| i64::from_le_bytes(bytes) as f32),
            E::U8 => self.map(|[byte]: [u8; 1]| f32::from(byte)),
            E::U16 => self.map(|bytes| f32::from(u16::from_le_bytes(bytes))),
            E::U32 => self.map(|bytes| u32::from_le_bytes(bytes) as f32),
            E::U64 => self.map(|bytes| u64::from_le_bytes(bytes) as f32),
            E::F16 => self.map(|bytes| f16::from_le_bytes(bytes).to_f32()),
            E::F32 => self.map(f32::from_le_bytes),
            E::F64 => self.map(|bytes| f64::from_le_bytes(bytes) as f32),
        };
        Ok(Column::numbers(name, self.row_shape(name)?, values))
    }

    /// A column of indices, from integers or booleans.
    ///
    /// # Errors
    /// If the array has no axis or holds floats, or an integer is not in the range of `u32` (the
    /// row is named).
    pub fn indices(&self, name: &str) -> Result<Column, DataError> {
        use ElementType as E;
        let row_shape = self.row_shape(name)?;
        let values = match self.element {
            E::Bool => Ok(self.map(|[byte]: [u8; 1]| u32::from(byte != 0))),
            E::I8 => self.checked(|bytes| i8::from_le_bytes(bytes).into()),
            E::I16 => self.checked(|bytes| i16::from_le_bytes(bytes).into()),
            E::I32 => self.checked(|bytes| i32::from_le_bytes(bytes).into()),
            E::I64 => self.checked(|bytes| i64::from_le_bytes(bytes).into()),
            E::U8 => self.checked(|[byte]: [u8; 1]| byte.into()),
            E::U16 => self.checked(|bytes| u16::from_le_bytes(bytes).into()),
            E::U32 => self.checked(|bytes| u32::from_le_bytes(bytes).into()),
            E::U64 => self.checked(|bytes| u64::from_le_bytes(bytes).into()),
            E::F16 | E::F32 | E::F64 => {
                let message = format!("column `{name}`: floats are no indices; say `numbers`");
                return Err(self.fault(message));
            }
        };
        let values = values.map_err(|(index, value)| {
            let row = index / row_shape.iter().product::<usize>();
            self.fault(format!(
                "column `{name}`, row {row}: {value} is not an index from 0 to {}; for numbers \
                 say `numbers`",
                u32::MAX
            ))
        })?;
        Ok(Column::indices(name, row_shape, values))
    }

    /// The column of an input: as [`Dataset::npy`] says.
    ///
    /// # Errors
    /// As [`Npy::numbers`] and [`Npy::indices`].
    pub fn input(&self, name: &str) -> Result<Column, DataError> {
        use ElementType as E;
        match self.element {
            E::Bool | E::F16 | E::F32 | E::F64 => self.numbers(name),
            E::U8 => {
                let pixels = self.map(|[byte]: [u8; 1]| f32::from(byte) / 255.0);
                Ok(Column::numbers(name, self.row_shape(name)?, pixels))
            }
            _ => self.indices(name),
        }
    }

    /// The column of a target: as [`Dataset::npy`] says.
    ///
    /// # Errors
    /// As [`Npy::numbers`] and [`Npy::indices`].
    pub fn target(&self, name: &str) -> Result<Column, DataError> {
        use ElementType as E;
        match self.element {
            E::F16 | E::F32 | E::F64 => self.numbers(name),
            E::Bool => {
                let classes = ["false", "true"].map(String::from).to_vec();
                Ok(Column { categories: classes, ..self.indices(name)? })
            }
            _ => self.indices(name),
        }
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

    /// The elements in C order, their bytes in little-endian order.
    fn elements<const N: usize>(&self) -> impl Iterator<Item = [u8; N]> {
        let (elements, rest) = self.bytes.as_chunks::<N>();
        assert!(rest.is_empty(), "invariant: the bytes are whole elements");
        let moved = self.fortran && self.sizes.len() > 1;
        (0..elements.len()).map(move |index| {
            let mut bytes = elements[if moved { fortran_place(index, &self.sizes) } else { index }];
            if self.big_endian {
                bytes.reverse();
            }
            bytes
        })
    }

    fn map<const N: usize, T>(&self, convert: impl Fn([u8; N]) -> T) -> Vec<T> {
        self.elements().map(convert).collect()
    }

    /// All elements as indices, or the place and value of the first that is none.
    fn checked<const N: usize>(
        &self,
        convert: impl Fn([u8; N]) -> i128,
    ) -> Result<Vec<u32>, (usize, i128)> {
        let index = |(place, bytes)| {
            let value = convert(bytes);
            u32::try_from(value).map_err(|_| (place, value))
        };
        self.elements().enumerate().map(index).collect()
    }
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
