//! Durations as Go writes them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A length of time, not negative, written in Go's syntax: `300ms`, `1h30m`, `1.5s`; a bare `0` is zero.
///
/// Units: `ns`, `us` (or `µs`), `ms`, `s`, `m`, `h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub std::time::Duration);

impl Duration {
    /// Of so many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(std::time::Duration::from_millis(millis))
    }

    /// Of so many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// As the standard library has it.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }

    /// In nanoseconds, as clocks count; at most what 64 bits hold.
    #[must_use]
    pub fn nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What is said when a text is not a duration.
const EXPECTED: &str = "expected a duration such as `300ms` or `1h30m`";

impl FromStr for Duration {
    type Err = String;

    /// # Errors
    /// When it is not Go's syntax, is negative, or exceeds the 292 years that Go can count.
    fn from_str(text: &str) -> Result<Self, String> {
        let body = match text.strip_prefix('-') {
            Some(_) => return Err("a duration cannot be negative here".to_owned()),
            None => text.strip_prefix('+').unwrap_or(text),
        };
        if body == "0" {
            return Ok(Self::default());
        }
        let mut rest = body;
        let mut total: u128 = 0;
        while !rest.is_empty() {
            let end = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .ok_or_else(|| format!("the unit is missing; {EXPECTED}"))?;
            let (number, tail) = rest.split_at(end);
            if number.is_empty() {
                return Err(EXPECTED.to_owned());
            }
            let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            let unit = unit_nanos(unit)
                .ok_or_else(|| format!("`{}` is not a unit; {EXPECTED}", unit.escape_debug()))?;
            total = nanos(number, unit).and_then(|nanos| total.checked_add(nanos)).ok_or(EXPECTED)?;
            rest = tail;
        }
        match u64::try_from(total) {
            Ok(nanos) if !body.is_empty() && nanos <= i64::MAX as u64 => {
                Ok(Self(std::time::Duration::from_nanos(nanos)))
            }
            Ok(_) if body.is_empty() => Err(EXPECTED.to_owned()),
            _ => Err("a duration cannot be longer than 292 years".to_owned()),
        }
    }
}

fn unit_nanos(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// A decimal number of units in nanoseconds; digits beyond a nanosecond are cut.
fn nanos(number: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 19 {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = &fraction[..fraction.len().min(18)];
    let part: u128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let scale = 10u128.pow(u32::try_from(digits.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(part * unit / scale)
}

impl fmt::Display for Duration {
    /// In Go's syntax, with the largest units that keep it exact: `1h30m`, `1500ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut nanos = self.0.as_nanos();
        if nanos == 0 {
            return f.write_str("0s");
        }
        for (unit, name) in [(3_600_000_000_000, "h"), (60_000_000_000, "m")] {
            if nanos >= unit {
                write!(f, "{}{name}", nanos / unit)?;
                nanos %= unit;
            }
        }
        for (unit, name) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")] {
            if nanos > 0 && nanos.is_multiple_of(unit) {
                return write!(f, "{}{name}", nanos / unit);
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Duration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as `300ms` or `1h30m`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Duration, E> {
                if number == 0 { Ok(Duration::default()) } else { Err(E::custom("the unit is missing")) }
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
                if number == 0 { Ok(Duration::default()) } else { Err(E::custom("the unit is missing")) }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "duration" })
    }
}
