//! Integers in few bits: the run-length hybrid of levels and dictionary indices, and deltas.
//!
//! Source: "Parquet encoding definitions", parquet-format/Encodings.md.

use super::thrift::{varint, zigzag};

/// Values of a delta block at most; writers use 128.
const MAX_BLOCK: u64 = 1 << 16;

/// Numbers of some bits each, the lowest bit first.
struct Bits<'a> {
    bytes: &'a [u8],
    /// The bit that is next.
    at: usize,
}

impl Bits<'_> {
    /// The next number of at most 64 bits.
    fn take(&mut self, width: u32) -> Option<u64> {
        let end = self.at + width as usize;
        if end > self.bytes.len() * 8 {
            return None;
        }
        let first = self.at / 8;
        let mut window = [0; 16];
        let near = &self.bytes[first..self.bytes.len().min(first + 16)];
        window[..near.len()].copy_from_slice(near);
        let bits = (u128::from_le_bytes(window) >> (self.at % 8)) as u64;
        self.at = end;
        Some(if width == 64 { bits } else { bits & ((1 << width) - 1) })
    }
}

/// `count` numbers of `width` bits, at most 32: runs of one number, and groups of eight.
pub(super) fn hybrid(mut bytes: &[u8], width: u32, count: usize) -> Option<Vec<u32>> {
    let mut numbers = Vec::with_capacity(count);
    while numbers.len() < count {
        let (head, length) = varint(bytes)?;
        bytes = &bytes[length..];
        let left = count - numbers.len();
        let run = usize::try_from(head >> 1).ok()?;
        if head & 1 == 0 {
            let (value, rest) = bytes.split_at_checked(width.div_ceil(8) as usize)?;
            let mut whole = [0; 4];
            whole[..value.len()].copy_from_slice(value);
            if run == 0 {
                return None;
            }
            numbers.resize(count.min(numbers.len().saturating_add(run)), u32::from_le_bytes(whole));
            bytes = rest;
        } else {
            // The last group of a page may be cut to the bytes that its numbers need.
            let length = run.saturating_mul(width as usize).min(bytes.len());
            let (groups, rest) = bytes.split_at(length);
            let mut bits = Bits { bytes: groups, at: 0 };
            let here = left.min(run.saturating_mul(8));
            if here == 0 {
                return None;
            }
            for _ in 0..here {
                numbers.push(bits.take(width)? as u32);
            }
            bytes = rest;
        }
    }
    Some(numbers)
}

/// `count` numbers as differences in blocks, and how many bytes they take.
pub(super) fn deltas(bytes: &[u8], count: usize) -> Option<(Vec<i64>, usize)> {
    let mut left = bytes;
    let mut next = || {
        let (number, length) = varint(left)?;
        left = &left[length..];
        Some(number)
    };
    let (block, parts, total, first) = (next()?, next()?, next()?, next()?);
    let whole = parts > 0 && block % parts == 0 && block / parts % 8 == 0;
    if !whole || block == 0 || block > MAX_BLOCK || total != count as u64 {
        return None;
    }
    let (part, parts) = ((block / parts) as usize, parts as usize);
    let mut numbers = Vec::with_capacity(count);
    let mut value = zigzag(first);
    if count > 0 {
        numbers.push(value);
    }
    while numbers.len() < count {
        let (least, length) = varint(left)?;
        let (widths, rest) = left[length..].split_at_checked(parts)?;
        left = rest;
        for &width in widths {
            // Parts behind the last number are not written.
            if numbers.len() == count {
                break;
            }
            if width > 64 {
                return None;
            }
            let (packed, rest) = left.split_at_checked(part / 8 * usize::from(width))?;
            let mut bits = Bits { bytes: packed, at: 0 };
            for _ in 0..part.min(count - numbers.len()) {
                let delta = bits.take(u32::from(width))?.cast_signed();
                value = value.wrapping_add(zigzag(least)).wrapping_add(delta);
                numbers.push(value);
            }
            left = rest;
        }
    }
    Some((numbers, bytes.len() - left.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_groups_follow_the_format() {
        // The format's own example: 0 to 7 in three bits; then a run of seven fives.
        let bytes = [0x03, 0x88, 0xc6, 0xfa, 0x0e, 5];
        let numbers = hybrid(&bytes, 3, 15).unwrap();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 5, 5, 5, 5, 5, 5, 5]);
        assert_eq!(hybrid(&bytes, 3, 9).unwrap(), numbers[..9]);
        assert_eq!(hybrid(&bytes, 3, 16), None);
        // Numbers without bits are zeros; a run of none would never end.
        assert_eq!(hybrid(&[0x08], 0, 4).unwrap(), [0; 4]);
        assert_eq!(hybrid(&[0, 0, 0], 1, 4), None);
    }

    #[test]
    fn deltas_follow_the_format() {
        // The format's own examples: 1 to 5, and 7 5 3 1 2 3 4 5, here in blocks of 8.
        let head = |count: u8, first: u8| vec![8, 1, count, first];
        let mut bytes = head(5, 2);
        bytes.extend([2, 0, 99]);
        assert_eq!(deltas(&bytes, 5).unwrap(), (vec![1, 2, 3, 4, 5], 6));
        let mut bytes = head(8, 14);
        bytes.extend([3, 2, 0b1100_0000, 0b0011_1111]);
        assert_eq!(deltas(&bytes, 8).unwrap(), (vec![7, 5, 3, 1, 2, 3, 4, 5], 8));
        assert_eq!(deltas(&bytes, 7), None);
        assert_eq!(deltas(&bytes[..7], 8), None);
        // The smallest after the largest: differences wrap.
        let extremes =
            [&[8, 1, 2][..], &[0xfe, 255, 255, 255, 255, 255, 255, 255, 255, 1], &[2, 0]];
        assert_eq!(deltas(&extremes.concat(), 2).unwrap().0, [i64::MAX, i64::MIN]);
    }
}
