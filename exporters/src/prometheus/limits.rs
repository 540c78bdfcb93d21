//! What the registry and its pages may take, whatever is sent.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use throughline_config as config;
use throughline_otlp::view::AnyValue;

use super::registry::RegistryLimits;

/// Bounds of the registry. Points beyond one are refused, and counted with its name as their reason.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub(crate) struct Limits {
    /// How many series are kept; points of further series are refused, and counted.
    pub(super) max_series: u32,
    /// How much memory the series may take with their names, labels, buckets and exemplars.
    pub(super) max_bytes: config::ByteSize,
    /// How large a page may become. Series that would make it larger, in the longest of its formats, are refused. Pages that
    /// scrapers are still reading may take twice that together; who asks for one more is answered 503.
    pub(super) max_page_bytes: config::ByteSize,
    /// How many labels a series may have.
    pub(super) max_labels: u32,
    /// How long the names of metrics and labels may be. A longer description is truncated.
    pub(super) max_name_bytes: config::ByteSize,
    /// How long a label's value may be.
    pub(super) max_label_value_bytes: config::ByteSize,
    /// How many buckets a histogram may have, and quantiles a summary.
    pub(super) max_buckets: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_series: 100_000,
            max_bytes: config::ByteSize(128 << 20),
            max_page_bytes: config::ByteSize(128 << 20),
            max_labels: 128,
            max_name_bytes: config::ByteSize(1 << 10),
            max_label_value_bytes: config::ByteSize(4 << 10),
            max_buckets: 512,
        }
    }
}

impl Limits {
    pub(super) fn room(&self) -> RegistryLimits {
        let (bytes, page) = (size(self.max_bytes), size(self.max_page_bytes));
        RegistryLimits { series: self.max_series as usize, bytes, page }
    }

    pub(super) fn labels(&self) -> usize {
        self.max_labels as usize
    }

    pub(super) fn buckets(&self) -> usize {
        self.max_buckets as usize
    }

    pub(super) fn takes_name(&self, name: &str) -> bool {
        name.len() <= size(self.max_name_bytes)
    }

    pub(super) fn takes_value(&self, value: &str) -> bool {
        value.len() <= size(self.max_label_value_bytes)
    }

    /// An attribute's value as a label's; none if it is longer than it may be.
    pub(super) fn value(&self, value: AnyValue<'_>) -> Option<String> {
        text(value, size(self.max_label_value_bytes))
    }

    /// A description, cut to its room.
    pub(super) fn help(&self, help: &str) -> String {
        let end = help.floor_char_boundary(size(self.max_name_bytes).min(help.len()));
        clean(&help[..end]).into_owned()
    }
}

pub(super) fn size(bytes: config::ByteSize) -> usize {
    usize::try_from(bytes.bytes()).unwrap_or(usize::MAX)
}

/// An attribute's value, as a label's; none if it takes more than `most` bytes.
pub(super) fn text(value: AnyValue<'_>, most: usize) -> Option<String> {
    let mut out = String::new();
    let fits = put(&mut out, value, most) && out.len() <= most;
    fits.then_some(out).map(|text| match clean(&text) {
        Cow::Owned(clean) => clean,
        Cow::Borrowed(_) => text,
    })
}

/// Appends a value; says no as soon as the text is longer than it may be, and looks no further.
fn put(out: &mut String, value: AnyValue<'_>, most: usize) -> bool {
    match value {
        AnyValue::Str(text) if text.len() > most => return false,
        AnyValue::Bytes(bytes) if bytes.len() > most => return false,
        AnyValue::Str(text) => out.push_str(text),
        AnyValue::Bool(flag) => out.push_str(if flag { "true" } else { "false" }),
        AnyValue::Int(number) => out.push_str(&number.to_string()),
        AnyValue::Double(number) => out.push_str(&number.to_string()),
        AnyValue::Empty => {}
        AnyValue::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        AnyValue::Array(array) => {
            out.push('[');
            for (at, value) in array.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                if !put(out, value, most) {
                    return false;
                }
            }
            out.push(']');
        }
        AnyValue::Map(map) => {
            out.push('{');
            for (at, (key, value)) in map.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                if key.len() > most {
                    return false;
                }
                out.push_str(key);
                out.push(':');
                if !put(out, value, most) {
                    return false;
                }
            }
            out.push('}');
        }
    }
    out.len() <= most
}

/// A text without control characters but line feed and tab: a NUL byte ends the page for Prometheus' OpenMetrics parser, a
/// carriage return ends a line for others.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let bad = |c: char| c.is_control() && c != '\n' && c != '\t';
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let lines = text.replace("\r\n", "\n");
    Cow::Owned(lines.replace(bad, "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_replaced_and_lines_and_tabs_stay() {
        assert_eq!(clean("a\tb\nc\r\nd"), "a\tb\nc\nd");
        assert_eq!(clean("a\0b\rc\x7fd\u{85}"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}");
        assert!(matches!(clean("größe"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_value_that_is_too_long_is_not_copied() {
        let limits = Limits { max_label_value_bytes: config::ByteSize(3), ..Limits::default() };
        assert_eq!(limits.value(AnyValue::Str("abc")).as_deref(), Some("abc"));
        assert_eq!(limits.value(AnyValue::Str("abcd")), None);
        assert_eq!(limits.value(AnyValue::Bytes(&[0xff; 2])), None, "as text it is longer");
        assert_eq!(limits.value(AnyValue::Int(-100)), None);
        assert_eq!(limits.help("aé"), "aé");
        let name = Limits { max_name_bytes: config::ByteSize(2), ..Limits::default() };
        assert_eq!(name.help("aé"), "a", "cut between characters");
    }
}
