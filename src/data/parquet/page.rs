//! Pages of a column: their headers, and their bytes decompressed. Neither is believed beyond what
//! the file can hold.

use std::borrow::Cow;
use std::io::Read;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::thrift::Struct;
use super::values::SHORT;

/// A file may unfold to so many times its length: what gzip can reach.
const EXPANSION: u64 = 1032;
/// And to so much more, for short files of long runs.
const ALWAYS: u64 = 32 << 20;
/// Longest header of a page.
const HEADER: usize = 1 << 20;
/// What is said of a header that is not one.
const DAMAGED: &str = "the header of a page is damaged";
/// How far zstd may look back, unless its page is longer.
const WINDOW: usize = 8 << 20;

/// Bytes that a file may still unfold to: its pages, and the cells that come of them.
pub(super) struct Budget {
    left: AtomicU64,
    most: u64,
    exceeded: AtomicBool,
}

impl Budget {
    /// For a file of this length.
    pub(super) fn new(length: u64) -> Budget {
        let most = length.saturating_mul(EXPANSION).saturating_add(ALWAYS);
        Budget { left: AtomicU64::new(most), most, exceeded: AtomicBool::new(false) }
    }

    /// Takes so many bytes, or refuses to.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), String> {
        let take = |left: u64| left.checked_sub(bytes as u64);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => {
                self.exceeded.store(true, Ordering::Relaxed);
                Err(format!(
                    "the file unfolds to more than {} bytes, {EXPANSION} times its length and \
                     32 MiB, and is taken for a decompression bomb",
                    self.most
                ))
            }
        }
    }

    /// Whether anything was refused.
    pub(super) fn is_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }
}

/// How pages are compressed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Codec {
    None,
    Snappy,
    Gzip,
    Zstd,
    Lz4,
}

impl Codec {
    pub(super) fn new(number: Option<i64>) -> Result<Codec, String> {
        let other = match number {
            Some(0) => return Ok(Codec::None),
            Some(1) => return Ok(Codec::Snappy),
            Some(2) => return Ok(Codec::Gzip),
            Some(6) => return Ok(Codec::Zstd),
            Some(7) => return Ok(Codec::Lz4),
            Some(3) => "LZO",
            Some(4) => "Brotli",
            Some(5) => "the old form of LZ4",
            _ => "an unknown codec",
        };
        Err(format!("a column is compressed with {other}; write it with snappy, gzip, zstd or LZ4"))
    }

    /// The `size` bytes that these stand for.
    fn open<'a>(self, bytes: &'a [u8], size: usize) -> Option<Cow<'a, [u8]>> {
        let out = match self {
            Codec::None => return (bytes.len() == size).then_some(bytes.into()),
            Codec::Snappy => {
                let told = snap::raw::decompress_len(bytes).ok().filter(|&told| told == size);
                let mut out = vec![0; told?];
                snap::raw::Decoder::new().decompress(bytes, &mut out).ok()?;
                out
            }
            Codec::Gzip => unfold(MultiGzDecoder::new(bytes), size)?,
            Codec::Zstd => {
                let most = WINDOW.max(size) as u64;
                unfold(StreamingDecoder::new_with_max_window_size(bytes, most).ok()?, size)?
            }
            Codec::Lz4 => lz4_flex::block::decompress(bytes, size).ok()?,
        };
        (out.len() == size).then_some(out.into())
    }
}

fn unfold(reader: impl Read, size: usize) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(size);
    reader.take(size as u64 + 1).read_to_end(&mut out).ok()?;
    Some(out)
}

/// A page of values, decompressed.
pub(super) struct Page<'a> {
    /// Of different values, that other pages number.
    pub(super) dictionary: bool,
    /// Values, or rows with those that are missing.
    pub(super) count: usize,
    pub(super) encoding: i64,
    body: Cow<'a, [u8]>,
    levels: Range<usize>,
    values: Range<usize>,
}

impl Page<'_> {
    /// Which rows have a value, in the hybrid coding; of a column that may have missing cells.
    pub(super) fn levels(&self) -> &[u8] {
        &self.body[self.levels.clone()]
    }

    /// The values, in the page's encoding.
    pub(super) fn values(&self) -> &[u8] {
        &self.body[self.values.clone()]
    }
}

