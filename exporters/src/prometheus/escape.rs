//! Names that the old character set of Prometheus has no room for, as a scraper wants them.
//!
//! Source: "UTF-8 metric and label name escaping schemes" of the Prometheus documentation.

use std::borrow::Cow;
use std::fmt::Write;

/// How such names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// As they are, in quotes.
    AllowUtf8,
    /// `_` for every other character.
    Underscores,
    /// `_dot_` for a dot, `__` for an underscore and for every other character.
    Dots,
    /// `U__` in front, `__` for an underscore, and `_2e_` for a character by its number.
    Values,
}

impl Scheme {
    const ALL: [Self; 4] = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];

    /// As the `escaping` parameter spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scheme| scheme.name() == name)
    }

    /// A name as it is written; one that needs quotes comes back as it is.
    pub(super) fn escape(self, name: &str, of: Of) -> Cow<'_, str> {
        let stays = match self {
            Self::AllowUtf8 => true,
            Self::Underscores | Self::Values => of.is_plain(name),
            Self::Dots => of.is_plain(name) && !name.contains('_'),
        };
        if stays {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 8);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (at, c) in name.char_indices() {
            let plain = of.takes(at, c);
            match self {
                Self::Underscores if !plain => out.push('_'),
                Self::Dots if c == '.' => out.push_str("_dot_"),
                Self::Dots if !plain => out.push_str("__"),
                Self::Dots | Self::Values if c == '_' => out.push_str("__"),
                Self::Values if !plain => {
                    let _ = write!(out, "_{:x}_", u32::from(c));
                }
                _ => out.push(c),
            }
        }
        Cow::Owned(out)
    }
}

/// What is named: a label's name has no colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    Metric,
    Label,
}

impl Of {
    /// Whether a name needs no quotes.
    pub(super) fn is_plain(self, name: &str) -> bool {
        !name.is_empty() && name.char_indices().all(|(at, c)| self.takes(at, c))
    }

    fn takes(self, at: usize, c: char) -> bool {
        c.is_ascii_alphabetic()
            || c == '_'
            || (c == ':' && self == Self::Metric)
            || (at > 0 && c.is_ascii_digit())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        for (scheme, name, expected) in [
            (Scheme::AllowUtf8, "metric.name", "metric.name"),
            (Scheme::Underscores, "metric.name/with/slashes", "metric_name_with_slashes"),
            (Scheme::Underscores, "2xx.größe", "_xx_gr__e"),
            (Scheme::Underscores, "job:rate_5m", "job:rate_5m"),
            (Scheme::Dots, "metric.name.with.dots", "metric_dot_name_dot_with_dot_dots"),
            (Scheme::Dots, "with_under-score", "with__under__score"),
            (Scheme::Values, "metric_name", "metric_name"),
            (Scheme::Values, "metric.name_a", "U__metric_2e_name__a"),
            (Scheme::Values, "日", "U___65e5_"),
        ] {
            assert_eq!(scheme.escape(name, Of::Metric), expected, "{name} in {}", scheme.name());
        }
        assert_eq!(Scheme::Underscores.escape("a:b", Of::Label), "a_b");
    }

    /// What the specification says a reader makes of a name by value.
    fn unescaped(name: &str) -> Option<String> {
        let Some(mut rest) = name.strip_prefix("U__") else { return Some(name.to_owned()) };
        let mut out = String::new();
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            if c != '_' {
                out.push(c);
            } else if let Some(after) = rest.strip_prefix('_') {
                out.push('_');
                rest = after;
            } else {
                let (code, after) = rest.split_once('_')?;
                out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
                rest = after;
            }
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_plain_and_values_can_be_read_back(name in "\\PC{1,12}", label: bool) {
            let of = if label { Of::Label } else { Of::Metric };
            for scheme in [Scheme::Underscores, Scheme::Dots, Scheme::Values] {
                let escaped = scheme.escape(&name, of);
                prop_assert!(of.is_plain(&escaped), "{} in {}", escaped, scheme.name());
            }
            if !name.starts_with("U__") {
                prop_assert_eq!(unescaped(&Scheme::Values.escape(&name, of)), Some(name));
            }
        }
    }
}
