//! What texts and attribute values may be, by the types of XML Schema 1.0.
//!
//! Where processors of schemas differ, or XML Schema 1.1 lets more pass, this does, too.

use std::borrow::Cow;

use super::names::is_name;
use super::schema::Value;

impl Value {
    /// Whether the text is such a value.
    pub(super) fn accepts(self, text: &str) -> bool {
        let trimmed = text.trim_matches(BLANKS);
        match self {
            Self::Any => true,
            Self::Uri => is_uri(trimmed),
            Self::Ivorn => is_uri(trimmed) && is_ivorn(trimmed),
            Self::Number => is_number(trimmed),
            // As a `float`, which is what the schema compares.
            Self::Probability => {
                is_number(trimmed) && trimmed.parse().is_ok_and(|number: f32| (0.0..=1.0).contains(&number))
            }
            Self::Time => date_and_time(trimmed).is_some(),
            Self::Id => is_name(trimmed) && !trimmed.contains(':'),
            Self::Version => trimmed == VERSION,
            // Blanks count in these.
            Self::OneOf(values) => values.contains(&text),
        }
    }

    /// What it must be, for the end of a sentence.
    pub(super) fn wanted(self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::Any => "any text",
            Self::Uri => "a URI, with at most one '#' and two hexadecimal digits behind each '%'",
            Self::Ivorn => "an identifier such as ivo://AUTHORITY/STREAM#EVENT",
            Self::Number => "a number such as 1.5e-3, or INF, -INF or NaN",
            Self::Probability => "a number from 0 to 1",
            Self::Time => "a date and time such as 2026-01-31T12:34:56.7, with or without a time zone (Z)",
            Self::Id => "a name: a letter or '_', then letters, digits, '.', '-' and '_'",
            Self::Version => VERSION,
            Self::OneOf(values) => return Cow::Owned(or(values.iter().copied())),
        })
    }
}

/// What XML takes for white space.
pub(super) const BLANKS: [char; 4] = [' ', '\t', '\n', '\r'];
const VERSION: &str = "2.0";

/// `a, b or c`.
pub(super) fn or<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let count = names.len();
    let mut listed = String::new();
    for (number, name) in (1..).zip(names) {
        listed += match number {
            1 => "",
            last if last == count => " or ",
            _ => ", ",
        };
        listed += name;
    }
    listed
}

/// What all processors refuse in an `xs:anyURI`: other characters are allowed, since they are escaped before use.
fn is_uri(text: &str) -> bool {
    let is_escape = |rest: &str| {
        let mut digits = rest.bytes();
        (0..2).all(|_| digits.next().is_some_and(|digit| digit.is_ascii_hexdigit()))
    };
    text.split('%').skip(1).all(is_escape) && text.bytes().filter(|&byte| byte == b'#').count() <= 1
}

fn is_ivorn(text: &str) -> bool {
    let scheme = text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("ivo://"));
    scheme && text.get(6..).is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['/', '#']))
}

