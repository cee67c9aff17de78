//! Dates: texts into seconds, and seconds into parts of the proleptic Gregorian calendar, the one
//! of today carried back to the year 0.

use serde::{Deserialize, Serialize};

const DAY: f64 = 86_400.0;

/// Days from 0000-03-01, with which eras of 400 years begin, to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Days in 400 years.
const ERA: i64 = 146_097;

/// First second of the years 0 to 9999, and the first after them.
pub(super) const RANGE: (f64, f64) = (-62_167_219_200.0, 253_402_300_800.0);

/// A number that a date becomes; times count in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatePart {
    /// Days since 1970-01-01, with the time of day as a fraction: the trend.
    Days,
    /// The year.
    Year,
    /// The place in a cycle.
    Place(Cycle),
    /// The sine of the place as an angle: `sin(2 pi (place - first) / places)`.
    Sine(Cycle),
    /// The cosine of it.
    Cosine(Cycle),
}

/// What comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cycle {
    /// The month, from 1 to 12.
    Month,
    /// The day of the month, from 1 to 31.
    Day,
    /// The day of the week, from Monday, 0, to 6.
    Weekday,
    /// The hour, from 0 to 23.
    Hour,
}

impl DatePart {
    /// The part of a moment, told in seconds since the start of 1970.
    pub(super) fn of(self, seconds: f64) -> f64 {
        match self {
            DatePart::Days => seconds / DAY,
            DatePart::Year => civil(day_of(seconds)).0 as f64,
            DatePart::Place(cycle) => cycle.of(seconds),
            DatePart::Sine(cycle) => cycle.angle(seconds).sin(),
            DatePart::Cosine(cycle) => cycle.angle(seconds).cos(),
        }
    }

    /// The feature's name after the column's.
    pub(super) fn name(self) -> String {
        match self {
            DatePart::Days => "days".into(),
            DatePart::Year => "year".into(),
            DatePart::Place(cycle) => cycle.name().into(),
            DatePart::Sine(cycle) => format!("{} sine", cycle.name()),
            DatePart::Cosine(cycle) => format!("{} cosine", cycle.name()),
        }
    }

    /// The parts of a column of moments: hours if a moment is not midnight, and if they are asked
    /// for the sine and cosine of each cycle.
    pub(super) fn all(moments: impl IntoIterator<Item = f64>, cyclic: bool) -> Vec<DatePart> {
        let timed = moments.into_iter().any(|moment| moment.rem_euclid(DAY) != 0.0);
        let cycles = [Cycle::Month, Cycle::Day, Cycle::Weekday, Cycle::Hour];
        let mut parts = vec![DatePart::Days, DatePart::Year];
        for cycle in cycles.into_iter().filter(|&cycle| timed || cycle != Cycle::Hour) {
            parts.push(DatePart::Place(cycle));
            if cyclic {
                parts.extend([DatePart::Sine(cycle), DatePart::Cosine(cycle)]);
            }
        }
        parts
    }
}

impl Cycle {
    fn of(self, seconds: f64) -> f64 {
        let day = day_of(seconds);
        let place = match self {
            Cycle::Month => civil(day).1,
            Cycle::Day => civil(day).2,
            // The first of 1970 was a Thursday.
            Cycle::Weekday => (day + 3).rem_euclid(7),
            Cycle::Hour => (seconds.rem_euclid(DAY) / 3600.0).floor() as i64,
        };
        place as f64
    }

    fn angle(self, seconds: f64) -> f64 {
        let (first, places) = match self {
            Cycle::Month => (1.0, 12.0),
            Cycle::Day => (1.0, 31.0),
            Cycle::Weekday => (0.0, 7.0),
            Cycle::Hour => (0.0, 24.0),
        };
        std::f64::consts::TAU * (self.of(seconds) - first) / places
    }

    fn name(self) -> &'static str {
        match self {
            Cycle::Month => "month",
            Cycle::Day => "day",
            Cycle::Weekday => "weekday",
            Cycle::Hour => "hour",
        }
    }
}

/// How the day is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `2024-03-01`.
    Iso,
    /// `2024/3/1`.
    Slashes,
    /// `1.3.2024`, the day first.
    Dots,
}

/// A date as it is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Written {
    pub(super) style: Style,
    /// Since the start of 1970, in UTC.
    pub(super) seconds: f64,
    /// Whether no other order of the parts is a date: the day is above 12.
    pub(super) certain: bool,
}

