//! What stored values stand for, and the cells that they become.

use std::borrow::Cow;

use half::f16;

use super::thrift::Struct;
use super::values::{Physical as P, Raw, SHORT};
use crate::data::table::Kind;
use crate::data::text::shortened;

/// Seconds of one.
const DAY: i64 = 86_400;
const NANOSECONDS: i64 = 1_000_000_000;
/// The Julian day of 1970-01-01.
const EPOCH: i64 = 2_440_588;

/// What a column's values stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Meaning {
    Number,
    Unsigned32,
    Unsigned64,
    Half,
    /// Whole numbers, of which one is this much.
    Decimal(f64),
    Boolean,
    Text,
    /// Days since 1970-01-01.
    Date,
    /// Parts of a second since midnight: so many a second.
    Time(i64),
    /// Parts of a second since 1970-01-01: so many a second.
    Timestamp(i64),
    /// Nanoseconds of a day, and the Julian day.
    Julian,
}

/// A cell that is not missing.
#[derive(Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// Of a date the seconds since the start of 1970.
    Number(f64),
    Word(Cow<'a, str>),
}

impl Meaning {
    /// What a column's values stand for, by the element of its schema; or what they are, if it is
    /// nothing that a table has.
    pub(super) fn new(element: &Struct<'_>, physical: P) -> Result<Meaning, String> {
        let logical = element.structure(10).and_then(|union| {
            let variant = union.variant()?;
            Some((variant, union.structure(variant)?))
        });
        let found = match logical {
            Some((variant, detail)) => by_logical_type(variant, detail),
            None => by_converted_type(element.int(6)),
        };
        let scale = element.int(7).unwrap_or(0);
        let meaning = match (found, physical) {
            (None, _) => None,
            (Some(Meaning::Decimal(_)), P::Int32 | P::Int64 | P::Bytes | P::Fixed(..=16)) => {
                let scale = i32::try_from(scale).ok().filter(|scale| (0..=38).contains(scale));
                scale.map(|scale| Meaning::Decimal(10f64.powi(scale)))
            }
            (Some(Meaning::Number), P::Boolean) => Some(Meaning::Boolean),
            (Some(Meaning::Number), P::Bytes) => Some(Meaning::Text),
            (Some(Meaning::Number), P::Int96) => Some(Meaning::Julian),
            (Some(Meaning::Number), P::Fixed(_)) => None,
            (found, P::Boolean | P::Float | P::Double | P::Int96)
                if found != Some(Meaning::Number) =>
            {
                None
            }
            (Some(Meaning::Text), P::Bytes) => found,
            (Some(Meaning::Half), P::Fixed(2)) => found,
            (Some(Meaning::Text | Meaning::Half | Meaning::Decimal(_)), _) => None,
            (Some(Meaning::Date), P::Int64) => None,
            (found, P::Int32 | P::Int64) => found,
            (Some(Meaning::Number), P::Float | P::Double) => found,
            _ => None,
        };
        meaning.ok_or_else(|| match logical {
            Some((variant, _)) => format!("{physical:?} of the logical type {variant}"),
            None => format!("{physical:?} of the converted type {:?}", element.int(6)),
        })
    }

    /// What cells are.
    pub(super) fn kind(self) -> Kind {
        use Meaning as M;
        match self {
            M::Number | M::Unsigned32 | M::Unsigned64 | M::Half | M::Decimal(_) => Kind::Number,
            M::Date | M::Timestamp(_) | M::Julian => Kind::Date,
            M::Boolean | M::Text | M::Time(_) => Kind::Category,
        }
    }

