//! Files that may be compressed with gzip, told by their first two bytes.

use std::io::{self, Cursor, Read};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;

use crate::error::DataError;

/// A reader's content, decompressed if need be.
pub(super) struct Source<'a> {
    pub(super) reader: Box<dyn Read + 'a>,
    /// Whether it is compressed.
    pub(super) gzip: bool,
}

impl<'a> Source<'a> {
    pub(super) fn new(reader: impl Read + 'a) -> io::Result<Source<'a>> {
        let (head, reader) = peek::<2>(reader)?;
        let gzip = head == [0x1f, 0x8b];
        let reader: Box<dyn Read + 'a> =
            if gzip { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
        Ok(Source { reader, gzip })
    }
}

/// The first `N` bytes, or as many as there are, and a reader that begins with them.
pub(super) fn peek<const N: usize>(mut reader: impl Read) -> io::Result<(Vec<u8>, impl Read)> {
    let mut head = Vec::with_capacity(N);
    reader.by_ref().take(N as u64).read_to_end(&mut head)?;
    Ok((head.clone(), Cursor::new(head).chain(reader)))
}

/// The typed form of a failure to read `file`; `place` says how far the reader was.
pub(super) fn read_error(source: io::Error, file: &str, gzip: bool, place: String) -> DataError {
    // Damaged gzip data comes as an error of the decoder, which the system knows nothing of.
    if gzip && source.raw_os_error().is_none() {
        let message = format!("the gzip data is truncated or damaged ({source})");
        return DataError::Malformed { file: file.into(), place, message };
    }
    DataError::Read { path: PathBuf::from(file), source }
}
