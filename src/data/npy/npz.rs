//! NPZ archives: ZIP files whose members are NPY files.

use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::{Npy, from_reader};
use crate::data::column::Column;
use crate::data::dataset::Dataset;
use crate::data::text::{quoted, shortened};
use crate::error::DataError;

/// Deflate never expands more than this, so that a claim beyond it is a lie.
const MAX_EXPANSION: u64 = 1032;

/// Where an archive's bytes come from.
trait Bytes: Read + Seek {}
impl<R: Read + Seek> Bytes for R {}

/// An NPZ archive, whose arrays are read one by one when they are asked for. Nothing is written
/// to the disk.
pub struct Npz {
    archive: ZipArchive<Box<dyn Bytes>>,
    file: String,
    /// Bytes of the whole archive.
    length: u64,
}

impl Dataset {
    /// Inputs and targets by the names of arrays in an NPZ archive, as `numpy.savez` and
    /// `numpy.savez_compressed` write. They become columns of these names as in [`Dataset::npy`].
    ///
    /// # Errors
    /// As [`Npz::open`], [`Npz::read`], [`Npy::input`], [`Npy::target`] and [`Dataset::new`].
    pub fn npz(
        path: impl AsRef<Path>,
        inputs: &[&str],
        targets: &[&str],
    ) -> Result<Dataset, DataError> {
        let mut archive = Npz::open(path)?;
        let mut columns = |names: &[&str], column: fn(&Npy, &str) -> Result<Column, DataError>| {
            names
                .iter()
                .map(|name| column(&archive.read(name)?, name))
                .collect::<Result<Vec<_>, DataError>>()
        };
        let inputs = columns(inputs, Npy::input)?;
        Dataset::new(inputs, columns(targets, Npy::target)?)
    }
}

impl Npz {
    /// Opens an archive and reads the list of its members.
    ///
    /// # Errors
    /// If the file cannot be read or is no ZIP archive.
    pub fn open(path: impl AsRef<Path>) -> Result<Npz, DataError> {
        let path = path.as_ref();
        let failure = |source| DataError::Read { path: path.into(), source };
        let file = File::open(path).map_err(failure)?;
        let length = file.metadata().map_err(failure)?.len();
        Npz::new(Box::new(BufReader::new(file)), length, path.display().to_string())
    }

    /// An archive in memory.
    ///
    /// # Errors
    /// If it is no ZIP archive.
    pub fn parse(bytes: Vec<u8>) -> Result<Npz, DataError> {
        let length = bytes.len() as u64;
        Npz::new(Box::new(Cursor::new(bytes)), length, "<memory>".into())
    }

    fn new(bytes: Box<dyn Bytes>, length: u64, file: String) -> Result<Npz, DataError> {
        match ZipArchive::new(bytes) {
            Ok(archive) => Ok(Npz { archive, file, length }),
            Err(error) => Err(failure(error, &file, "the archive")),
        }
    }

    /// Names of the arrays, in the archive's order.
    pub fn names(&self) -> Vec<String> {
        let names = self.archive.file_names().filter_map(Result::ok);
        names.filter_map(|name| name.strip_suffix(".npy").map(String::from)).collect()
    }

    /// Reads the array of this name. At most 1032 times the archive's own length is read, which
    /// is what its compression can reach.
    ///
    /// # Errors
    /// If there is no such array, it is encrypted or compressed in another way than by deflate,
    /// its data is damaged, or as [`super::parse`].
    pub fn read(&mut self, name: &str) -> Result<Npy, DataError> {
        let place = format!("array `{}`", shortened(name));
        let Some(index) = self.archive.index_for_name(&format!("{name}.npy")) else {
            let names = quoted(self.names().iter().map(String::as_str));
            let message = format!("it is not in the archive, which holds {names}");
            return Err(DataError::Malformed { file: self.file.clone(), place, message });
        };
        let file = format!("{}/{}.npy", self.file, shortened(name));
        let member =
            self.archive.by_index(index).map_err(|error| failure(error, &self.file, &place))?;
        let most = member.size().min(self.length.saturating_mul(MAX_EXPANSION));
        from_reader(member, most, self.length, &file)
    }
}

fn failure(error: ZipError, file: &str, place: &str) -> DataError {
    match error {
        ZipError::Io(source) if source.raw_os_error().is_some() => {
            DataError::Read { path: file.into(), source }
        }
        error => DataError::Malformed {
            file: file.into(),
            place: place.into(),
            message: format!("it is not read as a ZIP archive: {error}"),
        },
    }
}
