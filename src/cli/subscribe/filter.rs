//! `--filter`: which messages are wanted, by what is in them.
//!
//! A condition is a path into the message's JSON form and, behind an operator, what should be there:
//! `candidate.magpsf < 18`, `What.Param[name=Packet_Type].value = 61`, `notice.revoked`.

use std::cmp::Ordering;
use std::str::FromStr;

use regex_lite::Regex;
use serde_json::Value;

use crate::models::MessageModel;

/// Something that should hold of a message.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Filter {
    path: Vec<Step>,
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// A member of an object, of this name.
    Name(String),
    /// An item of an array; from its end for negative numbers.
    Index(i64),
    /// All members, or all items.
    All,
    /// The items whose member of this name is this.
    With(String, String),
}

#[derive(Debug, Clone)]
enum Condition {
    /// There is something other than `null` and `false`.
    IsThere,
    Equals(String),
    Differs(String),
    /// Compared as numbers, or else as text: times of one form are in order as text.
    Ordered {
        to: String,
        holds: fn(Ordering) -> bool,
    },
    Matches(Regex),
}

impl Filter {
    /// The messages whose `role` is this, as VOEvents have it.
    pub(in crate::cli) fn role(role: &str) -> Self {
        Self { path: vec![Step::Name("role".to_owned())], condition: Condition::Equals(role.to_owned()) }
    }

    /// The notices of GCN of this packet type.
    pub(in crate::cli) fn packet_type(number: u32) -> Self {
        let name = |name: &str| Step::Name(name.to_owned());
        let with = Step::With("name".to_owned(), "Packet_Type".to_owned());
        Self {
            path: vec![name("What"), name("Param"), with, name("value")],
            condition: Condition::Equals(number.to_string()),
        }
    }

    fn holds(&self, message: &Value) -> bool {
        let mut found = vec![message];
        for step in &self.path {
            found = found.into_iter().flat_map(|value| step.of(value)).collect();
        }
        match &self.condition {
            Condition::IsThere => {
                found.iter().any(|value| !matches!(value, Value::Null | Value::Bool(false)))
            }
            Condition::Equals(to) => found.iter().any(|value| equals(value, to)),
            Condition::Differs(to) => !found.iter().any(|value| equals(value, to)),
            Condition::Ordered { to, holds } => {
                found.iter().any(|value| compare(value, to).is_some_and(holds))
            }
            Condition::Matches(pattern) => {
                found.iter().any(|value| text(value).is_some_and(|text| pattern.is_match(&text)))
            }
        }
    }
}

/// Whether all of this holds of a message.
pub(super) fn all_hold(filters: &[Filter], model: &dyn MessageModel) -> bool {
    if filters.is_empty() {
        return true;
    }
    let message = model.to_json();
    filters.iter().all(|filter| filter.holds(&message))
}

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Name(name), Value::Object(members)) => members.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(items)) => {
                let index = usize::try_from(*index).ok().or_else(|| {
                    items.len().checked_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
                });
                index.and_then(|index| items.get(index)).into_iter().collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(members)) => members.values().collect(),
            (Self::With(name, wanted), Value::Array(items)) => {
                items.iter().filter(|item| has(item, name, wanted)).collect()
            }
            // Where there is one of something, it is often in no array.
            (Self::With(name, wanted), item) if has(item, name, wanted) => vec![item],
            _ => Vec::new(),
        }
    }
}

fn has(item: &Value, name: &str, wanted: &str) -> bool {
    item.get(name).is_some_and(|value| equals(value, wanted))
}

/// A scalar as it is typed; `None` for what has parts.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Object(_) => None,
        scalar => Some(scalar.to_string()),
    }
}

fn equals(value: &Value, to: &str) -> bool {
    compare(value, to) == Some(Ordering::Equal)
}

/// As numbers where both are, else as text. Many senders put their numbers between quotation marks.
fn compare(value: &Value, to: &str) -> Option<Ordering> {
    let text = text(value)?;
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| number.is_finite());
    match (number(&text), number(to)) {
        (Some(one), Some(other)) => one.partial_cmp(&other),
        (None, None) => Some(text.as_str().cmp(to)),
        _ => None,
    }
}

/// Operators; those of two characters come first.
const OPERATORS: [&str; 8] = ["==", "!=", "<=", ">=", "=", "<", ">", "~"];

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, rest) = path(text)?;
        let Some(operator) = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)) else {
            return if rest.is_empty() {
                Ok(Self { path, condition: Condition::IsThere })
            } else {
                Err(format!("'{rest}' is no comparison; there are =, !=, <, <=, >, >= and ~"))
            };
        };
        let to = rest.get(operator.len()..).unwrap_or_default().trim().to_owned();
        let condition = match operator {
            "!=" => Condition::Differs(to),
            "<" => Condition::Ordered { to, holds: Ordering::is_lt },
            "<=" => Condition::Ordered { to, holds: Ordering::is_le },
            ">" => Condition::Ordered { to, holds: Ordering::is_gt },
            ">=" => Condition::Ordered { to, holds: Ordering::is_ge },
            "~" => Condition::Matches(
                Regex::new(&to).map_err(|error| format!("'{to}' is no regular expression: {error}"))?,
            ),
            _ => Condition::Equals(to),
        };
        Ok(Self { path, condition })
    }
}

