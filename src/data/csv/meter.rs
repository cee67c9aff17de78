//! What the CSV reader cannot tell by itself, counted on the way in.

use std::io::{self, Read};

/// Longest row, in bytes of the file.
const MAX_ROW: u64 = 64 << 20;

/// A reader that refuses rows without end, counts quotes and remembers its last chunk.
pub(super) struct Meter<R> {
    inner: R,
    /// Bytes handed out.
    total: u64,
    /// Where the row being read begins.
    row: u64,
    overrun: bool,
    odd_quotes: bool,
    chunk: Vec<u8>,
}

impl<R: Read> Meter<R> {
    pub(super) fn new(inner: R) -> Meter<R> {
        Meter { inner, total: 0, row: 0, overrun: false, odd_quotes: false, chunk: Vec::new() }
    }

    /// A row begins at this byte.
    pub(super) fn begin_record(&mut self, byte: u64) {
        self.row = byte;
    }

    /// Whether a row was too long.
    pub(super) fn overrun(&self) -> bool {
        self.overrun
    }

    /// Whether the number of quotes so far is odd.
    pub(super) fn odd_quotes(&self) -> bool {
        self.odd_quotes
    }

    /// The byte before this offset, if it is in the last chunk.
    pub(super) fn byte_before(&self, offset: u64) -> Option<u8> {
        let start = self.total - self.chunk.len() as u64;
        let index = offset.checked_sub(start + 1)?;
        self.chunk.get(usize::try_from(index).ok()?).copied()
    }
}

impl<R: Read> Read for Meter<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.total - self.row.min(self.total) > MAX_ROW {
            self.overrun = true;
            return Err(io::Error::other("row too long"));
        }
        let count = self.inner.read(buffer)?;
        // At the end of the file the last chunk still holds the byte that ended the last row.
        if count > 0 {
            self.total += count as u64;
            self.chunk.clear();
            self.chunk.extend_from_slice(&buffer[..count]);
            let quotes = self.chunk.iter().filter(|&&byte| byte == b'"').count();
            self.odd_quotes ^= quotes % 2 == 1;
        }
        Ok(count)
    }
}