    /// The cell of a value; nothing for a NaN and for empty text.
    pub(super) fn cell<'a>(self, raw: Raw<'a>) -> Result<Option<Cell<'a>>, String> {
        let moment = |day, second, part| Some(Cell::Number(moment(day, second, part)));
        Ok(match (self, raw) {
            (Meaning::Number, Raw::Float(x)) => (!x.is_nan()).then_some(Cell::Number(x)),
            (Meaning::Number, Raw::Int(x)) => Some(Cell::Number(x as f64)),
            (Meaning::Unsigned32, Raw::Int(x)) => Some(Cell::Number(f64::from(x as u32))),
            (Meaning::Unsigned64, Raw::Int(x)) => Some(Cell::Number(x.cast_unsigned() as f64)),
            (Meaning::Decimal(one), Raw::Int(x)) => Some(Cell::Number(x as f64 / one)),
            (Meaning::Decimal(one), Raw::Bytes(bytes)) => {
                Some(Cell::Number(big_endian(bytes)? as f64 / one))
            }
            (Meaning::Half, Raw::Bytes(&[low, high])) => {
                let x = f16::from_le_bytes([low, high]).to_f64();
                (!x.is_nan()).then_some(Cell::Number(x))
            }
            (Meaning::Boolean, Raw::Int(x)) => {
                Some(Cell::Word(if x == 0 { "false" } else { "true" }.into()))
            }
            (Meaning::Text, Raw::Bytes(bytes)) => {
                let text = std::str::from_utf8(bytes).map_err(|_| {
                    let text = String::from_utf8_lossy(bytes);
                    format!("`{}` is not UTF-8 text", shortened(&text))
                })?;
                let text = text.trim();
                (!text.is_empty()).then_some(Cell::Word(text.into()))
            }
            (Meaning::Date, Raw::Int(days)) => moment(days, 0, 0),
            (Meaning::Time(a_second), Raw::Int(time)) => {
                let text = clock(time.div_euclid(a_second), nanoseconds(time, a_second));
                Some(Cell::Word(text.into()))
            }
            (Meaning::Timestamp(a_second), Raw::Int(time)) => {
                moment(0, time.div_euclid(a_second), nanoseconds(time, a_second))
            }
            (Meaning::Julian, Raw::Bytes(bytes)) => {
                let (time, day) = bytes.split_first_chunk().ok_or(SHORT)?;
                let day = day.first_chunk().ok_or(SHORT)?;
                let time = i64::from_le_bytes(*time);
                let days = i64::from(u32::from_le_bytes(*day)) - EPOCH;
                let (seconds, rest) = (time.div_euclid(NANOSECONDS), time.rem_euclid(NANOSECONDS));
                moment(days, seconds, rest)
            }
            _ => return Err(SHORT.into()),
        })
    }
}

/// By the number of a member of the union `LogicalType`.
fn by_logical_type(variant: i16, detail: &Struct<'_>) -> Option<Meaning> {
    let unit = || {
        let unit = detail.structure(2)?.variant()?;
        let place = usize::try_from(unit).ok()?.checked_sub(1)?;
        [1000, 1_000_000, NANOSECONDS].get(place).copied()
    };
    match variant {
        1 | 4 | 12 => Some(Meaning::Text),
        5 => Some(Meaning::Decimal(1.0)),
        6 => Some(Meaning::Date),
        7 => unit().map(Meaning::Time),
        8 => unit().map(Meaning::Timestamp),
        10 => Some(match (detail.bool(2), detail.int(1)) {
            (Some(false), Some(64)) => Meaning::Unsigned64,
            (Some(false), _) => Meaning::Unsigned32,
            _ => Meaning::Number,
        }),
        // Of a column that is all missing.
        11 => Some(Meaning::Number),
        15 => Some(Meaning::Half),
        _ => None,
    }
}

/// By the number of a `ConvertedType`, which older writers have.
fn by_converted_type(converted: Option<i64>) -> Option<Meaning> {
    match converted {
        None | Some(15..=18) => Some(Meaning::Number),
        Some(0 | 4 | 19) => Some(Meaning::Text),
        Some(5) => Some(Meaning::Decimal(1.0)),
        Some(6) => Some(Meaning::Date),
        Some(7) => Some(Meaning::Time(1000)),
        Some(8) => Some(Meaning::Time(1_000_000)),
        Some(9) => Some(Meaning::Timestamp(1000)),
        Some(10) => Some(Meaning::Timestamp(1_000_000)),
        Some(11..=13) => Some(Meaning::Unsigned32),
        Some(14) => Some(Meaning::Unsigned64),
        Some(_) => None,
    }
}