fn is_number(text: &str) -> bool {
    if matches!(text, "INF" | "+INF" | "-INF" | "NaN") {
        return true;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (mantissa, exponent) = (unsigned(mantissa), unsigned(exponent));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_something = !(exponent.is_empty() || whole.is_empty() && fraction.is_empty());
    is_something && [whole, fraction, exponent].into_iter().all(is_digits)
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// Also of none.
fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads an `xs:dateTime`; `None` when it is none.
fn date_and_time(text: &str) -> Option<()> {
    let (date, time) = text.split_once('T')?;
    let (date, is_before_our_era) = match date.strip_prefix('-') {
        Some(date) => (date, true),
        None => (date, false),
    };
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (parts.next()?, two_digits(parts.next()?)?, two_digits(parts.next()?)?);
    let is_year = year.len() >= 4 && is_digits(year);
    if !is_year || (year.len() > 4 && year.starts_with('0')) {
        return None;
    }
    // Of ten thousand years the leap years are the same as of the ten thousand before.
    let year: u32 = year.get(year.len().checked_sub(4)?..)?.parse().ok()?;
    // Which are leap years before our era is told in two ways.
    let is_of = |years| u32::is_multiple_of(year, years);
    let is_leap = is_before_our_era || (is_of(4) && !is_of(100)) || is_of(400);
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > days {
        return None;
    }
    of_day(without_zone(time)?)
}

fn without_zone(time: &str) -> Option<&str> {
    if let Some(time) = time.strip_suffix('Z') {
        return Some(time);
    }
    let Some(sign) = time.rfind(['+', '-']) else { return Some(time) };
    let (hours, minutes) = time.get(sign + 1..)?.split_once(':')?;
    let (hours, minutes) = (two_digits(hours)?, two_digits(minutes)?);
    let is_zone = minutes < 60 && hours * 60 + minutes <= 14 * 60;
    is_zone.then(|| time.get(..sign)).flatten()
}

fn of_day(time: &str) -> Option<()> {
    let mut parts = time.splitn(3, ':');
    let (hours, minutes, seconds) = (two_digits(parts.next()?)?, two_digits(parts.next()?)?, parts.next()?);
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let seconds = two_digits(seconds)?;
    let is_fraction = !fraction.is_empty() && is_digits(fraction);
    let is_midnight = (hours, minutes, seconds) == (24, 0, 0) && fraction.bytes().all(|byte| byte == b'0');
    let is_time = (hours < 24 && minutes < 60 && seconds < 60) || is_midnight;
    (is_fraction && is_time).then_some(())
}

fn two_digits(text: &str) -> Option<u32> {
    let is_two = text.len() == 2 && is_digits(text);
    is_two.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: Value, good: &[&str], bad: &[&str]) {
        for text in good {
            assert!(value.accepts(text), "{text:?}");
        }
        for text in bad {
            assert!(!value.accepts(text), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_those_of_the_schema() {
        check(
            Value::Number,
            &["0", " -12.5\n", "1.", ".5", "+1e5", "1E-10", "INF", "-INF", "NaN", "1e400"],
            &[
                "", ".", "1e", "1e+", "e5", "nan", "inf", "Infinity", "0x1", "1 2", "1,5", "1d", "--1",
                "1.2.3", "٣",
            ],
        );
        check(
            Value::Probability,
            &["0", "1", "-0", "0.98", "1.00000000001"],
            &["1.1", "-0.1", "NaN", "INF", "", "90%"],
        );
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        check(
            Value::Time,
            &[
                "2012-09-07T00:24:36",
                " 2012-09-07T00:24:36.25Z ",
                "2012-02-29T23:59:59.999+14:00",
                "2000-02-29T00:00:00-03:30",
                "2012-09-07T24:00:00.0",
                "12012-01-01T00:00:00",
                "-0044-03-15T12:00:00",
            ],
            &[
                "",
                "2012-09-07",
                "2012-09-07 00:24:36",
                "2012-09-07t00:24:36",
                "2012-09-07T00:24",
                "2012-09-07T00:24:36.",
                "2012-09-07T0:24:36",
                "2012-09-07T00:24:60",
                "2012-09-07T24:00:01",
                "2012-09-07T24:00:00.1",
                "2012-13-07T00:24:36",
                "2012-00-07T00:24:36",
                "2012-09-31T00:24:36",
                "2012-09-00T00:24:36",
                "1900-02-29T00:24:36",
                "02012-01-01T00:00:00",
                "212-01-01T00:00:00",
                "2012-09-07T00:24:36+14:01",
                "2012-09-07T00:24:36+01",
                "2012-09-07T00:24:36+01:60",
                "2012-09-07T00:24:36 UTC",
            ],
        );
    }

    #[test]
    fn uris_and_identifiers() {
        let odd = ["", "a b", "x{}|^`é", "%7e", "http://[::1]/", "?q=#f"];
        check(Value::Uri, &odd, &["a#b#c", "100%", "%7", "%zz", "%é"]);
        check(
            Value::Ivorn,
            &["ivo://gwnet/LVC#S200302c-1-Preliminary", "IVO://a"],
            &["", "ivo://", "ivo:///a", "ivo://#a", "http://a/b", "S200302c", "ivo://a#b#c", "éééééé"],
        );
        check(Value::Id, &["a", " _1 ", "é.b-c"], &["", "1", "a b", "a:b"]);
    }

    #[test]
    fn words_are_taken_as_written() {
        let role = Value::OneOf(&["observation", "utility", "test"]);
        check(role, &["test"], &["Test", " test", "", "tests"]);
        assert_eq!(role.wanted(), "observation, utility or test");
        check(Value::Version, &["2.0", " 2.0 "], &["2", "1.1", ""]);
        assert_eq!((or(["a"].into_iter()), or([].into_iter())), ("a".to_owned(), String::new()));
    }
}
