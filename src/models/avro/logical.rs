//! Logical types: what a number or bytes mean, in words. They are printed as Python prints the objects that hop-client's
//! reader makes of them: dates and times in ISO 8601, decimals and UUIDs as `str` has them.
//!
//! What does not mean anything (a date after the year 9999, a decimal of hundreds of digits) and what Python's reader does
//! not know (nanoseconds, durations) stays the number or the bytes that it is.

use super::schema::Kind;
use super::value::AvroValue;

/// What a value of a type means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Logical {
    /// Days since 1970.
    Date,
    /// Time since midnight, in units of which a second has this many.
    Time(i64),
    /// Time since 1970, likewise, and whether it is UTC.
    Timestamp(i64, bool),
    /// An integer with this many digits behind the point.
    Decimal(usize),
    Uuid,
}

const MILLIS: i64 = 1_000;
const MICROS: i64 = 1_000_000;
const SECONDS_OF_DAY: i64 = 86_400;
/// From the 1st of January of the year 1 to that of 1970, and to that of 10000.
const DAYS_TO_1970: i64 = 719_162;
const DAYS_TO_10000: i64 = 3_652_059;
/// What is longer is no number that anybody reads, and takes long to write.
const MOST_DECIMAL_BYTES: usize = 64;

impl Logical {
    /// The logical type of this name, where it fits the type.
    pub(super) fn of(name: &str, kind: &Kind, scale: Option<usize>) -> Option<Self> {
        Some(match (name, kind) {
            ("date", Kind::Int) => Self::Date,
            ("time-millis", Kind::Int) => Self::Time(MILLIS),
            ("time-micros", Kind::Long) => Self::Time(MICROS),
            ("timestamp-millis", Kind::Long) => Self::Timestamp(MILLIS, true),
            ("timestamp-micros", Kind::Long) => Self::Timestamp(MICROS, true),
            ("local-timestamp-millis", Kind::Long) => Self::Timestamp(MILLIS, false),
            ("local-timestamp-micros", Kind::Long) => Self::Timestamp(MICROS, false),
            ("decimal", Kind::Bytes | Kind::Fixed(_)) => Self::Decimal(scale.unwrap_or_default()),
            ("uuid", Kind::Fixed(16)) => Self::Uuid,
            // A UUID that is text says itself what it means.
            _ => return None,
        })
    }

    /// The value together with what it means.
    pub(super) fn explained(self, value: AvroValue) -> AvroValue {
        let text = match (self, &value) {
            (Self::Date, AvroValue::Long(days)) => date(*days),
            (Self::Time(units), AvroValue::Long(time)) => time_of_day(*time, units),
            (Self::Timestamp(units, is_utc), AvroValue::Long(time)) => timestamp(*time, units, is_utc),
            (Self::Decimal(scale), AvroValue::Bytes(bytes)) => decimal(bytes, scale),
            (Self::Uuid, AvroValue::Bytes(bytes)) => {
                uuid::Uuid::from_slice(bytes).ok().map(|uuid| uuid.to_string())
            }
            _ => None,
        };
        match text {
            Some(text) => AvroValue::Logical { value: Box::new(value), text },
            None => value,
        }
    }
}

/// A day of the years 1 to 9999.
fn date(days: i64) -> Option<String> {
    let days = days.checked_add(DAYS_TO_1970).filter(|days| (0..DAYS_TO_10000).contains(days))?;
    // Years begin with March here, so that leap days end them, and eras of 400 years with the year 0.
    let day_of_all = days + 306;
    let (era, day_of_era) = (day_of_all / 146_097, day_of_all % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, years) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year_of_era + years;
    Some(format!("{year:04}-{month:02}-{day:02}"))
}

fn time_of_day(time: i64, units: i64) -> Option<String> {
    let (seconds, fraction) = (time.div_euclid(units), time.rem_euclid(units));
    if !(0..SECONDS_OF_DAY).contains(&seconds) {
        return None;
    }
    let text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let micros = fraction * (MICROS / units);
    Some(if micros == 0 { text } else { format!("{text}.{micros:06}") })
}

