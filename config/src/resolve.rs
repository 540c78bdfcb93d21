//! What a plain scalar means: the rules of go-yaml v3, which the Collector reads its files with.
//!
//! `yes`, `no`, `on` and `off` are text. A leading `0` means octal, as do `0o`, while `0x` and `0b` are what they
//! look like; underscores may stand between digits. Dates are text (go-yaml makes them times, which no option of
//! the Collector's takes).

use crate::node::Value;

/// The value of an unquoted scalar.
pub(crate) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let digits = text.replace('_', "");
    integer(&digits).map(Value::Int).or_else(|| float(&digits).map(Value::Float))
}

fn integer(text: &str) -> Option<i128> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    // `from_str_radix` would take a second sign.
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value).then_some(value)
}

fn float(text: &str) -> Option<f64> {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let starts_well = body.starts_with(|first: char| first.is_ascii_digit() || first == '.');
    let legal = body.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    if !starts_well || !legal { None } else { text.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_they_mean_to_the_collector() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (given, wanted) in [
            ("yes", text("yes")),
            ("on", text("on")),
            ("True", Value::Bool(true)),
            ("~", Value::Null),
            ("12", Value::Int(12)),
            ("-12", Value::Int(-12)),
            ("1_000", Value::Int(1000)),
            ("010", Value::Int(8)),
            ("0o10", Value::Int(8)),
            ("0x1F", Value::Int(31)),
            ("09", Value::Float(9.0)),
            ("0", Value::Int(0)),
            ("18446744073709551615", Value::Int(u64::MAX.into())),
            ("1.5e3", Value::Float(1500.0)),
            (".5", Value::Float(0.5)),
            ("1.2.3", text("1.2.3")),
            ("+-1", text("+-1")),
            ("-", text("-")),
            ("0x", text("0x")),
            ("10.0.0.1:80", text("10.0.0.1:80")),
            ("5s", text("5s")),
            ("2026-11-21", text("2026-11-21")),
            ("infinity", text("infinity")),
        ] {
            assert_eq!(resolve(given), wanted, "{given}");
        }
    }
}