impl Written {
    /// Reads `2024-03-01`, `2024/3/1` or `1.3.2024`, and after it perhaps a time as ISO 8601 has
    /// it, the zone being UTC unless it is told: `2024-03-01T12:30`, `2024-03-01 12:30:15.5+02:00`.
    pub(super) fn read(text: &str) -> Option<Written> {
        // Most words end here.
        let first = text.find(|c: char| !c.is_ascii_digit())?;
        let end = text.find(['T', ' ']).unwrap_or(text.len());
        let (day, time) = text.split_at(end);
        let style = match (first, text.as_bytes()[first]) {
            (4, b'-') => Style::Iso,
            (4, b'/') => Style::Slashes,
            (1 | 2, b'.') => Style::Dots,
            _ => return None,
        };
        let mut parts = day.split(['-', '/', '.'][style as usize]);
        let (a, b, c) = (parts.next()?, parts.next()?, parts.next()?);
        let (year, month, day) = if style == Style::Dots { (c, b, a) } else { (a, b, c) };
        let short =
            |text: &str| if style == Style::Iso { text.len() == 2 } else { text.len() <= 2 };
        if parts.next().is_some() || year.len() != 4 || !short(month) || !short(day) {
            return None;
        }
        let (year, month, day) = (number(year)?, number(month)?, number(day)?);
        if !(1..=12).contains(&month) || day < 1 || day > length(year, month) {
            return None;
        }
        let time = if time.is_empty() { 0.0 } else { seconds_of(&time[1..])? };
        let seconds = days(year, month, day) as f64 * DAY + time;
        (RANGE.0..RANGE.1).contains(&seconds).then_some(Written {
            style,
            seconds,
            certain: day > 12,
        })
    }
}

/// The seconds of `12:30`, `12:30:15`, `12:30:15.25`, less those of the zone behind.
fn seconds_of(text: &str) -> Option<f64> {
    let end = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(end);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let (hour, minute) = (two(parts.next()?, 23)?, two(parts.next()?, 59)?);
    let second = match parts.next() {
        Some(second) => two(second, 59)?,
        None if fraction == "0" => 0.0,
        None => return None,
    };
    if parts.next().is_some() || fraction.len() > 9 {
        return None;
    }
    let fraction = number(fraction)? as f64 / 10f64.powi(fraction.len() as i32);
    Some(hour * 3600.0 + minute * 60.0 + second + fraction - offset(zone)?)
}

/// The seconds that a zone is ahead of UTC: nothing, `Z`, `+02`, `+0200`, `-02:30`.
fn offset(zone: &str) -> Option<f64> {
    if matches!(zone, "" | "Z") {
        return Some(0.0);
    }
    let sign = if zone.starts_with('-') { -1.0 } else { 1.0 };
    let digits = zone.strip_prefix(['+', '-'])?;
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "00"),
    };
    Some(sign * (two(hours, 23)? * 3600.0 + two(minutes, 59)? * 60.0))
}

/// A number of two digits, at most `most`.
fn two(text: &str, most: i64) -> Option<f64> {
    let number = number(text).filter(|&number| text.len() == 2 && number <= most)?;
    Some(number as f64)
}

/// A number of digits alone.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn day_of(seconds: f64) -> i64 {
    (seconds / DAY).floor() as i64
}

/// Days of a month.
fn length(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01. Years count from March, so that the day that leaps is their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    // From March, months of 31, 30, 31, 30, 31 days come twice and then begin again.
    let before = (153 * ((month + 9) % 12) + 2) / 5;
    era * ERA + year * 365 + year / 4 - year / 100 + before + day - 1 - EPOCH
}

/// Year, month and day of so many days since 1970-01-01: [`days`] backwards.
pub(super) fn civil(days: i64) -> (i64, i64, i64) {
    let (era, day) = ((days + EPOCH).div_euclid(ERA), (days + EPOCH).rem_euclid(ERA));
    // Less the leap days of every 4 years, with those of centuries back, without that of the era.
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let first = (153 * month + 2) / 5;
    let (late, month) = if month < 10 { (0, month + 3) } else { (1, month - 9) };
    (era * 400 + year + late, month, day - first + 1)
}

