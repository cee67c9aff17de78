//! Values of a page by their encoding: the bytes as numbers and pieces of text.
//!
//! Source: "Parquet encoding definitions", parquet-format/Encodings.md.

use super::packed::{deltas, hybrid};

/// How values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    Boolean,
    Int32,
    Int64,
    /// Nanoseconds of a day, then the Julian day.
    Int96,
    Float,
    Double,
    Bytes,
    /// So many bytes each.
    Fixed(usize),
}

/// A value as it is stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Raw<'a> {
    Int(i64),
    Float(f64),
    Bytes(&'a [u8]),
}

/// Encodings of values, by the format's numbers; those of a dictionary are read elsewhere.
pub(super) mod encoding {
    pub(crate) const PLAIN: i64 = 0;
    pub(crate) const PLAIN_DICTIONARY: i64 = 2;
    pub(crate) const RLE: i64 = 3;
    pub(crate) const DELTA_BINARY_PACKED: i64 = 5;
    pub(crate) const DELTA_LENGTH_BYTE_ARRAY: i64 = 6;
    pub(crate) const DELTA_BYTE_ARRAY: i64 = 7;
    pub(crate) const RLE_DICTIONARY: i64 = 8;
    pub(crate) const BYTE_STREAM_SPLIT: i64 = 9;
}

/// What a page says when its bytes are not what its header promises.
pub(super) const SHORT: &str = "its values are truncated or damaged";

/// Gives `each` the `count` values of some bytes. `spend` is asked before text is put together from
/// its parts, with the bytes that it takes.
pub(super) fn values(
    physical: Physical,
    encoding: i64,
    bytes: &[u8],
    count: usize,
    spend: &dyn Fn(usize) -> Result<(), String>,
    each: &mut dyn FnMut(Raw<'_>) -> Result<(), String>,
) -> Result<(), String> {
    match (encoding, physical) {
        (encoding::PLAIN, _) => plain(physical, bytes, count, each),
        (encoding::RLE, Physical::Boolean) => {
            let bits = bytes.get(4..).and_then(|bits| hybrid(bits, 1, count)).ok_or(SHORT)?;
            bits.into_iter().try_for_each(|bit| each(Raw::Int(bit.into())))
        }
        (encoding::DELTA_BINARY_PACKED, Physical::Int32 | Physical::Int64) => {
            let (numbers, _) = deltas(bytes, count).ok_or(SHORT)?;
            let narrow = physical == Physical::Int32;
            // Differences of 32-bit numbers wrap at 32 bits.
            let number = |x: i64| if narrow { i64::from(x as i32) } else { x };
            numbers.into_iter().try_for_each(|x| each(Raw::Int(number(x))))
        }
        (encoding::DELTA_LENGTH_BYTE_ARRAY, Physical::Bytes) => {
            lengths(bytes, count, &mut |piece| each(Raw::Bytes(piece)))
        }
        (encoding::DELTA_BYTE_ARRAY, Physical::Bytes | Physical::Fixed(_)) => {
            prefixes(physical, bytes, count, spend, each)
        }
        (encoding::BYTE_STREAM_SPLIT, _) => {
            let size = size(physical).ok_or_else(|| unknown(encoding))?;
            let bytes = bytes.get(..count * size).ok_or(SHORT)?;
            let whole: Vec<u8> =
                (0..count * size).map(|at| bytes[at % size * count + at / size]).collect();
            plain(physical, &whole, count, each)
        }
        _ => Err(unknown(encoding)),
    }
}

fn unknown(encoding: i64) -> String {
    format!("its encoding {encoding} is not known for its type")
}

/// Bytes of each value, where all have the same.
fn size(physical: Physical) -> Option<usize> {
    match physical {
        Physical::Int32 | Physical::Float => Some(4),
        Physical::Int64 | Physical::Double => Some(8),
        Physical::Int96 => Some(12),
        Physical::Fixed(size) => Some(size),
        Physical::Boolean | Physical::Bytes => None,
    }
}

fn plain(
    physical: Physical,
    mut bytes: &[u8],
    count: usize,
    each: &mut dyn FnMut(Raw<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let Some(size) = size(physical) else {
        if physical == Physical::Boolean {
            let bits = bytes.get(..count.div_ceil(8)).ok_or(SHORT)?;
            return (0..count)
                .try_for_each(|i| each(Raw::Int((bits[i / 8] >> (i % 8) & 1).into())));
        }
        for _ in 0..count {
            let (length, rest) = bytes.split_first_chunk().ok_or(SHORT)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| SHORT)?;
            let (piece, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
            each(Raw::Bytes(piece))?;
            bytes = rest;
        }
        return Ok(());
    };
    let bytes = bytes.get(..count * size).ok_or(SHORT)?;
    match physical {
        Physical::Int32 => numbers(bytes, |x| Raw::Int(i32::from_le_bytes(x).into()), each),
        Physical::Int64 => numbers(bytes, |x| Raw::Int(i64::from_le_bytes(x)), each),
        Physical::Float => numbers(bytes, |x| Raw::Float(f32::from_le_bytes(x).into()), each),
        Physical::Double => numbers(bytes, |x| Raw::Float(f64::from_le_bytes(x)), each),
        _ => bytes.chunks_exact(size).try_for_each(|piece| each(Raw::Bytes(piece))),
    }
}

fn numbers<const N: usize>(
    bytes: &[u8],
    raw: impl Fn([u8; N]) -> Raw<'static>,
    each: &mut dyn FnMut(Raw<'_>) -> Result<(), String>,
) -> Result<(), String> {
    bytes.as_chunks::<N>().0.iter().try_for_each(|bytes| each(raw(*bytes)))
}

/// Pieces of text behind the list of their lengths.
fn lengths(
    bytes: &[u8],
    count: usize,
    each: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let (lengths, used) = deltas(bytes, count).ok_or(SHORT)?;
    let mut bytes = &bytes[used..];
    for length in lengths {
        let length = usize::try_from(length).map_err(|_| SHORT)?;
        let (piece, rest) = bytes.split_at_checked(length).ok_or(SHORT)?;
        each(piece)?;
        bytes = rest;
    }
    Ok(())
}

/// Pieces that begin as the one before them did, for so many bytes.
fn prefixes(
    physical: Physical,
    bytes: &[u8],
    count: usize,
    spend: &dyn Fn(usize) -> Result<(), String>,
    each: &mut dyn FnMut(Raw<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let (shared, used) = deltas(bytes, count).ok_or(SHORT)?;
    let (mut piece, mut shared) = (Vec::new(), shared.into_iter());
    lengths(&bytes[used..], count, &mut |rest| {
        let shared = shared.next().and_then(|x| usize::try_from(x).ok()).ok_or(SHORT)?;
        if shared > piece.len() {
            return Err(SHORT.into());
        }
        piece.truncate(shared);
        spend(shared + rest.len())?;
        piece.extend_from_slice(rest);
        match physical {
            Physical::Fixed(size) if piece.len() != size => Err(SHORT.into()),
            _ => each(Raw::Bytes(&piece)),
        }
    })
}