/// A whole number of at most 16 bytes, the highest first.
fn big_endian(bytes: &[u8]) -> Result<i128, String> {
    if bytes.len() > 16 {
        return Err(format!("a decimal number of {} bytes, more than 16", bytes.len()));
    }
    let sign = bytes.first().map_or(0, |&byte| i128::from(byte.cast_signed() >> 7));
    Ok(bytes.iter().fold(sign, |number, &byte| number << 8 | i128::from(byte)))
}

/// What is left of a time behind its whole seconds.
fn nanoseconds(time: i64, a_second: i64) -> i64 {
    time.rem_euclid(a_second) * (NANOSECONDS / a_second)
}

/// 23:59:59, and a fraction of the second if there is one.
fn clock(seconds: i64, nanoseconds: i64) -> String {
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = format!("{hour:02}:{minute:02}:{second:02}");
    match nanoseconds {
        0 => text,
        rest => text + "." + format!("{rest:09}").trim_end_matches('0'),
    }
}

/// Seconds since the start of 1970, rounded as those of a date that is written are.
fn moment(days: i64, seconds: i64, nanoseconds: i64) -> f64 {
    let (days, seconds) = (days + seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let second = seconds as f64 + nanoseconds as f64 / NANOSECONDS as f64;
    days as f64 * DAY as f64 + second
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::date::Written;

    #[test]
    fn moments_are_those_of_their_texts() {
        let number = |meaning: Meaning, x| match meaning.cell(Raw::Int(x)).unwrap().unwrap() {
            Cell::Number(x) => x,
            Cell::Word(word) => panic!("{word}"),
        };
        let parts = NANOSECONDS;
        for (meaning, x, text) in [
            (Meaning::Date, 0, "1970-01-01"),
            (Meaning::Date, -1, "1969-12-31"),
            (Meaning::Date, 11_016, "2000-02-29"),
            (Meaning::Date, -719_528, "0000-01-01"),
            (Meaning::Timestamp(1000), -1, "1969-12-31T23:59:59.999Z"),
            (Meaning::Timestamp(1000), 951_782_400_003, "2000-02-29T00:00:00.003Z"),
            (Meaning::Timestamp(parts), 1, "1970-01-01T00:00:00.000000001"),
            (Meaning::Timestamp(parts), 1_700_000_000_123_456_789, "2023-11-14T22:13:20.123456789"),
        ] {
            assert_eq!(number(meaning, x), Written::read(text).unwrap().seconds, "{text}");
        }
        // No time is too far away.
        for x in [i64::MIN, i64::MAX] {
            assert!(number(Meaning::Timestamp(1000), x).is_finite());
            assert!(matches!(Meaning::Time(1000).cell(Raw::Int(x)), Ok(Some(Cell::Word(_)))));
        }
        let mut julian = [0; 12];
        julian[..8].copy_from_slice(&(3600 * NANOSECONDS).to_le_bytes());
        julian[8..].copy_from_slice(&2_440_589u32.to_le_bytes());
        let cell = Meaning::Julian.cell(Raw::Bytes(&julian)).unwrap();
        assert_eq!(cell, Some(Cell::Number(90_000.0)));
    }

    #[test]
    fn times_of_day_are_iso_text() {
        let cell = Meaning::Time(1_000_000).cell(Raw::Int(86_399_500_000)).unwrap();
        assert_eq!(cell, Some(Cell::Word("23:59:59.5".into())));
    }

    #[test]
    fn decimals_have_a_sign() {
        let number = |bytes| match Meaning::Decimal(100.0).cell(Raw::Bytes(bytes)) {
            Ok(Some(Cell::Number(x))) => x,
            other => panic!("{other:?}"),
        };
        assert_eq!(number(&[0xff, 0x85]), -1.23);
        assert_eq!(number(&[0, 123]), 1.23);
        assert_eq!(number(&[]), 0.0);
        assert!(Meaning::Decimal(1.0).cell(Raw::Bytes(&[1; 17])).is_err());
    }
}
