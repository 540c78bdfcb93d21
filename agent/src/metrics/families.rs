//! What the agent measures of itself at one moment, family by family.

use std::collections::BTreeMap;

use throughline_component::Value;

/// Samples grouped by family.
#[derive(Default)]
pub(super) struct Families(BTreeMap<String, Family>);

/// The samples of one name.
pub(super) struct Family {
    pub(super) kind: Kind,
    pub(super) samples: Vec<Sample>,
}

/// One series at this moment.
pub(super) struct Sample {
    /// In the text format, without braces.
    pub(super) labels: String,
    pub(super) value: Number,
}

/// The value of a series.
pub(super) enum Number {
    One(f64),
    Distribution { buckets: Vec<(u64, u64)>, count: u64, sum: u64 },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl Families {
    /// Adds to a counter's family. `labels` come without braces.
    pub(super) fn counter(&mut self, name: &str, labels: &str, value: f64) {
        self.add(name, Kind::Counter, labels, Number::One(value));
    }

    /// Adds to a gauge's family.
    pub(super) fn gauge(&mut self, name: &str, labels: &str, value: f64) {
        self.add(name, Kind::Gauge, labels, Number::One(value));
    }

    /// Adds what a component counted or measured.
    pub(super) fn reading(&mut self, name: &str, labels: &str, value: &Value) {
        match value {
            Value::Count(count) => self.counter(name, labels, *count as f64),
            Value::Gauge(value) => self.gauge(name, labels, *value),
            Value::Distribution { buckets, count, sum } => {
                let value = Number::Distribution { buckets: buckets.clone(), count: *count, sum: *sum };
                self.add(name, Kind::Histogram, labels, value);
            }
        }
    }

    /// All of them, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.0.iter().map(|(name, family)| (name.as_str(), family))
    }

    fn add(&mut self, name: &str, kind: Kind, labels: &str, value: Number) {
        let family = self.0.entry(name.to_owned()).or_insert_with(|| Family { kind, samples: Vec::new() });
        family.samples.push(Sample { labels: labels.to_owned(), value });
    }
}

/// The unit of a family in UCUM; empty where it counts things.
pub(super) fn unit(name: &str) -> &'static str {
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    if ends(&["_uptime", "_seconds"]) {
        "s"
    } else if ends(&["_bytes", "_memory_rss"]) {
        "By"
    } else {
        ""
    }
}

/// Names and values of labels in the text format.
pub(super) fn pairs(labels: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = labels;
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let (mut value, mut escaped, mut end) = (String::new(), false, quoted.len());
        for (at, character) in quoted.char_indices() {
            match (escaped, character) {
                (true, 'n') => value.push('\n'),
                (true, other) => value.push(other),
                (false, '\\') => {}
                (false, '"') => {
                    end = at;
                    break;
                }
                (false, other) => value.push(other),
            }
            escaped = !escaped && character == '\\';
        }
        pairs.push((name.trim_start_matches(',').to_owned(), value));
        rest = quoted.get(end + 1..).unwrap_or_default();
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::pairs;

    #[test]
    fn labels_are_read_as_they_were_written() {
        let owned = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(pairs(""), owned(&[]));
        assert_eq!(pairs(r#"a="b""#), owned(&[("a", "b")]));
        assert_eq!(
            pairs(r#"exporter="otlp/x",why="say \"no\", \\n\n=",empty="""#),
            owned(&[("exporter", "otlp/x"), ("why", "say \"no\", \\n\n="), ("empty", "")])
        );
    }
}
