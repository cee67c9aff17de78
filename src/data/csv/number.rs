//! Plain decimal numbers, read eight digits at a time.
//!
//! Digits are told apart and added up inside a word. Numbers with a point are rounded by one product
//! with a reciprocal of 64 bits, where its error cannot change the result, as in D. Lemire, "Number
//! parsing at a gigabyte per second" (2021).

/// Bytes that stand before and after a text of cells, none of them a digit or a point.
pub(super) const MARGIN: usize = 40;
/// Bytes that are looked at behind the sign: three words, and a point.
const WINDOW: usize = 3 * 8 + 1;
/// Most digits: so many fit 64 bits.
const DIGITS: usize = 19;
const ZEROS: u64 = 0x3030_3030_3030_3030;

/// Powers of ten that 64 bits hold.
const POWERS: [u64; DIGITS + 1] = {
    let mut powers = [1; DIGITS + 1];
    let mut index = 1;
    while index <= DIGITS {
        powers[index] = 10 * powers[index - 1];
        index += 1;
    }
    powers
};

/// Of each of them the first 64 bits of the reciprocal, rounded down, and the exponent of their last
/// bit, as `f64` has it, plus 65.
const RECIPROCALS: [(u64, u64); DIGITS + 1] = {
    let mut reciprocals = [(0, 0); DIGITS + 1];
    let mut index = 1;
    while index <= DIGITS {
        let bits = u64::BITS - POWERS[index].leading_zeros();
        let reciprocal = (1 << (63 + bits)) / POWERS[index] as u128;
        reciprocals[index] = (reciprocal as u64, 1023 + 2 - bits as u64);
        index += 1;
    }
    reciprocals
};

/// The number at a place of a text and where it ends, if it is written plainly: perhaps a minus,
/// digits, and perhaps a point and more digits; at most seven before a point and 19 in all. `None`
/// for all that is written otherwise, and for some in a thousand that need more care.
///
/// The text has a [`MARGIN`] behind the place.
#[inline(always)]
pub(super) fn plain(text: &[u8], at: usize) -> Option<(f64, usize)> {
    let negative = text[at] == b'-';
    let at = at + usize::from(negative);
    let window: &[u8; WINDOW] = text[at..].first_chunk()?;
    let first = values::<0>(window);
    let whole = length(first);
    let (number, end) = if whole < 8 && window[whole] != b'.' {
        (leading(first, whole).cast_signed() as f64, whole)
    } else if whole == 8 {
        let (digits, end) = digits([first, values::<8>(window), values::<16>(window)])?;
        if window[end] == b'.' {
            return None;
        }
        (digits as f64, end)
    } else {
        // The digits without the point between them.
        let before = (1 << (8 * whole)) - 1;
        let first = first & before | values::<1>(window) & !before;
        let (digits, count) = digits([first, values::<9>(window), values::<17>(window)])?;
        if whole == 0 || count <= whole {
            return None;
        }
        (quotient(digits, count - whole)?, count + 1)
    };
    let sign = u64::from(negative) << 63;
    (end > 0).then_some((f64::from_bits(number.to_bits() | sign), at + end))
}

/// The values of the eight digits at a place, the first the lowest byte.
#[inline(always)]
fn values<const AT: usize>(window: &[u8; WINDOW]) -> u64 {
    let bytes = window[AT..].first_chunk().expect("invariant: the last word begins at 17");
    u64::from_le_bytes(*bytes) ^ ZEROS
}

/// A bit in each of eight values that is not that of a digit.
#[inline(always)]
fn others(values: u64) -> u64 {
    // Above 9 the sum reaches the highest bit of its byte.
    let sums = (values & 0x7f7f_7f7f_7f7f_7f7f) + 0x7676_7676_7676_7676;
    (sums | values) & 0x8080_8080_8080_8080
}

/// How many of eight values are those of digits, up to the first that is none.
#[inline(always)]
fn length(values: u64) -> usize {
    others(values).trailing_zeros() as usize / 8
}

/// The number of the digits at the start of three words, and how many there are; `None` if there are
/// too many.
#[inline(always)]
fn digits(words: [u64; 3]) -> Option<(u64, usize)> {
    if others(words[0]) != 0 {
        let count = length(words[0]);
        return Some((leading(words[0], count), count));
    }
    if others(words[1]) != 0 {
        let count = length(words[1]);
        return Some((eight(words[0]) * POWERS[count] + leading(words[1], count), 8 + count));
    }
    let count = length(words[2]);
    if count > DIGITS - 16 {
        return None;
    }
    let digits = eight(words[0]) * POWERS[8] + eight(words[1]);
    Some((digits * POWERS[count] + leading(words[2], count), 16 + count))
}

