//! Model and checkpoint files: named tensors and one metadata value in one safetensors file.
//!
//! # Format
//! A plain [safetensors](https://github.com/huggingface/safetensors) file, so that other tools
//! open it: eight bytes of header length (little-endian), a JSON header, the tensors' elements.
//! ```text
//! {"__metadata__":{"ironwarp":"<record, as a JSON string>"},
//!  "0.weight":{"data_offsets":[0,32],"dtype":"F32","shape":[4,2]}, ...}
//! ```
//! The record is canonical JSON (sorted keys, no white space, shortest numbers that read back as
//! the same bits), its four keys in this order:
//! ```text
//! {"format":"ironwarp","hash":"<32 hex digits>","payload":<the metadata>,"version":1}
//! ```
//! - `hash` is xxh3-128 over the whole file with the digits themselves read as `0`. It stands at
//!   a fixed offset, since nothing of variable length comes before it. So any flipped bit is found.
//! - `payload` is absent if there is no metadata.
//! - Elements stand widest type first, then by name, so each tensor is aligned to its type; the
//!   header is padded with spaces until the elements start at a multiple of 64 bytes.
//!
//! The same content gives the same bytes. A file without the record, from another tool, loads as
//! weights only and has no hash to check.
//!
//! # Limits
//! Hostile input costs little: all sizes are checked before anything is allocated for them, and
//! reading takes at most twice the file's size in memory. The limits are [`MAX_HEADER_BYTES`],
//! [`MAX_TENSORS`], [`MAX_NAME_BYTES`] and [`MAX_DIMENSIONS`]; writing keeps them too, so what was
//! written can be read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::Value;

use crate::error::FileError;
use crate::tensor::{Elements, HostTensor};

mod atomic;
mod elements;
mod header;
mod json;
mod lock;
mod record;
#[cfg(test)]
mod tests;

pub use atomic::{check_target, write_atomically};
pub use header::{MAX_DIMENSIONS, MAX_HEADER_BYTES, MAX_NAME_BYTES, MAX_TENSORS};
pub use json::MAX_DEPTH;
pub use lock::RunLock;
pub use record::FORMAT_VERSION;

/// Elements start at a multiple of this many bytes.
const ALIGNMENT: usize = 64;
/// Bytes of the header's length.
const LENGTH_BYTES: usize = 8;
/// How messages name a file that has no path.
const MEMORY: &str = "<memory>";

/// The content of a model or checkpoint file.
///
/// ```
/// use ironwarp::{file::TensorFile, tensor::HostTensor};
///
/// let metadata = Some(serde_json::json!({"epoch": 3}));
/// let mut file = TensorFile { metadata, ..Default::default() };
/// file.tensors.insert("0.weight".into(), HostTensor::f32(vec![1, 2], vec![0.5, -1.0]).unwrap());
/// let bytes = file.to_bytes()?;
/// assert_eq!(TensorFile::parse("<memory>", &bytes)?, file);
/// # Ok::<(), ironwarp::error::FileError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TensorFile {
    /// Tensors by name.
    pub tensors: BTreeMap<String, HostTensor>,
    /// Whatever belongs to the tensors, or `None` in a file of weights only.
    pub metadata: Option<Value>,
}

impl TensorFile {
    /// Reads a file's content; `name_for_errors` is how messages call it, such as its path.
    ///
    /// # Errors
    /// [`FileError::TooNew`] for a format version above [`FORMAT_VERSION`], else
    /// [`FileError::Malformed`] for anything but a valid file with the right hash.
    pub fn parse(name_for_errors: &str, bytes: &[u8]) -> Result<TensorFile, FileError> {
        let malformed = |message| malformed(name_for_errors, message);
        let length = header::length(bytes, bytes.len() as u64).map_err(malformed)?;
        let (head, data) = bytes.split_at(LENGTH_BYTES + length);
        let header = header::Header::parse(&head[LENGTH_BYTES..]).map_err(malformed)?;
        let layout = header.layout(data.len()).map_err(malformed)?;
        let metadata = record::open(name_for_errors, bytes, &header.metadata)?;
        let tensors = layout
            .into_iter()
            .map(|(name, entry)| {
                let elements = elements::decode(entry.dtype, &data[entry.range]);
                let tensor = HostTensor::new(entry.shape, elements)
                    .expect("invariant: the layout's ranges have the shapes' sizes");
                (name, tensor)
            })
            .collect();
        Ok(TensorFile { tensors, metadata })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and [`FileError::Io`] if the file can't be read.
    pub fn read(path: impl AsRef<Path>) -> Result<TensorFile, FileError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let failed = |source| FileError::Io { action: "read", path: path.into(), source };
        // Asked before opening, which would wait forever on a pipe without a writer.
        let about = std::fs::metadata(path).map_err(failed)?;
        if !about.is_file() {
            let text = "it is a folder, a pipe or a device; name a file";
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        let mut file = File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        // The length is judged first, so that a large file of another kind is not read in vain.
        (&mut file).take(LENGTH_BYTES as u64).read_to_end(&mut bytes).map_err(failed)?;
        header::length(&bytes, about.len()).map_err(|message| malformed(&name, message))?;
        let rest = about.len().saturating_sub(bytes.len() as u64);
        // One byte more than expected, so that `read_to_end` sees the end without growing.
        let room = usize::try_from(rest).ok().and_then(|n| n.checked_add(1));
        let reserved = room.is_some_and(|n| bytes.try_reserve_exact(n).is_ok());
        if !reserved {
            return Err(failed(io::ErrorKind::OutOfMemory.into()));
        }
        file.take(rest).read_to_end(&mut bytes).map_err(failed)?;
        Self::parse(&name, &bytes)
    }

    /// The file's bytes; the same content gives the same bytes.
    ///
    /// # Errors
    /// [`FileError::Malformed`] if the content breaks a limit of the format: the number of tensors
    /// or of dimensions, the length or the characters of a name, the depth or size of the metadata.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        self.encode().map_err(|message| malformed(MEMORY, message))
    }

    /// Writes the file with [`write_atomically`].
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes) and [`write_atomically`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = self.encode().map_err(|message| malformed(&name, message))?;
        write_atomically(path, &bytes)
    }

    /// Name and element index of the first infinity or NaN, or `None` if all values are finite.
    pub fn first_non_finite(&self) -> Option<(&str, usize)> {
        self.tensors.iter().find_map(|(name, tensor)| {
            let index = match tensor.elements() {
                Elements::F32(values) => values.iter().position(|v| !v.is_finite()),
                Elements::F16(values) => values.iter().position(|v| !v.is_finite()),
                Elements::BF16(values) => values.iter().position(|v| !v.is_finite()),
                Elements::U32(_) | Elements::U8(_) => None,
            };
            index.map(|index| (name.as_str(), index))
        })
    }

    fn encode(&self) -> Result<Vec<u8>, String> {
        let record = record::unsealed(self.metadata.as_ref())?;
        let (head, order) = header::encode(&record, &self.tensors)?;
        let size: usize = order.iter().map(|t| elements::byte_count(t.elements())).sum();
        let mut bytes = Vec::with_capacity(head.len() + size);
        bytes.extend_from_slice(&head);
        for tensor in order {
            elements::encode(tensor.elements(), &mut bytes);
        }
        record::seal(&mut bytes);
        Ok(bytes)
    }
}

fn malformed(file: &str, message: String) -> FileError {
    FileError::Malformed { file: file.into(), message }
}