/// The pages of a chunk, in their order.
pub(super) struct Pages<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) codec: Codec,
    pub(super) optional: bool,
    pub(super) budget: &'a Budget,
}

impl<'a> Pages<'a> {
    /// The next page, nothing at the end of the chunk.
    pub(super) fn next(&mut self) -> Result<Option<Page<'a>>, String> {
        while self.at < self.bytes.len() {
            let near = self.bytes.len().min(self.at + HEADER);
            let (header, length) = Struct::read(&self.bytes[self.at..near]).ok_or(DAMAGED)?;
            let (size, stored) = (header.size(2).ok_or(DAMAGED)?, header.size(3).ok_or(DAMAGED)?);
            let start = self.at + length;
            let end = start.checked_add(stored).filter(|&end| end <= self.bytes.len());
            let end = end.ok_or_else(|| {
                format!("a page should have {stored} bytes, more than its column has left")
            })?;
            self.at = end;
            let stored = &self.bytes[start..end];
            return match header.int(1) {
                Some(0) => self.data(header.structure(5).ok_or(DAMAGED)?, stored, size).map(Some),
                Some(2) => {
                    let own = header.structure(7).ok_or(DAMAGED)?;
                    let (count, encoding) = counted(own, 2).ok_or(DAMAGED)?;
                    let body = self.open(&[], stored, size)?;
                    let values = 0..body.len();
                    let levels = 0..0;
                    Ok(Some(Page { dictionary: true, count, encoding, body, levels, values }))
                }
                Some(3) => {
                    self.data_v2(header.structure(8).ok_or(DAMAGED)?, stored, size).map(Some)
                }
                // Pages of other kinds hold no values.
                _ => continue,
            };
        }
        Ok(None)
    }

    fn data(&self, own: &Struct<'_>, stored: &'a [u8], size: usize) -> Result<Page<'a>, String> {
        let (count, encoding) = counted(own, 2).ok_or(DAMAGED)?;
        let body = self.open(&[], stored, size)?;
        let mut levels = 0..0;
        if self.optional {
            if own.int(3) != Some(3) {
                return Err("a page marks missing cells in a way that is not read".into());
            }
            let length = body.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize);
            let whole = length.filter(|&length| length <= body.len() - 4);
            levels = 4..4 + whole.ok_or(SHORT)?;
        }
        let values = levels.end..body.len();
        Ok(Page { dictionary: false, count, encoding, body, levels, values })
    }

    /// Its levels stand in front of the values and are not compressed.
    fn data_v2(&self, own: &Struct<'_>, stored: &'a [u8], size: usize) -> Result<Page<'a>, String> {
        let (count, encoding) = counted(own, 4).ok_or(DAMAGED)?;
        let front = own.size(5).filter(|_| own.int(6) == Some(0));
        let front = front.filter(|&front| front <= stored.len().min(size));
        let front = front.ok_or(DAMAGED)?;
        let body = match own.bool(7) {
            Some(false) => stored.into(),
            _ => self.open(&stored[..front], &stored[front..], size)?,
        };
        let (levels, values) = (0..front, front..body.len());
        Ok(Page { dictionary: false, count, encoding, body, levels, values })
    }

    /// Bytes that are there as they are, and behind them compressed ones, `size` in all.
    fn open(&self, front: &[u8], stored: &'a [u8], size: usize) -> Result<Cow<'a, [u8]>, String> {
        self.budget.spend(size)?;
        let rest = size - front.len();
        // Where all cells are missing there may be nothing to decompress.
        let opened = match rest {
            0 => Some(Cow::default()),
            _ => self.codec.open(stored, rest),
        };
        let opened = opened.ok_or_else(|| {
            let (length, codec) = (stored.len(), self.codec);
            format!(
                "a page is damaged: its {length} bytes do not unfold to {rest} (codec: {codec:?})"
            )
        })?;
        Ok(if front.is_empty() { opened } else { [front, &opened].concat().into() })
    }
}

/// How many values a page has, and their encoding, by the number of its field.
fn counted(own: &Struct<'_>, encoding: i16) -> Option<(usize, i64)> {
    Some((own.size(1).filter(|&count| u32::try_from(count).is_ok())?, own.int(encoding)?))
}