/// The number of the first of eight digits, so many.
#[inline(always)]
fn leading(values: u64, digits: usize) -> u64 {
    // In two steps, as a shift by all 64 bits is none.
    let half = 32 - 4 * digits as u32;
    eight(values << half << half)
}

/// The number of eight digits.
#[inline(always)]
fn eight(values: u64) -> u64 {
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let left = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(100 + (1_000_000 << 32));
    let right = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(1 + (10_000 << 32));
    left.wrapping_add(right) >> 32
}

/// The nearest number to digits / 10^power, `None` where two are too close to tell.
#[inline(always)]
fn quotient(digits: u64, power: usize) -> Option<f64> {
    if digits == 0 {
        return Some(0.0);
    }
    let (reciprocal, exponent) = RECIPROCALS[power];
    let shift = digits.leading_zeros();
    let product = u128::from(digits << shift) * u128::from(reciprocal);
    // The quotient, in units of 2^65, is at least this and less than 1.5 more. What rounds alike at
    // both ends rounds alike between.
    let least = (product >> 65) as i64;
    let (number, most) = (least as f64, (least + 2) as f64);
    let unit = f64::from_bits((exponent - u64::from(shift)) << 52);
    (number == most).then_some(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read of a text, and how many bytes of it.
    fn read(text: &str) -> Option<(f64, usize)> {
        let margin = [b'\n'; MARGIN];
        let padded = [&margin, text.as_bytes(), &margin].concat();
        plain(&padded, MARGIN).map(|(number, end)| (number, end - MARGIN))
    }

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        let mut random = Random(7);
        let (mut plain, mut left) = (0, 0);
        for _ in 0..200_000 {
            let mut digits = (random.next() >> (random.next() % 64)).to_string();
            digits.truncate(19);
            let point = (random.next() % 8) as usize;
            let text = match random.next() % 4 {
                0 => digits,
                _ if point < 1 || point >= digits.len() => format!("0.{digits:.18}"),
                1 => format!("-{}.{}", &digits[..point], &digits[point..]),
                _ => format!("{}.{}", &digits[..point], &digits[point..]),
            };
            match read(&text) {
                Some((number, end)) => {
                    let expected: f64 = text.parse().unwrap();
                    assert_eq!((number.to_bits(), end), (expected.to_bits(), text.len()), "{text}");
                    plain += 1;
                }
                None => left += 1,
            }
        }
        assert!(left * 200 < plain, "{left} numbers of {plain} are left to the library");
    }

    #[test]
    fn shortest_texts_of_numbers_are_read_back() {
        let (mut random, mut plain) = (Random(3), 0);
        for _ in 0..200_000 {
            let unit = (random.next() >> 11) as f64 / (1u64 << 53) as f64;
            let number = (unit - 0.5) * 10f64.powi((random.next() % 8) as i32);
            let text = number.to_string();
            let read = read(&text);
            plain += u32::from(read.is_some());
            assert!(read.is_none_or(|read| read == (number, text.len())), "{text}: {read:?}");
        }
        assert!(plain > 198_000, "{plain}");
    }

    #[test]
    fn halves_between_two_numbers_are_left_to_the_library() {
        for text in ["9007199254740993.0", "4503599627370497.5", "0.5", "0.25", "1.0", "0.1"] {
            let expected: f64 = text.parse().unwrap();
            assert!(read(text).is_none_or(|(number, _)| number == expected), "{text}");
        }
        assert_eq!(read("9007199254740993"), Some((9007199254740992.0, 16)));
        assert_eq!(read("-0").map(|(zero, _)| zero.to_bits()), Some((-0f64).to_bits()));
        assert_eq!(read("0.000").map(|(zero, end)| (zero.to_bits(), end)), Some((0, 5)));
    }

    #[test]
    fn what_is_not_plain_is_told_by_its_end_or_left() {
        for text in [
            "",
            "-",
            ".",
            "5.",
            ".5",
            "+1",
            "x",
            "-.5",
            "12345678.5",
            "123456789.5",
            "12345678901234567890",
            "1.1234567890123456789",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read("12e5"), Some((12.0, 2)));
        assert_eq!(read("1.5.5"), Some((1.5, 3)));
        assert_eq!(read("-3,x"), Some((-3.0, 2)));
        assert_eq!(read("1:"), Some((1.0, 1)), "the byte behind 9");
        assert_eq!(read("1/"), Some((1.0, 1)), "the byte before 0");
        assert_eq!(read("1\u{e9}"), Some((1.0, 1)));
    }
}