/// A moment, told in days since 1970-01-01: its date, and its time unless it is midnight.
pub(super) fn text(moment: f64) -> String {
    let minutes = (moment * 1440.0).round() as i64;
    let (year, month, day) = civil(minutes.div_euclid(1440));
    let date = format!("{year:04}-{month:02}-{day:02}");
    match minutes.rem_euclid(1440) {
        0 => date,
        minutes => format!("{date} {:02}:{:02}", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every day of the years 0 to 9999, counted one by one.
    #[test]
    fn the_calendar_is_counted_right() {
        let mut day = days(0, 1, 1);
        assert_eq!(day as f64 * DAY, RANGE.0);
        let mut weekday = 5; // A Saturday, as the first of 2000 and every 400 years.
        for year in 0..10_000 {
            for month in 1..=12 {
                for date in 1..=length(year, month) {
                    assert_eq!((days(year, month, date), civil(day)), (day, (year, month, date)));
                    assert_eq!(Cycle::Weekday.of(day as f64 * DAY), f64::from(weekday));
                    (day, weekday) = (day + 1, (weekday + 1) % 7);
                }
            }
        }
        assert_eq!(day as f64 * DAY, RANGE.1);
        let years = [1600, 1700, 1900, 2000, 2023, 2024, 2100].map(|year| length(year, 2));
        assert_eq!(years, [29, 28, 28, 29, 28, 29, 28]);
        assert_eq!((days(1970, 1, 1), days(2000, 3, 1), days(1969, 12, 31)), (0, 11_017, -1));
    }

    #[test]
    fn texts_are_read_or_not() {
        let read = |text: &str| Written::read(text).map(|written| written.seconds);
        let day = days(2024, 3, 1) as f64 * DAY;
        for (text, after) in [
            ("2024-03-01", 0.0),
            ("2024/3/1", 0.0),
            ("1.3.2024", 0.0),
            ("01.03.2024 06:00", 21_600.0),
            ("2024-03-01T12:30", 45_000.0),
            ("2024-03-01 12:30:15.25Z", 45_015.25),
            ("2024-03-01T00:30+02:00", -5400.0),
            ("2024-03-01T00:30:00-0130", 7200.0),
            ("2024-03-01T00:30-01", 5400.0),
        ] {
            assert_eq!(read(text), Some(day + after), "{text}");
        }
        for text in [
            "",
            "2024",
            "2024-03",
            "2024-3-1",
            "2024-03-1",
            "24-03-01",
            "2024-02-30",
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-03-00",
            "2024-03-01T",
            "2024-03-01T24:00",
            "2024-03-01T12",
            "2024-03-01T12:60",
            "2024-03-01T12:30:60",
            "2024-03-01T12:30.5",
            "2024-03-01T1:30",
            "2024-03-01T12:30+2",
            "2024-03-01T12:30 CET",
            "2024-03-01-01",
            "2024-03/01",
            "13.13.2024",
            "3/1/2024",
            "1.3.24",
            "2024.03.01",
            "+024-03-01",
            "2024-03-0\u{661}",
            "0000-01-01T00:00+01:00",
            "192.168.0.1",
            "a",
            "1",
            "T",
            " ",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert!(Written::read("13.3.2024").is_some_and(|written| written.certain));
        assert!(Written::read("12.3.2024").is_some_and(|written| !written.certain));
    }

    #[test]
    fn parts_are_those_of_the_moment() {
        // 2024-02-29 was a Thursday.
        let moment = days(2024, 2, 29) as f64 * DAY + 13.0 * 3600.0 + 1799.0;
        let places = [Cycle::Month, Cycle::Day, Cycle::Weekday, Cycle::Hour].map(|c| c.of(moment));
        assert_eq!(places, [2.0, 29.0, 3.0, 13.0]);
        assert_eq!(DatePart::Year.of(moment), 2024.0);
        assert_eq!(DatePart::Days.of(moment), moment / DAY);
        let quarter = days(2023, 4, 1) as f64 * DAY;
        assert_eq!(DatePart::Sine(Cycle::Month).of(quarter), 1.0);
        assert!(DatePart::Cosine(Cycle::Month).of(quarter).abs() < f64::EPSILON);
        let before = -1.0;
        assert_eq!((DatePart::Year.of(before), Cycle::Hour.of(before)), (1969.0, 23.0));
        assert_eq!(text(moment / DAY), "2024-02-29 13:30");
        assert_eq!(text(quarter / DAY), "2023-04-01");
    }
}