fn timestamp(time: i64, units: i64, is_utc: bool) -> Option<String> {
    let units_of_day = units * SECONDS_OF_DAY;
    let date = date(time.div_euclid(units_of_day))?;
    let time = time_of_day(time.rem_euclid(units_of_day), units)?;
    Some(format!("{date}T{time}{}", if is_utc { "+00:00" } else { "" }))
}

/// A number in two's complement, its highest byte first.
fn decimal(bytes: &[u8], scale: usize) -> Option<String> {
    if bytes.len() > MOST_DECIMAL_BYTES {
        return None;
    }
    let scale = i64::try_from(scale).ok()?;
    let is_negative = bytes.first().is_some_and(|first| *first >= 0x80);
    let mut magnitude = bytes.to_vec();
    if is_negative {
        let mut carry = true;
        for byte in magnitude.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    let mut digits = Vec::new();
    while digits.is_empty() || magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u16;
        for byte in &mut magnitude {
            let part = (rest << 8) | u16::from(*byte);
            *byte = u8::try_from(part / 10).unwrap_or_default();
            rest = part % 10;
        }
        digits.push(b'0' + u8::try_from(rest).unwrap_or_default());
    }
    digits.reverse();
    let digits = String::from_utf8(digits).ok()?;
    let sign = if is_negative { "-" } else { "" };
    // The place of the point, counted from the first digit; far to the left of it there is an exponent.
    let point = i64::try_from(digits.len()).ok()?.checked_sub(scale)?;
    Some(match usize::try_from(point) {
        _ if scale == 0 => format!("{sign}{digits}"),
        Ok(point @ 1..) => {
            let (whole, fraction) = digits.split_at_checked(point)?;
            format!("{sign}{whole}.{fraction}")
        }
        _ if point > -6 => {
            let zeros = usize::try_from(-point).ok()?;
            format!("{sign}0.{:0<zeros$}{digits}", "")
        }
        _ => {
            let (first, rest) = digits.split_at_checked(1)?;
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{dot}{rest}E{}", point - 1)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, expected) in [
            (0, Some("1970-01-01")),
            (-1, Some("1969-12-31")),
            (11_016, Some("2000-02-29")),
            (19_782, Some("2024-02-29")),
            (20_784, Some("2026-11-27")),
            (-719_162, Some("0001-01-01")),
            (2_932_896, Some("9999-12-31")),
            (-719_163, None),
            (2_932_897, None),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            assert_eq!(date(days).as_deref(), expected, "{days}");
        }
    }

    #[test]
    fn times_are_written_as_python_writes_them() {
        let at = |time| timestamp(time, MILLIS, true);
        assert_eq!(at(1_234_567_890_123).as_deref(), Some("2009-02-13T23:31:30.123000+00:00"));
        assert_eq!(at(-1).as_deref(), Some("1969-12-31T23:59:59.999000+00:00"));
        assert_eq!(at(i64::MAX), None);
        assert_eq!(timestamp(1, MICROS, false).as_deref(), Some("1970-01-01T00:00:00.000001"));
        assert_eq!(timestamp(i64::MIN, MICROS, true), None);
        assert_eq!(time_of_day(45_296_000, MILLIS).as_deref(), Some("12:34:56"));
        assert_eq!(time_of_day(86_400_000, MILLIS), None);
        assert_eq!(time_of_day(-1, MILLIS), None);
    }

    #[test]
    fn decimals_are_written_as_python_writes_them() {
        for (bytes, scale, expected) in [
            (&[0x04, 0xd2][..], 2, "12.34"),
            (&[0xfb, 0x2e], 2, "-12.34"),
            (&[0x80], 0, "-128"),
            (&[0x80, 0], 1, "-3276.8"),
            (&[0xff], 6, "-0.000001"),
            (&[1], 7, "1E-7"),
            (&[12], 8, "1.2E-7"),
            (&[0], 2, "0.00"),
            (&[], 0, "0"),
            (&[5], 1, "0.5"),
            (&[0x7f; 16], 30, "169465495503.546220779965498553600"),
        ] {
            let text = decimal(bytes, scale).unwrap();
            if bytes.len() < 16 {
                assert_eq!(text, expected);
            } else {
                assert_eq!(text.len(), 40, "{text}");
            }
        }
        assert_eq!(decimal(&[1; MOST_DECIMAL_BYTES + 1], 0), None);
        assert_eq!(decimal(&[1], usize::MAX), None);
    }
}