/// The path at the front of `text`, and what is behind it.
fn path(text: &str) -> Result<(Vec<Step>, &str), String> {
    let mut steps = Vec::new();
    let mut rest = text.trim();
    loop {
        let name;
        (name, rest) = self::name(rest)?;
        steps.push(if name == "*" { Step::All } else { Step::Name(name) });
        while let Some(bracket) = rest.strip_prefix('[') {
            let (inside, behind) = bracket.split_once(']').ok_or("a '[' is not closed")?;
            steps.push(in_brackets(inside.trim())?);
            rest = behind;
        }
        match rest.strip_prefix('.') {
            Some(behind) => rest = behind,
            None => return Ok((steps, rest.trim_start())),
        }
    }
}

fn in_brackets(inside: &str) -> Result<Step, String> {
    if inside == "*" {
        return Ok(Step::All);
    }
    if let Ok(index) = inside.parse() {
        return Ok(Step::Index(index));
    }
    let (name, value) = inside
        .split_once('=')
        .ok_or_else(|| format!("[{inside}] is not known; there are [0], [-1], [*] and [name=value]"))?;
    Ok(Step::With(name.trim().to_owned(), value.trim().to_owned()))
}

/// A name, up to the next step or an operator; or anything between quotation marks.
fn name(text: &str) -> Result<(String, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"').ok_or("a '\"' is not closed")?;
        return Ok((name.to_owned(), rest));
    }
    let ends = |c: char| c.is_whitespace() || ".[=!<>~".contains(c);
    let (name, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
    if name.is_empty() {
        return Err(format!("a name is missing before '{rest}', as in 'candidate.magpsf < 18'"));
    }
    Ok((name.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::JsonBlob;

    const ALERT: &str = r#"{
        "role": "observation", "revoked": false, "superevent": {"id": "S260101a", "far": 3e-9, "lag": null},
        "What": {"Param": [
            {"name": "Packet_Type", "value": "61"}, {"name": "Burst_Signif", "value": "7.50", "unit": "sigma"}]},
        "Who": {"Param": {"name": "alone", "value": 1}},
        "mags": [19.5, 18.25, null], "time": "2026-11-26T14:00:00Z", "a.b": 1, "big": 123456789012345678901234567890
    }"#;

    fn holds(filter: &str) -> bool {
        let alert = JsonBlob::load(ALERT.as_bytes()).unwrap();
        all_hold(&[filter.parse().unwrap()], &alert)
    }

    #[test]
    fn conditions_hold_where_one_thing_on_the_path_fulfils_them() {
        for filter in [
            "role = observation",
            "role==observation",
            "role != test",
            "nothing.there != test",
            "role ~ ^obs",
            "superevent.far < 1e-8",
            "superevent.id",
            "superevent",
            "role",
            "mags[0] >= 19.5",
            "mags[-2] = 18.25",
            "mags[*] < 18.5",
            "superevent.* = S260101a",
            "What.Param[name=Packet_Type].value = 61",
            "What.Param[name = Burst_Signif].value >= 7.5",
            "Who.Param[name=alone].value = 1.0",
            "time >= 2026-11-26",
            "\"a.b\" = 1",
            "big > 1e29",
            "superevent.lag = null",
            " role   =   observation ",
        ] {
            assert!(holds(filter), "{filter}");
        }
        for filter in [
            "role = test",
            "role != observation",
            "nothing",
            "nothing < 5",
            "revoked",
            "superevent.lag",
            "superevent = S260101a",
            "superevent.id < 5",
            "mags[3]",
            "mags[-4]",
            "mags[2]",
            "role[0]",
            "What.Param[name=Packet_Type].value > 61",
            "time < 2026-11-26",
            "role ~ ^vation",
        ] {
            assert!(!holds(filter), "{filter}");
        }
    }

    #[test]
    fn the_short_forms_are_conditions() {
        let alert = JsonBlob::load(ALERT.as_bytes()).unwrap();
        assert!(all_hold(&[Filter::role("observation"), Filter::packet_type(61)], &alert));
        assert!(!all_hold(&[Filter::role("observation"), Filter::packet_type(6)], &alert));
        assert!(!all_hold(&[Filter::role("test")], &alert));
    }

    #[test]
    fn what_is_no_condition_is_explained() {
        for (filter, said) in [
            ("", "a name is missing before ''"),
            ("a..b", "a name is missing before '.b'"),
            ("= 5", "a name is missing before '= 5'"),
            ("a b", "'b' is no comparison; there are =, !=, <, <=, >, >= and ~"),
            ("a[x]", "[x] is not known; there are [0], [-1], [*] and [name=value]"),
            ("a[0", "a '[' is not closed"),
            ("\"a", "a '\"' is not closed"),
            ("a ~ (", "'(' is no regular expression: "),
        ] {
            let error = filter.parse::<Filter>().unwrap_err();
            assert!(error.starts_with(said), "{filter}: {error}");
        }
    }
}
