//! Names that the old character set of Prometheus has no room for, as a scraper wants them.
//!
//! Source: "UTF-8 metric and label name escaping schemes" of the Prometheus documentation. As in all implementations of it,
//! a name that needs no escaping has none, in no scheme: names that must be exact (TRP-06) are so on every page.

use std::borrow::Cow;
use std::fmt::Write;

/// How such names are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// As they are, in quotes.
    AllowUtf8,
    /// `_` for every other character.
    Underscores,
    /// `_dot_` for a dot, `__` for an underscore and for every other character. (The text of the specification has one
    /// underscore for the latter; what is in use writes two.)
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
        if self == Self::AllowUtf8 || of.is_plain(name) {
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
                    // Writing to memory does not fail.
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
        // By bytes, as those of characters beyond ASCII are not taken either.
        let mut bytes = name.bytes();
        bytes.next().is_some_and(|first| self.takes(0, first.into()))
            && bytes.all(|byte| self.takes(1, byte.into()))
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

    /// A name, then as underscores, dots and values: the examples that Prometheus publishes.
    const PUBLISHED: [[&str; 4]; 7] = [
        ["metric.name/with/slashes", "metric_name_with_slashes", "metric_dot_name__with__slashes", ""],
        ["metric.name.with.dots", "metric_name_with_dots", "metric_dot_name_dot_with_dot_dots", ""],
        [
            "mysystem.cpu.load_total",
            "",
            "mysystem_dot_cpu_dot_load__total",
            "U__mysystem_2e_cpu_2e_load__total",
        ],
        ["http.status:sum", "http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"],
        ["label with 😱", "label_with__", "label__with____", "U__label_20_with_20__1f631_"],
        ["花火", "__", "____", "U___82b1__706b_"],
        ["label with Ā", "label_with__", "label__with____", "U__label_20_with_20__100_"],
    ];

    #[test]
    fn the_published_examples_are_met() {
        for [name, underscores, dots, values] in PUBLISHED {
            assert_eq!(Scheme::AllowUtf8.escape(name, Of::Metric), name);
            let escaped =
                [(Scheme::Underscores, underscores), (Scheme::Dots, dots), (Scheme::Values, values)];
            for (scheme, expected) in escaped.into_iter().filter(|(_, expected)| !expected.is_empty()) {
                assert_eq!(scheme.escape(name, Of::Metric), expected, "{name} in {}", scheme.name());
            }
        }
        assert_eq!(Scheme::Underscores.escape("2xx", Of::Metric), "_xx", "no digit in front");
    }

    #[test]
    fn trp_06_a_name_that_needs_no_escaping_is_the_same_in_every_scheme() {
        for scheme in Scheme::ALL {
            assert_eq!(scheme.escape("change_lead_time_seconds", Of::Metric), "change_lead_time_seconds");
            assert_eq!(scheme.escape("job:rate_5m", Of::Metric), "job:rate_5m");
        }
    }

    #[test]
    fn a_label_has_no_colon() {
        for (scheme, expected) in
            [(Scheme::Underscores, "a_b"), (Scheme::Dots, "a__b"), (Scheme::Values, "U__a_3a_b")]
        {
            assert_eq!(scheme.escape("a:b", Of::Label), expected);
        }
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
