//! The text of a file in blocks of whole rows.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use memchr::{memchr, memrchr2};

use super::number::MARGIN;
use crate::data::gzip::{Source, peek};

/// Bytes that are read at once.
pub(super) const BLOCK: usize = 1 << 19;
/// Longest row, in bytes.
const MAX_ROW: usize = 64 << 20;
/// Texts that are kept for the next blocks.
const SPARE: usize = 8;

/// Whole rows, and where they stand.
pub(super) struct Block {
    /// The rows between two margins of newlines; empty if they were left in their file.
    pub(super) text: Vec<u8>,
    /// Their bytes in the file.
    pub(super) place: Range<u64>,
}

/// Why there is no further block.
pub(super) enum Stop {
    End,
    /// No row ends in 64 MiB.
    Endless,
    Failed(io::Error),
}

/// A file on its way into blocks.
pub(super) struct Blocks<'a> {
    reader: Box<dyn Read + 'a>,
    /// Whether the file is compressed.
    pub(super) gzip: bool,
    /// The file that holds the text as it is, so that a block can be read again.
    pub(super) file: Option<File>,
    delimiter: u8,
    /// Bytes that are read at once.
    size: usize,
    /// A margin, and the text since the last block.
    text: Vec<u8>,
    /// Where that text stands in the file.
    start: u64,
    /// How the file ended, once all of it was read.
    end: Option<Stop>,
    spare: Vec<Vec<u8>>,
}

impl<'a> Blocks<'a> {
    /// A reader's text, decompressed if need be and without a byte order mark. The `file` is what the
    /// reader reads, if it is one that can be read twice.
    ///
    /// # Errors
    /// If the first bytes cannot be read; with whether they are compressed.
    pub(super) fn new(
        reader: impl Read + 'a,
        file: Option<File>,
        delimiter: u8,
        size: usize,
    ) -> Result<Blocks<'a>, (io::Error, bool)> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        let Source { reader, gzip } = Source::new(reader).map_err(|error| (error, false))?;
        let (head, mut reader) = peek::<3>(reader).map_err(|error| (error, gzip))?;
        let mut start = 0;
        if head == MARK {
            start = MARK.len() as u64;
            let skipped = reader.by_ref().take(start).read_to_end(&mut Vec::new());
            skipped.map_err(|error| (error, gzip))?;
        }
        Ok(Blocks {
            reader: Box::new(reader),
            gzip,
            file: file.filter(|_| !gzip),
            delimiter,
            size,
            text: vec![b'\n'; MARGIN],
            start,
            end: None,
            spare: Vec::new(),
        })
    }

    /// The next block.
    ///
    /// # Errors
    /// If there is none. A reader that fails does so after the rows that it gave before.
    pub(super) fn next(&mut self) -> Result<Block, Stop> {
        let mut rows = Rows { at: MARGIN, end: 0, quoted: false };
        while self.end.is_none() {
            let read = self.reader.by_ref().take(self.size as u64).read_to_end(&mut self.text);
            match read {
                Ok(read) if read == self.size => {}
                Ok(_) => self.end = Some(Stop::End),
                Err(error) => self.end = Some(Stop::Failed(error)),
            }
            if matches!(self.end, Some(Stop::End)) {
                rows.end = self.text.len();
                break;
            }
            rows.find(&self.text, self.delimiter);
            if rows.end > 0 {
                break;
            }
            if self.text.len() > MAX_ROW {
                self.end = Some(Stop::Endless);
            }
        }
        if rows.end <= MARGIN {
            self.text.truncate(MARGIN);
            return Err(self.end.replace(Stop::End).expect("invariant: there was an end"));
        }
        let mut following = self.spare.pop().unwrap_or_default();
        following.resize(MARGIN, b'\n');
        following.reserve(self.size + 2 * MARGIN);
        following.extend_from_slice(&self.text[rows.end..]);
        let mut text = std::mem::replace(&mut self.text, following);
        text.truncate(rows.end);
        let place = self.start..self.start + (text.len() - MARGIN) as u64;
        self.start = place.end;
        text.resize(text.len() + MARGIN, b'\n');
        Ok(Block { text, place })
    }

    /// Bytes of the file from a block on, if that is known.
    pub(super) fn ahead(&self, block: &Block) -> Option<usize> {
        let length = self.file.as_ref()?.metadata().ok()?.len();
        usize::try_from(length.saturating_sub(block.place.start)).ok()
    }

    /// Leaves a block's text in the file, if it can be read there [`again`](Block::again).
    pub(super) fn leave(&mut self, block: &mut Block) {
        if self.file.is_some() {
            let mut text = std::mem::take(&mut block.text);
            text.clear();
            if self.spare.len() < SPARE && text.capacity() < 2 * self.size + 4 * MARGIN {
                self.spare.push(text);
            }
        }
    }
}

impl Block {
    /// The block with its text, which was left in a file.
    pub(super) fn again(&self, file: &File) -> io::Result<Block> {
        let length = (self.place.end - self.place.start) as usize;
        let mut text = vec![b'\n'; length + 2 * MARGIN];
        file.read_exact_at(&mut text[MARGIN..MARGIN + length], self.place.start)?;
        Ok(Block { text, place: self.place.clone() })
    }
}

/// How far a text was looked at for the ends of its rows.
struct Rows {
    at: usize,
    /// Behind the last row that ends; 0 if none does.
    end: usize,
    /// Whether `at` is inside quotes.
    quoted: bool,
}

impl Rows {
    /// Looks at what is new in a text that goes on.
    fn find(&mut self, text: &[u8], delimiter: u8) {
        while self.at < text.len() {
            let quote = memchr(b'"', &text[self.at..]).map(|index| self.at + index);
            if !self.quoted {
                let stop = quote.unwrap_or(text.len());
                if let Some(index) = memrchr2(b'\n', b'\r', &text[self.at..stop]) {
                    self.end = self.at + index + 1;
                }
            }
            let Some(quote) = quote else {
                self.at = text.len();
                return;
            };
            self.at = quote + 1;
            if !self.quoted {
                // A quote inside a cell is a letter.
                let before = text[quote - 1];
                self.quoted = before == delimiter || matches!(before, b'\n' | b'\r');
            } else if quote + 1 == text.len() {
                // Whether it closes is told by the next byte.
                self.at = quote;
                return;
            } else if text[quote + 1] == b'"' {
                self.at = quote + 2;
            } else {
                self.quoted = false;
            }
        }
    }
}
